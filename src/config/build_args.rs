//! Build arguments: how they are written, which look like secrets, and how a builder is given their values. Part of the
//! first step of the way, from arguments, environment and configuration to options.

use std::fmt;
use std::str::FromStr;

use crate::config::values::is_variable_name;
use crate::error::{Error, Result};
use crate::redact::{has_credentials, is_named_like_a_secret, redacted_wrong_pair};
use crate::system::environment::variable;
use crate::system::terminal::{Terminal, some_of};

/// What the names of variables start with that docker, podman, or what these start, read for themselves: plug-ins,
/// helpers for credentials, ssh, builders in a cloud, caches, Go, the C library and shells.
const READ_BY_ENGINES: &[&str] = &[
    "ACTIONS_",
    "AWS_",
    "AZURE_",
    "BASH",
    "BUILDAH_",
    "BUILDKIT_",
    "BUILDX_",
    "CLICOLOR",
    "CLOUDSDK_",
    "COMPOSE_",
    "CONTAINERS_",
    "CONTAINER_",
    "DBUS_",
    "DOCKER_",
    "EXPERIMENTAL_",
    "GIT_",
    "GITHUB_",
    "GLIBC_",
    "GNUPG",
    "GOCOVERDIR",
    "GODEBUG",
    "GOGC",
    "GOMAXPROCS",
    "GOMEMLIMIT",
    "GOOGLE_",
    "GOTRACEBACK",
    "KUBE",
    "LC_",
    "LD_",
    "LISTEN_",
    "MALLOC_",
    "NOTIFY_SOCKET",
    "OTEL_",
    "PYTHON",
    "REGISTRY_AUTH_FILE",
    "SSH_",
    "SSL_CERT_",
    "STORAGE_",
    "XDG_",
    "_CONTAINERS_",
];

/// Whole names of such variables. Those of proxies are read in small letters too.
const READ_BY_ENGINES_AS_A_WHOLE: &[&str] = &[
    "ALL_PROXY",
    "CI",
    "COLORTERM",
    "ENV",
    "EPOCHREALTIME",
    "EPOCHSECONDS",
    "FTP_PROXY",
    "HISTCMD",
    "HOME",
    "HOSTALIASES",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "IFS",
    "LANG",
    "LANGUAGE",
    "LINENO",
    "LOGNAME",
    "NO_COLOR",
    "NO_PROXY",
    "OLDPWD",
    "OPTERR",
    "OPTIND",
    "PATH",
    "PPID",
    "PS1",
    "PS2",
    "PS4",
    "PWD",
    "RANDOM",
    "RES_OPTIONS",
    "SHELL",
    "SHELLOPTS",
    "SHLVL",
    "SOURCE_DATE_EPOCH",
    "SRANDOM",
    "TERM",
    "TMP",
    "TMPDIR",
    "TZ",
    "USER",
];

/// A build argument for the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildArg {
    /// Letters, digits and `_`.
    pub name: String,
    /// Any text.
    pub value: String,
}

/// How a builder is given build arguments: as few values as can be are where all users of the machine see them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PassedOn {
    /// Values of `--build-arg`: names, whose values the builder takes from its environment, and some pairs.
    pub flags: Vec<String>,
    /// The variables to set for the builder.
    pub variables: Vec<(String, String)>,
}

impl BuildArg {
    /// Whether the name promises a secret.
    pub fn is_named_like_a_secret(&self) -> bool {
        is_named_like_a_secret(&self.name)
    }

    /// Whether the value is given by name, in the environment of docker or podman. A variable that these read themselves
    /// would change what they do: such an argument is given as it is, where all users of the machine see it.
    fn is_given_by_name(&self) -> bool {
        !is_read_by_engines(&self.name)
    }

    /// Whether the value is known to be secret.
    pub fn is_secret(&self) -> bool {
        self.is_named_like_a_secret() || has_credentials(&self.value)
    }

    /// Whether docker and podman have the same variable with the same value anyway.
    fn is_in_the_environment(&self) -> bool {
        variable(&self.name).as_deref() == Some(&*self.value)
    }

    /// Refuses a secret that could only be given where all users of the machine see it.
    ///
    /// # Errors
    /// A usage error that says how to give it instead.
    pub fn refuse_what_would_be_seen(&self) -> Result<()> {
        if self.is_given_by_name() || !self.is_secret() || self.is_in_the_environment() {
            return Ok(());
        }
        Err(Error::usage(format!(
            "the build argument `{}` cannot be handed on unseen: docker and podman read such a variable themselves",
            self.name
        ))
        .hint("set the variable itself for this run, with the same value, or use `--secret`"))
    }
}

