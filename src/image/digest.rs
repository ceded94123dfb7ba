//! Digests: what an image is, whatever it is called.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::error::{Error, Result};

const ALGORITHM: &str = "sha256:";
const DIGITS: usize = 64;
/// The SHA-256 of nothing.
const OF_NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A digest as registries and engines spell it: `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Digest(String);

impl Default for Digest {
    /// The digest of nothing, which no image has.
    fn default() -> Self {
        Self(format!("{ALGORITHM}{OF_NOTHING}"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        match text.strip_prefix(ALGORITHM) {
            Some(hex) if hex.len() == DIGITS && hex.bytes().all(is_digit) => Ok(Self(text.to_owned())),
            _ => Err(Error::failed(format!("{text:?} is no digest: it is `sha256:` and 64 hexadecimal digits"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_a_digest_is_one() {
        let text = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(text.parse::<Digest>().map(|digest| digest.to_string()).ok(), Some(text.clone()));
        for wrong in ["", "sha256:", "sha256:0", &text.to_uppercase(), &text[7..], &format!("{text}0")] {
            assert!(wrong.parse::<Digest>().is_err(), "{wrong} was taken for a digest");
        }
        assert_eq!(format!("{:.19}", Digest::default()), "sha256:e3b0c44298fc");
    }
}
