//! The steps of an image: the shell files that the RUN lines of the built-in templates start. Also what steps are
//! given: mounts of secrets, certificates, users, commands. They are staged below `steps/`.

use crate::config::options::Options;
use crate::config::secrets::CA_BUNDLE_SECRET;
use crate::config::values::Cmd;
use crate::staging::staged::StagedFile;
use crate::staging::tree_path::TreePath;

/// A file below `steps/` of the build folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Its file name, as an image's history shows it.
    pub name: &'static str,
    /// Its content.
    pub text: &'static str,
}

/// The files that a template's RUN lines need, by the part of the Dockerfile whose hash they are in. RUN lines mount
/// all of them. So their text is the same for all projects: another text would lose every cached result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Steps {
    /// The steps before the project's dependencies.
    pub system: &'static [Step],
    /// The steps that build the project's dependencies.
    pub dependencies: &'static [Step],
    /// The steps that build the project itself.
    pub runtime: &'static [Step],
    /// The further steps of a slim image.
    pub slim: &'static [Step],
}

macro_rules! step {
    ($name:literal) => {
        Step { name: $name, text: include_str!(concat!("../templates/steps/", $name)) }
    };
}

const COMMON: Step = step!("common.sh");
const INSTALL_PACKAGES: Step = step!("install-packages");
const INSTALL_EXTRA_DEPS: Step = step!("install-extra-deps");
const CREATE_USER: Step = step!("create-user");

/// What Cargo runs in place of the compiler for the skeleton's targets. It is executable where it is staged beside
/// them.
pub const COMPILE_SKELETON: Step = step!("compile-skeleton");

impl Steps {
    /// The steps of the cargo kind.
    pub const CARGO: Self = Self {
        system: &[
            COMMON,
            INSTALL_PACKAGES,
            step!("install-toolchain"),
            step!("install-auditable"),
            INSTALL_EXTRA_DEPS,
            step!("install-targets"),
            CREATE_USER,
        ],
        dependencies: &[step!("cargo.sh"), step!("sort-file-lists.pl"), COMPILE_SKELETON, step!("build-dependencies")],
        runtime: &[step!("seed.sh"), step!("build-sources"), step!("programs.sh"), step!("install-binaries")],
        slim: &[
            step!("install-run-packages"),
            step!("check-inputs"),
            step!("collect-assets"),
            step!("add-run-user"),
            step!("check-binaries"),
        ],
    };

    /// The steps of the custom kind's built-in template.
    pub const CUSTOM: Self = Self {
        system: &[COMMON, INSTALL_PACKAGES, INSTALL_EXTRA_DEPS, CREATE_USER],
        dependencies: &[],
        runtime: &[step!("prebuild")],
        slim: &[],
    };

    /// All steps, as they are staged.
    pub fn staged(&self) -> Vec<StagedFile> {
        let all = [self.system, self.dependencies, self.runtime, self.slim].concat();
        all.into_iter().map(|step| StagedFile::text(TreePath::constant(step.name), step.text)).collect()
    }
}

/// The mounts of the steps that fetch: the secrets, the SSH agents and keys, for every user of the build.
pub fn mounts(options: &Options) -> String {
    let ids = options.secrets.iter().map(|secret| secret.id.as_str());
    let bundle = options.ca_bundle.iter().map(|_| CA_BUNDLE_SECRET);
    let secrets = ids.chain(bundle).map(|id| format!("--mount=type=secret,id={id},mode=0444 "));
    let ssh = options.ssh.iter().map(|ssh| match &*ssh.id {
        "default" => "--mount=type=ssh,mode=0666 ".to_owned(),
        id => format!("--mount=type=ssh,id={id},mode=0666 "),
    });
    secrets.chain(ssh).collect()
}

/// Shell text for users' templates, after which what fetches trusts the mounted certificates.
pub fn trust() -> String {
    let names = "SSL_CERT_FILE CARGO_HTTP_CAINFO CURL_CA_BUNDLE GIT_SSL_CAINFO REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS";
    format!("for name in {names}; do export \"$name=/run/secrets/{CA_BUNDLE_SECRET}\"; done; ")
}