/// Warns of build arguments that are named like secrets. An image shows them to everyone who has it.
pub fn warn_of_secrets(build_args: &[BuildArg], terminal: &Terminal) {
    let mut names: Vec<&str> = Vec::new();
    for argument in build_args.iter().filter(|argument| argument.is_named_like_a_secret()) {
        if !names.contains(&&*argument.name) {
            names.push(&argument.name);
        }
    }
    let (told, them) = match names.as_slice() {
        [] => return,
        [one] => (format!("the build argument `{one}` looks like a secret"), "its value"),
        some => (format!("the build arguments {} look like secrets", some_of(some)), "their values"),
    };
    terminal.warning(format!("{told}, and {them} will be in the image's history; steps that fetch take `--secret`"));
}

impl PassedOn {
    /// The arguments as a builder is given them. Of several with one name the last counts.
    pub fn of(build_args: &[BuildArg]) -> Self {
        let mut passed = Self::default();
        for (at, argument) in build_args.iter().enumerate() {
            if build_args[at + 1..].iter().any(|later| later.name == argument.name) {
                continue;
            }
            if argument.is_given_by_name() {
                passed.flags.push(argument.name.clone());
                passed.variables.push((argument.name.clone(), argument.value.clone()));
            } else if argument.is_secret() {
                // Refused unless the variable is set anyway.
                passed.flags.push(argument.name.clone());
            } else {
                passed.flags.push(argument.to_string());
            }
        }
        passed
    }
}

fn is_read_by_engines(name: &str) -> bool {
    let capitals = name.to_ascii_uppercase();
    READ_BY_ENGINES.iter().any(|start| name.starts_with(start))
        || READ_BY_ENGINES_AS_A_WHOLE.contains(&name)
        || (capitals.ends_with("_PROXY") && READ_BY_ENGINES_AS_A_WHOLE.contains(&&*capitals))
}

impl FromStr for BuildArg {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('=') {
            Some((name, value)) if is_variable_name(name) && !value.contains('\0') => {
                Ok(Self { name: name.to_owned(), value: value.to_owned() })
            }
            _ => Err(Error::usage(format!("invalid build argument {:?}", redacted_wrong_pair(text)))
                .hint("a build argument reads `KEY=VALUE`, `KEY` being letters, digits and `_`")),
        }
    }
}

impl fmt::Display for BuildArg {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}={}", self.name, self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn passed(texts: &[&str]) -> PassedOn {
        let build_args: Result<Vec<BuildArg>> = texts.iter().map(|text| text.parse()).collect();
        PassedOn::of(&build_args.expect("the test's arguments are valid"))
    }

    #[test]
    fn values_are_given_in_the_environment() {
        let passed = passed(&["TOKEN=a b", "PROFILE=x", "EMPTY=", "PROFILE=y"]);
        assert_eq!(passed.flags, ["TOKEN", "EMPTY", "PROFILE"]);
        let variables = [("TOKEN", "a b"), ("EMPTY", ""), ("PROFILE", "y")];
        assert_eq!(passed.variables, variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[rstest]
    #[case("PATH=/x")]
    #[case("HOME=/x")]
    #[case("DOCKER_HOST=tcp://x")]
    #[case("DOCKER_BUILDKIT=0")]
    #[case("BUILDX_BUILDER=x")]
    #[case("BUILDKIT_SYNTAX=x")]
    #[case("SOURCE_DATE_EPOCH=1")]
    #[case("https_proxy=http://x:1")]
    #[case("CONTAINERS_CONF=x")]
    #[case("LD_PRELOAD=x")]
    #[case("TMPDIR=/x")]
    #[case("OPTIND=1")]
    fn what_would_change_the_engines_program_is_given_as_it_is(#[case] text: &str) -> Result<()> {
        let passed = passed(&[text]);
        assert_eq!((passed.flags, passed.variables), (vec![text.to_owned()], Vec::new()));
        text.parse::<BuildArg>()?.refuse_what_would_be_seen()
    }

    #[rstest]
    #[case("AWS_SECRET_ACCESS_KEY=hunter2")]
    #[case("HTTPS_PROXY=http://user:hunter2@x:1")]
    fn a_secret_that_would_be_seen_is_refused_with_a_way_out(#[case] text: &str) -> Result<()> {
        let error = text.parse::<BuildArg>()?.refuse_what_would_be_seen().expect_err(text);
        assert!(error.hint_text().is_some_and(|hint| hint.contains("--secret")));
        assert!(!error.to_string().contains("hunter2"));
        assert!(!passed(&[text]).flags.concat().contains("hunter2"));
        Ok(())
    }

    #[rstest]
    #[case("hunter2", "\"***\"")]
    #[case("MY-TOKEN=hunter2", "\"MY-TOKEN=***\"")]
    #[case("=hunter2", "\"=***\"")]
    fn a_wrong_build_argument_is_told_without_its_value(#[case] text: &str, #[case] told: &str) {
        let error = text.parse::<BuildArg>().expect_err(text);
        assert_eq!(error.to_string(), format!("invalid build argument {told}"));
    }
}
