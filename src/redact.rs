//! Texts without what must not be shown: credentials in URLs, and values of what is named like a secret. Whatever this
//! tool prints goes through here, and errors leave out what they would repeat of such values.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What stands in the place of a value that is not shown.
pub const HIDDEN: &str = "***";

/// How deep values are looked into: a flag, its field, and a query in that, with one to spare. A text may hold a value of
/// a value of a value without end.
const DEEPEST: u8 = 4;

/// Flags whose values are `NAME=VALUE`, with values that may be secret whatever their names.
pub const FLAGS_OF_VALUES: [&str; 2] = ["--build-arg", "--env"];

/// Flags that are named like a secret and tell only where it is.
const FLAGS_OF_PLACES: [&str; 3] = ["--secret", "--allow-secret", "--deny-secrets"];

/// Further names of secrets in queries of URLs.
const IN_QUERIES: [&str; 7] = ["apikey", "auth", "key", "passwd", "pwd", "sig", "x-amz-credential"];

static URL: LazyLock<Regex> = LazyLock::new(|| pattern(r#"([A-Za-z][A-Za-z0-9+.-]*://)([^\s"'<>`]+)"#));

/// A name with its value: all of a quoted field, a quoted value, or what goes up to the next separator.
static FIELD: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?s)"(?<field>[\w.-]+)=(?:[^"]|"")*"|(?<query>[?&])?(?<name>[\w.-]+)=(?<value>"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,&;"'`)\]}]+)"#,
    )
});

/// What a message repeats of a text, as Rust writes texts.
static QUOTED: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(?s)"((?:[^"\\]|\\.)*)""#));

static AUTHORIZATION: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"([Aa]uthorization: *(?:[Bb]asic|[Bb]earer|[Tt]oken) +)\S+"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).unwrap_or_else(|_| unreachable!("a constant pattern"))
}

/// Whether a name promises a secret: `*TOKEN*`, `*PASSWORD*`, `*SECRET*` or `*_KEY`, in capitals or not.
pub fn is_named_like_a_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase().replace(['-', '.'], "_");
    ["TOKEN", "PASSWORD", "SECRET"].iter().any(|word| name.contains(word)) || name.ends_with("_KEY")
}

/// Whether a text holds a URL with credentials.
pub fn has_credentials(text: &str) -> bool {
    without_userinfo(text) != text
}

/// The text without credentials in URLs, without the values of fields that are named like a secret, and without HTTP's
/// own credentials.
pub fn redacted(text: &str) -> String {
    redacted_within(text, DEEPEST)
}

/// The same for values of values, so many levels deep. What lies deeper is left out.
fn redacted_within(text: &str, depth: u8) -> String {
    let Some(depth) = depth.checked_sub(1) else { return HIDDEN.to_owned() };
    let text = without_userinfo(text);
    let text = replaced(&FIELD, "=", &text, |found| {
        if let Some(name) = found.name("field") {
            return is_secret_field(name.as_str()).then(|| format!("\"{}={HIDDEN}\"", name.as_str()));
        }
        let query = found.name("query").map_or("", |sign| sign.as_str());
        let (name, value) = (found.name("name")?.as_str(), found.name("value")?.as_str());
        if FLAGS_OF_PLACES.contains(&name) {
            return Some(format!("{query}{name}={}", redacted_within(value, depth)));
        }
        let is_in_query = !query.is_empty() && IN_QUERIES.contains(&&*name.to_ascii_lowercase());
        if is_secret_field(name) || is_in_query {
            return Some(format!("{query}{name}={HIDDEN}"));
        }
        // A flag, or a field, whose value is fields again.
        value.contains('=').then(|| format!("{query}{name}={}", redacted_within(value, depth)))
    });
    replaced(&AUTHORIZATION, "uthorization", &text, |found| Some(format!("{}{HIDDEN}", found.get(1)?.as_str())))
        .into_owned()
}

fn is_secret_field(name: &str) -> bool {
    is_named_like_a_secret(name) || name.to_ascii_lowercase().contains("signature")
}

/// The arguments of a program, each redacted. The values of build arguments and variables are left out whatever their
/// names.
pub fn redacted_arguments<'a>(arguments: impl IntoIterator<Item = Cow<'a, str>>) -> Vec<String> {
    let mut shown: Vec<String> = Vec::new();
    let mut is_value = false;
    for argument in arguments {
        let flag = FLAGS_OF_VALUES.iter().find_map(|flag| {
            let value = argument.strip_prefix(flag)?.strip_prefix('=')?;
            Some(format!("{flag}={}", redacted_pair(value)))
        });
        shown.push(match flag {
            _ if is_value => redacted_pair(&argument),
            Some(flag) => flag,
            None => redacted(&argument),
        });
        is_value = FLAGS_OF_VALUES.contains(&&*argument);
    }
    shown
}

/// `NAME=VALUE` without the value.
pub fn redacted_pair(pair: &str) -> String {
    pair.split_once('=').map_or_else(|| pair.to_owned(), |(name, _)| format!("{name}={HIDDEN}"))
}

/// What was given where `NAME=VALUE` is wanted, without the value. What has no name may be a value alone.
pub fn redacted_wrong_pair(text: &str) -> String {
    if text.contains('=') { redacted_pair(text) } else { HIDDEN.to_owned() }
}

/// A message of a parser, which repeats the text that it did not expect, without the value in such a text.
pub fn redacted_message(message: &str) -> String {
    let message = replaced(&QUOTED, "\"", message, |found| {
        let text = found.get(1)?.as_str();
        text.contains('=').then(|| format!("\"{}\"", redacted_pair(text)))
    });
    redacted(&message)
}

