//! Why a registry did not do what it was asked, told from what `docker buildx` printed. Used wherever a registry is
//! asked or written to: by the plan, by a push, after it, and to confirm.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBuilder};

use crate::builder::inspect::without_warnings;
use crate::error::{Error, ErrorKind};
use crate::image::name::ImageName;

const FIRST_DELAY: Duration = Duration::from_millis(500);

const LONGEST_DELAY: Duration = Duration::from_secs(8);

/// How often something is written again at most, after failures that may pass.
const REWRITES: u32 = 2;

/// The times to wait between questions.
pub(super) fn delays() -> impl Iterator<Item = Duration> {
    let delays = ExponentialBuilder::new().with_min_delay(FIRST_DELAY).with_max_delay(LONGEST_DELAY);
    delays.with_jitter().without_max_times().build()
}

/// The tries to write something again. Faults may stay, and are tried a few times; too many requests pass with time.
pub(super) struct Rewrites<D> {
    delays: D,
    deadline: Instant,
    /// How often it was written.
    pub tries: u32,
}

/// The first of several tries, for a registry that has this long to answer.
pub(super) fn rewrites(timeout: Duration) -> Rewrites<impl Iterator<Item = Duration>> {
    Rewrites { delays: delays(), deadline: Instant::now() + timeout, tries: 1 }
}

impl<D: Iterator<Item = Duration>> Rewrites<D> {
    /// How long to wait before the next try after this failure; none if no try helps, or no time is left.
    pub fn delay_after(&mut self, failure: Failure) -> Option<Duration> {
        let may_pass = match failure {
            Failure::TooManyRequests => Instant::now() < self.deadline,
            _ => failure.may_pass() && self.tries <= REWRITES,
        };
        let delay = if may_pass { self.delays.next() } else { None };
        self.tries += u32::from(delay.is_some());
        delay
    }
}

/// What a registry was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    /// To say whether an image is there.
    Ask,
    /// To take an image.
    Push,
    /// To take an index.
    WriteIndex,
}

/// Why a registry did not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// 401 without a token: nobody is logged in, or may not read.
    Unauthorized,
    /// The token service refused, or could not be reached.
    Token,
    /// 403.
    Forbidden,
    /// 404 to a push: such registries have no repository that nobody made.
    NoRepository,
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

/// What is said of connections that break.
const BROKEN: &[&str] = &[
    ": EOF",
    "unexpected EOF",
    "connection reset",
    "broken pipe",
    "use of closed network connection",
    "i/o timeout",
    "handshake timeout",
];

impl Failure {
    /// From what `docker buildx` printed on stderr.
    pub(super) fn of(stderr: &str) -> Self {
        let stderr = &without_warnings(stderr);
        let said = |words: &[&str]| words.iter().any(|word| stderr.contains(word));
        let status = |code: &str| stderr.contains("unexpected status") && stderr.contains(&format!(": {code}"));
        // The text also holds a token service's status. A service that fails is asked again, as a registry is; one that
        // refuses is not.
        if said(&["429 Too Many Requests", "toomanyrequests"]) || status("429") {
            Self::TooManyRequests
        } else if status("5") {
            Self::Server
        } else if said(&["failed to authorize", "failed to fetch"]) {
            Self::Token
        } else if said(&["pull access denied", "push access denied", "401 Unauthorized", "authorization failed"])
            || status("401")
        {
            Self::Unauthorized
        } else if status("403") {
            Self::Forbidden
        } else if status("404") {
            Self::NoRepository
        } else if said(BROKEN) {
            Self::Server
        } else if said(&["connection refused"]) {
            Self::Refused
        } else if said(&["no such host", "server misbehaving", "name resolution"]) {
            Self::UnknownHost
        } else if said(&["x509:", "tls:", "server gave HTTP response to HTTPS client"]) {
            Self::Tls
        } else if said(&["invalid character '<'", "text/html", "invalid content digest in response"]) {
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
            Self::NoRepository => "it has no such repository (404)",
            Self::Other => "it did not do it",
        }
    }

    /// Whether a failure like this may pass.
    fn may_pass(self) -> bool {
        matches!(self, Self::TooManyRequests | Self::Server | Self::Refused)
    }

