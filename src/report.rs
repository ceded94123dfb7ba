//! The report, the last step: the image's name on one line, or one JSON object.

use camino::Utf8PathBuf;
use serde::Serialize;

use crate::image::digest::Digest;
use crate::image::name::ImageName;
use crate::image::platform::Platform;
use crate::image::stored::{Confirmed, Size, as_strings};
use crate::image::tags::{BuildFromImageType, Tags};
use crate::system::terminal::{is_obeyed, one_line};

/// The version of the JSON object's form.
pub const SCHEMA: u32 = 1;

/// What was decided and done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Whether the image was (or would be) built.
    pub action: Action,
    /// The image's full name: repository and source tag.
    pub image: String,
    /// The repository alone.
    pub repository: String,
    /// The repository of the lock tag and the versioned tag.
    pub lock_repository: String,
    /// The three tags, without their repositories.
    pub tags: ReportedTags,
    /// The binary that the image is for, where each gets one of its own.
    pub binary: Option<String>,
    /// The project's kind.
    pub kind: String,
    /// The project's version.
    pub version: String,
    /// What has that version, where that was chosen among several.
    pub version_of: Option<String>,
    /// The image that the user starts from.
    pub base_image: String,
    /// The base image's digest, where that is part of the names.
    pub base_digest: Option<Digest>,
    /// The build-from type; null when reused.
    pub build_from: Option<BuildFromImageType>,
    /// The image that the Dockerfile starts with; null when reused.
    pub from_image: Option<String>,
    /// The reason for the decision.
    pub reason: String,
    /// The platforms that the image is for.
    #[serde(serialize_with = "as_strings")]
    pub platforms: Vec<Platform>,
    /// The staged build folder; null when nothing was staged.
    pub build_folder: Option<Utf8PathBuf>,
    /// What the engine or registry answered; null when nothing was built or reused.
    pub confirmed: Option<Confirmed>,
    /// With `--load --push`, what the engine answered; null when it has no such image.
    pub loaded: Option<Confirmed>,
    /// How large the confirmed image is; null when nothing was built, for several platforms, and where the store does
    /// not tell.
    pub size: Option<Size>,
    /// How long each step took.
    pub seconds: Seconds,
}

impl Report {
    /// One JSON object on one line.
    pub fn json(&self) -> String {
        json(self)
    }

    /// A few aligned lines: which image, from what, and why.
    pub fn lines(&self) -> String {
        let action = match (&self.action, self.build_from, &self.from_image) {
            (Action::Build, Some(from), Some(image)) => format!("build from {from}: {image}"),
            (Action::Build, ..) => "build".to_owned(),
            (Action::Reuse, ..) => "reuse: nothing is built".to_owned(),
        };
        let version_of = self.version_of.as_ref().map(|of| format!(", of {of}")).unwrap_or_default();
        let platforms: Vec<String> = self.platforms.iter().map(ToString::to_string).collect();
        aligned(&[
            ("image", &self.image),
            ("version", &format!("{}{version_of}", self.version)),
            ("action", &action),
            ("reason", &self.reason),
            ("platforms", &platforms.join(", ")),
            ("lock tag", &self.tags.lock),
            ("versioned tag", &self.tags.versioned),
        ])
    }
}

/// The names alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Names {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The image's full name: repository and source tag.
    pub image: String,
    /// The repository alone.
    pub repository: String,
    /// The repository of the lock tag and the versioned tag.
    pub lock_repository: String,
    /// The three tags, without their repositories.
    pub tags: ReportedTags,
}

impl Names {
    /// The names of an image.
    pub fn new(tags: &Tags) -> Self {
        let tag = |name: &ImageName| name.tag().unwrap_or_default().to_owned();
        Self {
            schema: SCHEMA,
            image: tags.source.to_string(),
            repository: tags.source.repository(),
            lock_repository: tags.lock.repository(),
            tags: ReportedTags { source: tag(&tags.source), lock: tag(&tags.lock), versioned: tag(&tags.versioned) },
        }
    }

    /// One JSON object on one line.
    pub fn json(&self) -> String {
        json(self)
    }

    /// Three aligned lines.
    pub fn lines(&self) -> String {
        let name = |tag: &str| format!("{}:{tag}", self.lock_repository);
        aligned(&[
            ("source", &self.image),
            ("lock", &name(&self.tags.lock)),
            ("versioned", &name(&self.tags.versioned)),
        ])
    }
}

fn json(value: &impl Serialize) -> String {
    // Plain data with string keys always serializes.
    let text = serde_json::to_string(value).unwrap_or_default();
    // Such characters are in strings only, which may hold each of them in this form too.
    let escaped = |character: char| {
        if is_obeyed(character) { format!("\\u{:04x}", u32::from(character)) } else { character.to_string() }
    };
    if text.contains(is_obeyed) { text.chars().map(escaped).collect() } else { text }
}

fn aligned(lines: &[(&str, &str)]) -> String {
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    lines.iter().map(|(name, value)| format!("{name:width$}  {}", one_line(value))).collect::<Vec<_>>().join("\n")
}

/// Build or reuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// The image is built.
    Build,
    /// The image exists.
    Reuse,
}

/// Tags without the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportedTags {
    /// Everything is the same.
    pub source: String,
    /// The dependencies are the same.
    pub lock: String,
    /// The base image and the version are the same.
    pub versioned: String,
}

/// Wall-clock time of each step, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Seconds {
    /// Finding, reading and hashing the project.
    pub hash: f64,
    /// Asking what exists, and deciding.
    pub plan: f64,
    /// Preparing the build folder.
    pub stage: f64,
    /// Building.
    pub build: f64,
    /// Asking the engine or registry back.
    pub confirm: f64,
}

impl Seconds {
    /// The same times, to the millisecond.
    #[must_use]
    pub fn rounded(self) -> Self {
        let thousandths = |seconds: f64| (seconds * 1000.0).round() / 1000.0;
        let Self { hash, plan, stage, build, confirm } = self;
        Self {
            hash: thousandths(hash),
            plan: thousandths(plan),
            stage: thousandths(stage),
            build: thousandths(build),
            confirm: thousandths(confirm),
        }
    }
}