/// An image reference that is none, without credentials. Those of a URL stand before `@`, as a name stands before its
/// digest.
pub fn redacted_reference(text: &str) -> String {
    let text = redacted(text);
    match text.rsplit_once('@') {
        Some((before, after)) if !is_like_a_digest(after) => {
            let scheme = before.find("://").map_or("", |end| &before[..end + 3]);
            format!("{scheme}{HIDDEN}@{after}")
        }
        _ => text,
    }
}

fn is_like_a_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, _)| algorithm.starts_with("sha") || algorithm.is_empty())
}

/// The text with what stands before the host of each URL left out.
fn without_userinfo(text: &str) -> Cow<'_, str> {
    replaced(&URL, "://", text, |found| {
        let (scheme, rest) = (found.get(1)?.as_str(), found.get(2)?.as_str());
        let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        // A password may hold a `/` that is not spelled out: then what looks like a port is no number.
        let ends_in_no_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| !authority.ends_with(']') && port.parse::<u16>().is_err() && !port.is_empty());
        let part = if authority.contains('@') {
            authority
        } else if ends_in_no_port {
            rest
        } else {
            return None;
        };
        let at = part.rfind('@').filter(|at| !is_like_a_digest(&rest[at + 1..]))?;
        Some(format!("{scheme}{HIDDEN}{}", &rest[at..]))
    })
}

/// The text with each place of the pattern replaced, where `replacement` gives something. Each place holds `mark`: most
/// texts do not, and no pattern is prepared for them.
fn replaced<'a>(
    pattern: &LazyLock<Regex>,
    mark: &str,
    text: &'a str,
    replacement: impl Fn(&Captures<'_>) -> Option<String>,
) -> Cow<'a, str> {
    if !text.contains(mark) {
        return Cow::Borrowed(text);
    }
    pattern.replace_all(text, |found: &Captures<'_>| {
        replacement(found).unwrap_or_else(|| found.get(0).map_or_else(String::new, |all| all.as_str().to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("GITHUB_TOKEN", true)]
    #[case("npm_token_2", true)]
    #[case("DbPassword", true)]
    #[case("SECRETS", true)]
    #[case("SIGNING_KEY", true)]
    #[case("signing-key", true)]
    #[case("KEY", false)]
    #[case("KEYBOARD", false)]
    #[case("PROFILE", false)]
    fn a_secret_is_known_by_its_name(#[case] name: &str, #[case] expected: bool) {
        assert_eq!(is_named_like_a_secret(name), expected);
    }

    #[rstest]
    #[case("https://user:pw@host/x and http://pw@host:80", "https://***@host/x and http://***@host:80")]
    #[case("assets=https://user:p@w@host/x@1", "assets=https://***@host/x@1")]
    #[case("http://user:p/w@host:3128", "http://***@host:3128")]
    #[case("https://host:8080/@scope/x", "https://host:8080/@scope/x")]
    #[case("http://[::1]/@scope/x", "http://[::1]/@scope/x")]
    #[case("deps=docker-image://debian@sha256:12", "deps=docker-image://debian@sha256:12")]
    #[case("deps=docker-image://r:1/x:1@sha256:12", "deps=docker-image://r:1/x:1@sha256:12")]
    #[case("type=gha,token=pw,scope=x", "type=gha,token=***,scope=x")]
    #[case("type=s3,\"secret_access_key=a,b\"\"c\",name=x", "type=s3,\"secret_access_key=***\",name=x")]
    #[case("--cache-to=token=pw,type=gha", "--cache-to=token=***,type=gha")]
    #[case("--cache-to=type=s3,secret_access_key=pw=", "--cache-to=type=s3,secret_access_key=***")]
    #[case("--secret=id=token,src=x", "--secret=id=token,src=x")]
    #[case("--secret id=token,env=TOKEN", "--secret id=token,env=TOKEN")]
    #[case("--label=dev.runtime-image.lock-hash=12ab", "--label=dev.runtime-image.lock-hash=12ab")]
    #[case("registries.x.token=\"p w\"", "registries.x.token=***")]
    #[case("https://host/x?a=1&private_token=pw#y", "https://host/x?a=1&private_token=***")]
    #[case("https://host/x?X-Amz-Signature=pw&sig=pw", "https://host/x?X-Amz-Signature=***&sig=***")]
    #[case("reads `KEY=VALUE`, `sig=x`", "reads `KEY=VALUE`, `sig=x`")]
    #[case("Authorization: Bearer abcdefgh.1", "Authorization: Bearer ***")]
    #[case("in basic terms", "in basic terms")]
    #[case("{{.Id}} a=b cargo build --features x=y", "{{.Id}} a=b cargo build --features x=y")]
    fn secrets_are_left_out_and_nothing_else(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(redacted(text), expected);
        assert_eq!(redacted(expected), expected, "what is redacted stays as it is");
    }

    #[test]
    fn values_of_build_arguments_are_left_out_whatever_their_names() {
        let arguments = ["--build-arg", "A=b c", "--build-arg", "HTTP_PROXY", "--build-arg=B=c", "--label", "a=b"];
        assert_eq!(
            redacted_arguments(arguments.map(Cow::Borrowed)),
            ["--build-arg", "A=***", "--build-arg", "HTTP_PROXY", "--build-arg=B=***", "--label", "a=b"]
        );
    }

    #[rstest]
    #[case("user:pw@host/x", "***@host/x")]
    #[case("https://user:pw@host/x", "https://***@host/x")]
    #[case("pw@host:5000/x", "***@host:5000/x")]
    #[case("pw@host", "***@host")]
    #[case("x:1@sha256:12", "x:1@sha256:12")]
    #[case("Mixed/x:1", "Mixed/x:1")]
    fn a_wrong_reference_is_told_without_credentials(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(redacted_reference(text), expected);
    }
}
