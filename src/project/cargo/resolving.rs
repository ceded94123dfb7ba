//! `Cargo.lock` where the tree has none, or one that is out of date. Cargo resolves in a temporary folder, for the
//! compiler of the image; the tree stays as it is. Part of the step from options to project.

use std::fs;

use camino::Utf8Path;

use crate::error::{Context as _, Result};
use crate::project::cargo::inputs::LOCK_FILE;
use crate::project::cargo::root::Root;
use crate::staging::source::{SourceFile, SourceKind};
use crate::staging::staged::{make_link, set_mode};
use crate::system::cargo::CargoCall;
use crate::system::command::Capture;
use crate::system::environment::user_caches;
use crate::system::interrupt::Interrupt;
use crate::system::lock::RunFolder;
use crate::system::reading;

/// What is wrong with the tree's `Cargo.lock`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LockFileState {
    Missing,
    OutOfDate,
}

impl LockFileState {
    /// How a sentence about the lock file ends.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Missing => "is missing",
            Self::OutOfDate => "is out of date",
        }
    }

    /// What Cargo does about it.
    pub(super) fn subcommand(self) -> &'static [&'static str] {
        match self {
            Self::Missing => &["generate-lockfile"],
            Self::OutOfDate => &["update", "--workspace"],
        }
    }
}

/// The lock file that Cargo makes of `sources`. Of each new dependency it takes a version that the compiler can build:
/// `rustc`, or this machine's.
///
/// # Errors
/// Cargo's own.
pub(super) fn resolved(
    call: &CargoCall,
    root: &Root,
    sources: &[SourceFile],
    state: LockFileState,
    rustc: Option<&str>,
    interrupt: &Interrupt,
) -> Result<SourceFile> {
    let cannot = || "cannot prepare a folder for Cargo".to_owned();
    let folder = RunFolder::below(&user_caches(&root.path).join("resolving"), interrupt)?;
    let folder = folder.path.as_path();
    let tree = folder.join("tree");
    let lock_file = root.file(LOCK_FILE);
    for file in sources {
        interrupt.check()?;
        let path = tree.join(&file.path);
        fs::create_dir_all(path.parent().unwrap_or(&tree)).context(cannot)?;
        match &file.kind {
            SourceKind::Link { target } => make_link(target, &path).context(cannot)?,
            // Cargo writes this one.
            SourceKind::File { .. } if file.path == lock_file => {
                fs::copy(root.path.join(&file.path), &path).context(cannot)?;
            }
            SourceKind::Made { text } => fs::write(&path, text).context(cannot)?,
            SourceKind::File { .. } => make_link(root.path.join(&file.path).as_str(), &path).context(cannot)?,
        }
    }
    let call =
        CargoCall { folder: Some(tree.join(&root.workspace)), manifest_path: None, locked: false, ..call.clone() };
    let mut command = call.command(state.subcommand()).env("CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS", "fallback");
    if let Some(version) = rustc {
        let program = folder.join("rustc");
        write_rustc(&program, version).context(cannot)?;
        command = command.env("RUSTC", program.as_str()).env("RUSTC_WRAPPER", "").env("RUSTC_WORKSPACE_WRAPPER", "");
    }
    let output = command.run(Capture::Both, interrupt)?;
    if !output.success {
        return Err(command.failure(&output));
    }
    let text = reading::bytes(&tree.join(&lock_file)).context(|| format!("Cargo has written no `{LOCK_FILE}`"))?;
    Ok(SourceFile { path: lock_file, kind: SourceKind::Made { text } })
}

/// A program that says of itself what this version of the compiler does; Cargo asks nothing else of it.
fn write_rustc(path: &Utf8Path, version: &str) -> std::io::Result<()> {
    let says = format!(
        "rustc {version}\nbinary: rustc\ncommit-hash: unknown\ncommit-date: unknown\nhost: {}\nrelease: {version}\n\
         LLVM version: 1.0.0\n",
        std::env::consts::ARCH.to_owned() + "-unknown-linux-gnu"
    );
    fs::write(path, format!("#!/bin/sh\ncat <<'END'\n{says}END\n"))?;
    set_mode(path, 0o755).map_err(std::io::Error::other)
}