/// The words, quoted for a shell, on one line whatever they hold.
pub fn shell_words(words: &[String]) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    let single_quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let word = |word: &String| {
        if word.contains(['\n', '\r']) {
            let escaped = word.replace('\\', r"\\").replace('\n', r"\n").replace('\r', r"\r");
            format!("\"$(printf %b {})\"", single_quoted(&escaped))
        } else if word.is_empty() || !word.bytes().all(plain) {
            single_quoted(word)
        } else {
            word.clone()
        }
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// A default command as a Dockerfile spells it: on one line whatever it holds, and for a line of shell with the shell,
/// because a base image may have another one as its `SHELL`. Empty for an empty line.
pub fn cmd_text(cmd: &Cmd) -> String {
    match cmd {
        Cmd::Shell(line) if line.trim().is_empty() => String::new(),
        Cmd::Shell(line) => serde_json::json!(["/bin/sh", "-c", line]).to_string(),
        Cmd::Exec(words) => serde_json::Value::from(words.as_slice()).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_file_of_the_folder_is_a_step_of_a_kind() {
        let names = |steps: Steps| steps.staged().into_iter().map(|file| file.path.to_string());
        let staged: BTreeSet<String> = names(Steps::CARGO).chain(names(Steps::CUSTOM)).collect();
        let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/templates/steps"));
        let files: BTreeSet<String> = folder
            .expect("the folder is there")
            .map(|entry| entry.expect("a file").file_name().into_string().expect("UTF-8"))
            .collect();
        assert_eq!(staged, files);
    }

    #[test]
    fn a_command_is_one_instruction_whatever_it_holds() {
        let text = |cmd: &str| cmd_text(&Cmd::from(cmd));
        assert_eq!(text("a 'b' \"$C\" \\\nUSER root\\"), r#"["/bin/sh","-c","a 'b' \"$C\" \\\nUSER root\\"]"#);
        assert_eq!((text(r#"["a", "b c"]"#), text(" ")), (r#"["a","b c"]"#.to_owned(), String::new()));
    }

    #[test]
    fn every_secret_agent_and_key_is_mounted_by_its_id() {
        let settings = r#"secret = ["TYPE=env,\"ID=tok\",env=T"]
            ssh = ["default", "mykey=/k"]"#;
        let settings: crate::config::settings::Settings = toml::from_str(settings).expect("the test's TOML is valid");
        let options = settings.options(Vec::new()).expect("the options are valid");
        assert_eq!(
            mounts(&options),
            "--mount=type=secret,id=tok,mode=0444 --mount=type=ssh,mode=0666 --mount=type=ssh,id=mykey,mode=0666 "
        );
    }

    #[test]
    fn steps_and_templates_of_users_trust_the_same_certificates_by_the_same_names() {
        let trust = trust();
        let (loop_head, _) = trust.split_once("; do").expect("a loop");
        assert!(COMMON.text.contains(loop_head), "{loop_head}");
        assert!(COMMON.text.contains(&format!("ca_bundle=/run/secrets/{CA_BUNDLE_SECRET}\n")));
    }

    #[test]
    fn a_shell_reads_the_words_that_were_written_from_one_line() {
        let words =
            ["build", "", "build --release # x", "it's", "a\\n\nb\r%s", "-n \n\\0101", "$HOME `id` \"é\"", "<<EOF"];
        let line = shell_words(&words.map(str::to_owned));
        assert!(!line.contains(['\n', '\r']), "{line}");
        assert!(line.starts_with("build '' 'build --release # x' "), "{line}");
        let script = format!("for word in {line}; do printf '<%s>' \"$word\"; done");
        let output = std::process::Command::new("sh").args(["-euc", &script]).output().expect("sh runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), words.map(|word| format!("<{word}>")).concat());
    }
}
