//! Why a registry did not say whether an image is there, told from what `docker buildx imagetools` printed.
//! Used wherever a registry is asked: by the plan, after a push, and to confirm.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};

use crate::error::{Error, ErrorKind};
use crate::image::name::ImageName;

const FIRST_DELAY: Duration = Duration::from_millis(500);

const LONGEST_DELAY: Duration = Duration::from_secs(8);

/// How often something is written again at most, after failures that may pass.
const REWRITES: usize = 2;

/// The times to wait between questions.
pub(super) fn delays() -> impl Iterator<Item = Duration> {
    let delays = ExponentialBuilder::new().with_min_delay(FIRST_DELAY).with_max_delay(LONGEST_DELAY);
    delays.with_jitter().without_max_times().build()
}

/// The times to wait before what a registry failed to take is written again.
pub(super) fn rewrites() -> impl Iterator<Item = Duration> {
    delays().take(REWRITES)
}

/// Why a registry did not say whether an image is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// 401 without a token: nobody is logged in, or may not read.
    Unauthorized,
    /// The token service refused, or could not be reached.
    Token,
    /// 403.
    Forbidden,
    /// 429.
    TooManyRequests,
    /// 5xx, of the registry or its token service, or a connection that broke.
    Server,
    /// Nobody listens there.
    Refused,
    /// The host's name is not known.
    UnknownHost,
    /// Certificates, or plain HTTP where HTTPS was expected.
    Tls,
    /// What answers is not a registry.
    NoRegistry,
    /// No answer at all.
    Silent,
    /// Anything else.
    Other,
}

impl Failure {
    /// From what `docker buildx imagetools` printed on stderr.
    pub(super) fn of(stderr: &str) -> Self {
        let said = |words: &[&str]| words.iter().any(|word| stderr.contains(word));
        let status = |code: &str| stderr.contains("unexpected status") && stderr.contains(&format!(": {code}"));
        // The text also holds a token service's status. A service that fails is asked again, as a registry is; one that
        // refuses is not.
        if said(&["429 Too Many Requests", "toomanyrequests"]) {
            Self::TooManyRequests
        } else if status("5") {
            Self::Server
        } else if said(&["failed to authorize", "failed to fetch"]) {
            Self::Token
        } else if said(&["pull access denied", "401 Unauthorized", "authorization failed"]) {
            Self::Unauthorized
        } else if status("403") {
            Self::Forbidden
        } else if said(&[": EOF", "connection reset", "broken pipe", "i/o timeout", "handshake timeout"]) {
            Self::Server
        } else if said(&["connection refused"]) {
            Self::Refused
        } else if said(&["no such host", "server misbehaving", "name resolution"]) {
            Self::UnknownHost
        } else if said(&["x509:", "tls:", "server gave HTTP response to HTTPS client"]) {
            Self::Tls
        } else if said(&["invalid character '<'", "text/html"]) {
            Self::NoRegistry
        } else {
            Self::Other
        }
    }