    pub(super) fn hint(self, doing: Doing, image: &ImageName) -> String {
        let registry = image.registry();
        let may = format!("{} `{}`", if doing == Doing::Ask { "read" } else { "write to" }, image.repository());
        match self {
            Self::Unauthorized | Self::Token => format!("`docker login {registry}` with an account that may {may}"),
            Self::Forbidden => format!("ask whoever runs {registry} for the right to {may}"),
            Self::NoRepository => {
                format!("make the repository `{}` there first, or check its name", image.repository())
            }
            Self::TooManyRequests => "wait a minute, log in, or give it more time with `--registry-timeout`".to_owned(),
            Self::Server => "run again; if it stays, ask whoever runs the registry".to_owned(),
            Self::Refused => format!("check that a registry runs at {registry}"),
            Self::UnknownHost => format!("check the name {registry}, and the network"),
            Self::Tls => "have its certificate trusted, or declare it insecure in the engine's and the builder's \
                 configuration"
                .to_owned(),
            Self::NoRegistry => "check its address; a proxy or a login page may answer in its place".to_owned(),
            Self::Silent => "check the network; `--registry-timeout` gives it more time".to_owned(),
            Self::Other if doing == Doing::Ask => format!("`docker buildx imagetools inspect {image}` asks the same"),
            Self::Other => format!("ask whoever runs {registry} what that means"),
        }
    }

    pub(super) fn error(self, doing: Doing, image: &ImageName, tries: u32, cause: String) -> Error {
        let (what, tries) = (self.what(), if tries > 1 { format!(", tried {tries} times") } else { String::new() });
        let error = match doing {
            Doing::Ask => Error::failed(format!("cannot ask the registry for `{image}`: {what}{tries}")),
            Doing::Push => Error::failed(format!("cannot push `{image}`: {what}{tries}")),
            Doing::WriteIndex => Error::failed(format!("cannot write the index of `{image}`: {what}{tries}")),
        };
        error.because(cause).hint(self.hint(doing, image))
    }
}

/// Whether the registry said that there is no such image. No other failure is that answer, not even a part of an image
/// that is not found.
pub(crate) fn is_absent(image: &ImageName, stderr: &str) -> bool {
    let said = without_warnings(stderr);
    said.strip_suffix(": not found").is_some_and(|said| said.ends_with(&image.canonical()))
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
    #[case("readfrom tcp 192.0.2.2:4711->192.0.2.1:443: use of closed network connection", Failure::Server)]
    #[case("something new", Failure::Other)]
    fn a_failure_of_the_network_is_told_from_the_others(#[case] cause: &str, #[case] expected: Failure) {
        let stderr = format!("{HEAD}{cause}\n");
        assert!(!is_absent(&image(), &stderr));
        assert_eq!(Failure::of(&stderr), expected);
    }

    #[rstest]
    #[case("unexpected status from POST request to http://r.example/v2/x/blobs/uploads/: 401 X", Failure::Unauthorized)]
    #[case("push access denied, repository does not exist or may require authorization", Failure::Unauthorized)]
    #[case("unexpected status from PUT request to http://r.example:5000/v2/x/manifests/1: 403 X", Failure::Forbidden)]
    #[case("unexpected status from POST request to http://r.example/v2/x/blobs/uploads/: 404 X", Failure::NoRepository)]
    #[case(
        "unexpected status from PUT request to http://r.example:5000/v2/x/manifests/1: 429 X",
        Failure::TooManyRequests
    )]
    #[case("unexpected status from HEAD request to http://r.example:403/v2/x/manifests/1: 503 X", Failure::Server)]
    #[case("failed commit on ref \"manifest-sha256:1\": invalid content digest in response: x", Failure::NoRegistry)]
    fn a_push_that_failed_says_why(#[case] cause: &str, #[case] expected: Failure) {
        assert_eq!(Failure::of(&format!("failed to push r.example/x:1: {cause}")), expected);
    }

    #[test]
    fn what_may_pass_is_written_again_a_few_times_and_what_stays_never() {
        let tries = |failure: Failure, timeout: u64| {
            let mut rewrites = rewrites(Duration::from_secs(timeout));
            (0..9).map_while(|_| rewrites.delay_after(failure)).count()
        };
        assert_eq!(
            [Failure::Server, Failure::Refused, Failure::Forbidden].map(|failure| tries(failure, 60)),
            [2, 2, 0]
        );
        assert_eq!((tries(Failure::TooManyRequests, 60), tries(Failure::TooManyRequests, 0)), (9, 0));
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
