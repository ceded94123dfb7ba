//! Files that look like secrets which somebody committed by accident. They are warned of when a project is read: an
//! image shows them to everyone who has it.

use camino::Utf8Path;

use crate::config::options::Options;
use crate::config::values::ProjectKind;
use crate::error::{Error, Result};
use crate::staging::listing::{IGNORE_FILE, globs_from_root};
use crate::system::terminal::{Terminal, some_of};

/// Warns of files that look like secrets, unless `allow-secrets` says that they are meant. `paths` are those of all
/// files that would be in the image, from the project root.
///
/// # Errors
/// When a glob of `allow-secrets` is wrong, and when there are such files and `deny-secrets` is set.
pub fn warn_of_secrets<'a>(
    paths: impl IntoIterator<Item = &'a Utf8Path>,
    options: &Options,
    terminal: &Terminal,
) -> Result<()> {
    let meant = globs_from_root(&options.allow_secrets, "allow-secrets")?;
    let is_meant = |path: &Utf8Path| meant.matched_path_or_any_parents(path, false).is_ignore();
    let found: Vec<&Utf8Path> = paths.into_iter().filter(|path| looks_secret(path) && !is_meant(path)).collect();
    let (told, them, they_are) = match found.as_slice() {
        [] => return Ok(()),
        [one] => (format!("`{one}` looks like a secret and would be in the image"), "it", "it is"),
        some => {
            let (count, names) = (some.len(), some_of(some));
            (format!("{count} files look like secrets and would be in the image: {names}"), "them", "they are")
        }
    };
    // An OpenHands tree is copied as its own build copies it, which knows no ignore file.
    let leave_out = match options.kind {
        Some(ProjectKind::Openhands) => format!("take {them} out of the tree, or name {them}"),
        _ => format!("name {them} in `{IGNORE_FILE}`, or"),
    };
    let remedy = format!("{leave_out} in `allow-secrets` if {they_are} meant");
    if options.deny_secrets {
        return Err(Error::failed(format!("`deny-secrets` is set: {told}")).hint(remedy));
    }
    terminal.warning(format!("{told}; {remedy}"));
    Ok(())
}

fn looks_secret(path: &Utf8Path) -> bool {
    // Paths of the tree have one spelling, and all of them are looked at.
    let name = path.as_str().rsplit('/').next().unwrap_or_default();
    let extension = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, extension)| extension);
    let in_folder = |folder: &str| path.parent().and_then(Utf8Path::file_name) == Some(folder);
    let example = [".example", ".sample", ".template", ".dist"].iter().any(|ending| name.ends_with(ending));
    matches!(name, ".env" | ".netrc" | ".npmrc" | ".pypirc" | "id_rsa" | "id_dsa" | "id_ecdsa" | "id_ed25519")
        || (name.starts_with(".env.") && !example)
        || (matches!(name, "credentials" | "credentials.toml") && (in_folder(".cargo") || in_folder(".aws")))
        || (extension == Some("pem") && (name.contains("key") || name.contains("priv")))
        || extension.is_some_and(|extension| ["key", "p12", "pfx", "keystore"].contains(&extension))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(".env", true)]
    #[case("app/.env.production", true)]
    #[case(".env.example", false)]
    #[case(".cargo/credentials.toml", true)]
    #[case("deploy/id_rsa", true)]
    #[case("deploy/id_rsa.pub", false)]
    #[case("tls/server-key.pem", true)]
    #[case("tls/ca.pem", false)]
    #[case("src/main.rs", false)]
    fn secrets_are_known_by_name(#[case] path: &str, #[case] expected: bool) {
        assert_eq!(looks_secret(Utf8Path::new(path)), expected);
    }
}
