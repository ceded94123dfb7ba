//! The toolchain that rustup installs where the base image has no Cargo. Part of the step from options to project: the
//! toolchain file is read, and the template sees what it says.

use serde::Serialize;

use crate::config::values::is_word;
use crate::error::{Error, Result};
use crate::project::cargo::configuration::Tree;
use crate::project::cargo::root::{Root, TOOLCHAIN_FILES};
use crate::staging::source::SourceFile;

/// A toolchain, as a toolchain file describes it, or stable Rust.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Toolchain {
    channel: String,
    profile: String,
    components: Vec<String>,
    targets: Vec<String>,
    /// The channel, where a file wants it.
    told: Option<String>,
}

impl Toolchain {
    /// Has standard libraries for these targets too, where rustup installs it.
    #[must_use]
    pub(super) fn with_targets(mut self, targets: impl IntoIterator<Item = &'static str>) -> Self {
        self.targets.extend(targets.into_iter().map(str::to_owned));
        self
    }

    /// The version of Rust, where the channel is one.
    pub(super) fn version(&self) -> Option<String> {
        let numbers: Vec<u32> = self.channel.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
        match numbers[..] {
            [major, minor] => Some(format!("{major}.{minor}.0")),
            [_, _, _] => Some(self.channel.clone()),
            _ => None,
        }
    }

    /// The channel, where it is a version of Rust.
    pub(super) fn numbered_channel(&self) -> Option<&str> {
        self.version().map(|_| &*self.channel)
    }

    pub(super) fn of(sources: &[SourceFile], root: &Root) -> Result<Self> {
        let mut toolchain = Self {
            channel: "stable".to_owned(),
            profile: "minimal".to_owned(),
            components: Vec::new(),
            targets: Vec::new(),
            told: None,
        };
        // As for rustup, the nearest folder wins, and of two files in it the one with the older name.
        let names = root.folders().flat_map(|folder| TOOLCHAIN_FILES.iter().rev().map(|name| folder.join(name)));
        let file = names.into_iter().find_map(|name| Tree { files: sources }.file(&name));
        let Some((file, text)) = file.and_then(|file| Some((file, file.text()?))) else { return Ok(toolchain) };
        let text = String::from_utf8_lossy(text);
        if let Ok(table) = toml::from_str::<toml::Table>(&text) {
            let words = |key: &str| -> Vec<String> {
                let list = table.get("toolchain").and_then(|table| table.get(key)).and_then(toml::Value::as_array);
                list.into_iter().flatten().filter_map(|word| word.as_str().map(str::to_owned)).collect()
            };
            let word = |key: &str| {
                table.get("toolchain").and_then(|table| table.get(key)).and_then(toml::Value::as_str).map(str::to_owned)
            };
            toolchain.channel = word("channel").unwrap_or(toolchain.channel);
            toolchain.profile = word("profile").unwrap_or(toolchain.profile);
            toolchain.components = words("components");
            toolchain.targets = words("targets");
        } else {
            text.trim().clone_into(&mut toolchain.channel);
        }
        let single = [&toolchain.channel, &toolchain.profile];
        let wrong = single
            .into_iter()
            .chain(&toolchain.components)
            .chain(&toolchain.targets)
            .find(|word| !is_word(word, b".-"));
        toolchain.told = Some(toolchain.channel.clone());
        if let Some(word) = wrong {
            return Err(Error::failed(format!("`{}` names {word:?}, which is no toolchain", file.path)));
        }
        Ok(toolchain)
    }
}
