//! What a build prints, with secret texts left out: BuildKit shows RUN lines with the values of build arguments, and
//! steps print what they please.

use std::collections::BTreeMap;

use crate::redact::HIDDEN;

/// What is shorter is in every output.
const SHORTEST: usize = 4;

/// Leaves texts out of what comes in parts. A part may end within such a text.
#[derive(Debug, Clone, Default)]
pub(super) struct Hiding {
    /// By their first byte, the longest first.
    texts: BTreeMap<u8, Vec<Vec<u8>>>,
    /// What came and may be the beginning of a text.
    waiting: Vec<u8>,
}

impl Hiding {
    pub(super) fn new(texts: &[String]) -> Self {
        let mut hiding = Self::default();
        for text in texts.iter().filter(|text| text.len() >= SHORTEST) {
            let of_first: &mut Vec<Vec<u8>> = hiding.texts.entry(text.as_bytes()[0]).or_default();
            of_first.push(text.as_bytes().to_owned());
            of_first.sort_by_key(|text| std::cmp::Reverse(text.len()));
        }
        hiding
    }

    /// What of `part`, and of what came before, can be shown now.
    pub(super) fn shown(&mut self, part: &[u8]) -> Vec<u8> {
        if self.texts.is_empty() {
            return part.to_owned();
        }
        self.waiting.extend_from_slice(part);
        self.without_texts(|text, rest| text.len() > rest.len() && text.starts_with(rest))
    }

    /// What still waits, when nothing more comes.
    pub(super) fn rest(&mut self) -> Vec<u8> {
        self.without_texts(|_, _| false)
    }

    /// What waits, up to where it may be the beginning of a text.
    fn without_texts(&mut self, may_begin: impl Fn(&[u8], &[u8]) -> bool) -> Vec<u8> {
        let mut shown = Vec::with_capacity(self.waiting.len());
        let mut at = 0;
        while let Some(first) = self.waiting.get(at) {
            let rest = &self.waiting[at..];
            let texts = self.texts.get(first).map_or(&[][..], Vec::as_slice);
            if texts.iter().any(|text| may_begin(text, rest)) {
                break;
            }
            if let Some(text) = texts.iter().find(|text| rest.starts_with(text)) {
                shown.extend_from_slice(HIDDEN.as_bytes());
                at += text.len();
            } else {
                shown.push(*first);
                at += 1;
            }
        }
        self.waiting.drain(..at);
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(&["a hunter2 b\n"], "a *** b\n")]
    #[case(&["a hun", "ter", "2 b hunt"], "a *** b hunt")]
    #[case(&["hunter2hunter23", "hunhunter2"], "******hun***")]
    #[case(&["h", "u", "n", "t", "e", "r", "2", "3"], "***")]
    #[case(&["abc"], "abc")]
    #[case(&["", "hunte", "x"], "huntex")]
    fn texts_are_left_out_wherever_a_part_ends(#[case] parts: &[&str], #[case] expected: &str) {
        let mut hiding = Hiding::new(&["hunter2", "hunter23", "abc", ""].map(str::to_owned));
        let mut shown: Vec<u8> = parts.iter().flat_map(|part| hiding.shown(part.as_bytes())).collect();
        shown.extend(hiding.rest());
        assert_eq!(String::from_utf8_lossy(&shown), expected);
    }
}
