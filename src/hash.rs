//! Hashes: the truncated base-36 form in tags, the length-prefixed field hash behind it, the digests of files. The step
//! from project and options to tags is made of them.
//!
//! MD5 makes names and nothing else. What decides whether something is the same is a BLAKE3 digest.

use md5::{Digest as _, Md5};

use crate::error::{Error, Result};

/// The version of what is hashed and how. Hashes of different versions never match.
pub const SCHEME: &str = "runtime-image/3";

/// The BLAKE3 digest of a file's content.
pub type ContentDigest = [u8; 32];

/// An MD5 digest, as names are made of it.
pub type Md5Digest = [u8; 16];

/// What inputs hash to: what their name is made of, and what they are known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hash {
    /// 32 hexadecimal digits, an MD5. Inputs can be made to share it.
    pub name: String,
    /// 64 hexadecimal digits, of BLAKE3: no two inputs share them.
    pub identity: String,
}

const BASE_36: &str = "0123456789abcdefghijklmnopqrstuvwxyz";

const TRUNCATED_LENGTH: usize = 16;

/// The short form of a hash: the number written in base 36 (`0-9a-z`), least significant digit first, cut after 16
/// digits. Zero gives the empty string.
///
/// This is the reference documentation's `truncate_hash`.
///
/// ```
/// let short = runtime_image::truncate_hash("b08f254d76b1c6a7ad924708c0032251")?;
/// assert_eq!(short, "pma2wc71uq3c9a85");
/// # Ok::<(), runtime_image::Error>(())
/// ```
///
/// # Errors
/// When `hex` is empty or holds anything but hexadecimal digits.
pub fn truncate_hash(hex: &str) -> Result<String> {
    if hex.is_empty() || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Error::failed(format!("`{hex}` is not a hexadecimal number")));
    }
    let digits: Vec<u8> = hex.bytes().map(hex_value).collect();
    let (head, pairs) = digits.split_at(digits.len() % 2);
    let bytes: Vec<u8> = head.iter().copied().chain(pairs.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1])).collect();
    // base-x writes one leading `0` for each leading zero byte; the number itself has none.
    Ok(base_x::encode(BASE_36, &bytes).trim_start_matches('0').chars().rev().take(TRUNCATED_LENGTH).collect())
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => digit.to_ascii_lowercase() - b'a' + 10,
    }
}

/// `bytes` as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The MD5 of `bytes` as 32 hexadecimal digits.
pub fn md5_hex(bytes: &[u8]) -> String {
    hex(&md5_digest(bytes))
}

/// The MD5 of `bytes`.
pub fn md5_digest(bytes: &[u8]) -> Md5Digest {
    Md5::digest(bytes).into()
}

/// The digest of `bytes`.
pub fn content_digest(bytes: &[u8]) -> ContentDigest {
    blake3::hash(bytes).into()
}

/// The digest of what is read in blocks.
#[derive(Debug, Default)]
pub struct ContentHasher(blake3::Hasher);

impl ContentHasher {
    /// Adds the next block.
    pub fn update(&mut self, block: &[u8]) {
        self.0.update(block);
    }

    /// The digest of all blocks, and how many bytes they hold.
    pub fn finish(self) -> (ContentDigest, u64) {
        (self.0.finalize().into(), self.0.count())
    }
}

/// A hash over named fields. Names and values are length-prefixed, so that no two different lists of fields spell the
/// same stream, and the stream starts with [`SCHEME`].
pub struct FieldHasher {
    name: Md5,
    identity: blake3::Hasher,
    /// What is not hashed yet: both are faster with more at once.
    waiting: Vec<u8>,
}

/// How many bytes are hashed at once.
const AT_ONCE: usize = 256 << 10;

impl FieldHasher {
    /// A hasher for one purpose (`lock`, `source`, ...): equal fields hashed for another purpose give another hash.
    pub fn new(purpose: &str) -> Self {
        let mut hasher = Self { name: Md5::new(), identity: blake3::Hasher::new(), waiting: Vec::new() };
        hasher.field(SCHEME, purpose);
        hasher
    }

    /// Adds one field.
    pub fn field(&mut self, name: &str, value: impl AsRef<[u8]>) {
        for part in [name.as_bytes(), value.as_ref()] {
            for bytes in [&(part.len() as u64).to_le_bytes(), part] {
                if self.waiting.len() + bytes.len() > AT_ONCE {
                    self.hash_waiting();
                }
                if bytes.len() > AT_ONCE {
                    self.name.update(bytes);
                    self.identity.update(bytes);
                } else {
                    self.waiting.extend_from_slice(bytes);
                }
            }
        }
    }

    fn hash_waiting(&mut self) {
        let Self { name, identity, waiting } = self;
        rayon::join(
            || name.update(&*waiting),
            || {
                identity.update(waiting);
            },
        );
        self.waiting.clear();
    }

    /// The hash.
    pub fn finish(mut self) -> Hash {
        self.hash_waiting();
        Hash { name: hex(&self.name.finalize()), identity: self.identity.finalize().to_hex().to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_reference_documentations_examples_come_out() -> Result<()> {
        assert_eq!(truncate_hash("b08f254d76b1c6a7ad924708c0032251")?, "pma2wc71uq3c9a85");
        assert_eq!(truncate_hash("102aecc0cea025253c0278f54ebef078")?, "4titk6gquia3taj5");
        Ok(())
    }

    #[test]
    fn zero_is_empty_and_case_does_not_matter() -> Result<()> {
        assert_eq!(truncate_hash("00000000000000000000000000000000")?, "");
        assert_eq!(truncate_hash("AbC")?, truncate_hash("abc")?);
        Ok(())
    }

    #[test]
    fn what_is_not_hexadecimal_is_refused() {
        for text in ["", "xyz", "0x12", " 12", "1 2", "-1", "١"] {
            assert!(truncate_hash(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn fields_do_not_run_into_each_other() {
        let hash = |fields: &[(&str, &str)]| {
            let mut hasher = FieldHasher::new("test");
            fields.iter().for_each(|(name, value)| hasher.field(name, value));
            hasher.finish()
        };
        assert_ne!(hash(&[("a", "bc")]), hash(&[("ab", "c")]));
        assert_ne!(hash(&[("a", "b"), ("c", "d")]), hash(&[("a", "bcd")]));
        assert_ne!(hash(&[("a", "")]), hash(&[]));
    }

    proptest! {
        #[test]
        fn truncating_is_repeated_division_by_36(value: u128) {
            let mut expected = String::new();
            let mut rest = value;
            while rest > 0 && expected.len() < 16 {
                expected.push(char::from_digit((rest % 36) as u32, 36).unwrap_or('?'));
                rest /= 36;
            }
            prop_assert_eq!(truncate_hash(&format!("{value:032x}")).ok(), Some(expected.clone()));
            prop_assert_eq!(truncate_hash(&format!("{value:x}")).ok(), Some(expected));
        }
    }
}