    /// How often to ask at most, while there is time.
    pub(super) fn most_tries(self) -> u32 {
        match self {
            // buildx does not tell the registry's Retry-After: only time ends the tries.
            Self::TooManyRequests => u32::MAX,
            Self::Server => 4,
            // The registry may be about to start.
            Self::Refused => 3,
            _ => 1,
        }
    }

    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Unauthorized => "it wants to know who asks (401)",
            Self::Token => "its token service gave no token",
            Self::Forbidden => "it forbids that (403)",
            Self::TooManyRequests => "it was asked too often (429)",
            Self::Server => "it failed",
            Self::Refused => "nobody listens there",
            Self::UnknownHost => "its host is not known",
            Self::Tls => "its certificate or protocol is not accepted",
            Self::NoRegistry => "what answers is not a registry",
            Self::Silent => "it does not answer",
            Self::Other => "`docker buildx imagetools` failed",
        }
    }

    pub(super) fn hint(self, image: &ImageName) -> String {
        let registry = image.registry();
        match self {
            Self::Unauthorized | Self::Token => {
                format!("`docker login {registry}` with an account that may read `{}`", image.repository())
            }
            Self::Forbidden => format!("ask whoever runs {registry} for the right to read `{}`", image.repository()),
            Self::TooManyRequests => "wait a minute, log in, or give it more time with `--registry-timeout`".to_owned(),
            Self::Server => "run again; if it stays, ask whoever runs the registry".to_owned(),
            Self::Refused => format!("check that a registry runs at {registry}"),
            Self::UnknownHost => format!("check the name {registry}, and the network"),
            Self::Tls => "have its certificate trusted, or declare it insecure in the engine's and the builder's \
                 configuration"
                .to_owned(),
            Self::NoRegistry => "check its address; a proxy or a login page may answer in its place".to_owned(),
            Self::Silent => "check the network; `--registry-timeout` gives it more time".to_owned(),
            Self::Other => format!("`docker buildx imagetools inspect {image}` asks the same"),
        }
    }

    pub(super) fn error(self, image: &ImageName, tries: u32, cause: String) -> Error {
        let tries = if tries > 1 { format!(", asked {tries} times") } else { String::new() };
        Error::failed(format!("cannot ask the registry for `{image}`: {}{tries}", self.what()))
            .because(cause)
            .hint(self.hint(image))
    }
}

/// Whether the registry said that there is no such image. No other failure is that answer, not even a part of an image
/// that is not found.
pub(crate) fn is_absent(image: &ImageName, stderr: &str) -> bool {
    stderr.trim_end().strip_suffix(": not found").is_some_and(|said| said.ends_with(&image.canonical()))
}

/// Whether a registry that the user did not name may fail like this.
pub(super) fn may_be_passed_over(error: &Error) -> bool {
    !matches!(error.kind(), ErrorKind::Interrupted(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn image() -> ImageName {
        "r.example/x:1".parse().expect("valid")
    }

    const HEAD: &str = "ERROR: failed to do request: Head \"https://r.example/v2/x/manifests/1\": ";

    // Failures that a test's registry on the loopback address cannot bring about.
    #[rstest]
    #[case("tls: failed to verify certificate: x509: certificate signed by unknown authority", Failure::Tls)]
    #[case("http: server gave HTTP response to HTTPS client", Failure::Tls)]
    #[case("net/http: TLS handshake timeout", Failure::Server)]
    #[case("dial tcp 192.0.2.1:443: i/o timeout", Failure::Server)]
    #[case("read tcp 192.0.2.2:4711->192.0.2.1:443: read: connection reset by peer", Failure::Server)]
    #[case("dial tcp: lookup r.example on 192.0.2.3:53: server misbehaving", Failure::UnknownHost)]
    #[case("dial tcp: lookup r.example: Temporary failure in name resolution", Failure::UnknownHost)]
    #[case("something new", Failure::Other)]
    fn a_failure_of_the_network_is_told_from_the_others(#[case] cause: &str, #[case] expected: Failure) {
        let stderr = format!("{HEAD}{cause}\n");
        assert!(!is_absent(&image(), &stderr));
        assert_eq!(Failure::of(&stderr), expected);
    }

    #[test]
    fn only_the_registry_s_own_word_makes_an_image_absent() {
        assert!(is_absent(&image(), "ERROR: r.example/x:1: not found\n"));
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert!(is_absent(
            &image().with_digest(&digest.parse().expect("a digest")),
            &format!("ERROR: r.example/x:1@{digest}: not found\n")
        ));
        for other in [
            "error getting credentials - err: exec: \"docker-credential-x\": executable file not found in $PATH",
            "ERROR: no builder \"team\" found",
            "ERROR: content at https://r.example/v2/x/blobs/sha256:12 not found: not found",
            "ERROR: r.example/x@sha256:12: not found",
            "",
        ] {
            assert!(!is_absent(&image(), other), "{other}");
        }
    }
}
