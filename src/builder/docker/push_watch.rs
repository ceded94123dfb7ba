//! Whether a push stands still, told from what buildx prints of it. Part of the build step.

use std::collections::HashSet;
use std::time::{Duration, Instant};

/// How much longer layers may take than any other request: of their way nothing is told until all have arrived.
const LAYERS: u32 = 120;

/// Looks at what a build prints, from its start on.
pub(super) struct PushWatch {
    timeout: Duration,
    /// What was said of the push, without times.
    seen: HashSet<String>,
    last: Option<(String, Instant)>,
    /// A line that is not yet complete.
    rest: String,
}

impl PushWatch {
    /// For a registry that has this long to answer.
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, seen: HashSet::new(), last: None, rest: String::new() }
    }

    /// Reads what was printed since the last call, and says what the push stands still at, if it does.
    pub(super) fn stands_still(&mut self, news: &str, now: Instant) -> Option<String> {
        self.rest.push_str(news);
        let complete = self.rest.rfind(['\n', '\r']).map_or(0, |end| end + 1);
        let lines: String = self.rest.drain(..complete).collect();
        for line in lines.lines() {
            if let Some(said) = said_of_push(line)
                && self.seen.insert(said.clone())
            {
                self.last = Some((said, now));
            }
        }
        let (said, since) = self.last.as_ref()?;
        let longest = if said == "pushing layers" { self.timeout * LAYERS } else { self.timeout };
        (now.duration_since(*since) > longest).then(|| format!("{said}: nothing for {} s", longest.as_secs()))
    }
}

/// What a line says of a push, without times: `pushing layers`, `pushing manifest for NAME`, `pushing layer 1a2b 3MB / 5MB`.
fn said_of_push(line: &str) -> Option<String> {
    let start = ["pushing layer", "pushing manifest", "pushing "].iter().find_map(|words| line.find(words))?;
    let is_time = |word: &&str| word.strip_suffix('s').is_some_and(|number| number.parse::<f64>().is_ok());
    let words = line[start..].split_whitespace().filter(|word| !is_time(word) && *word != "done");
    Some(words.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const NAME: &str = "127.0.0.1:1/x:a@sha256:1";

    #[rstest]
    #[case("#6 pushing layers\n", 119, "")]
    #[case("#6 pushing layers\n", 121, "pushing layers: nothing for 120 s")]
    #[case(
        "#6 pushing manifest for 127.0.0.1:1/x:a@sha256:1\n",
        2,
        "pushing manifest for 127.0.0.1:1/x:a@sha256:1: nothing for 1 s"
    )]
    #[case(
        " => => pushing manifest for 127.0.0.1:1/x:a@sha256:1    0.3s\r\n",
        2,
        "pushing manifest for 127.0.0.1:1/x:a@sha256:1: nothing for 1 s"
    )]
    #[case("#6 RUN make pushing-tests\n", 9999, "")]
    fn a_push_stands_still_if_nothing_is_said_of_it(#[case] text: &str, #[case] seconds: u64, #[case] expected: &str) {
        let mut watch = PushWatch::new(Duration::from_secs(1));
        let start = Instant::now();
        assert_eq!(watch.stands_still(text, start), None);
        let later = start + Duration::from_secs(seconds);
        assert_eq!(watch.stands_still("", later).unwrap_or_default(), expected);
        // On a terminal the same is said again and again, with other times.
        let again = format!(" => => pushing manifest for {NAME}    7.3s\r\n");
        watch.stands_still(&again, later);
        assert!(watch.stands_still(&again.replace("7.3", "9.9"), later + Duration::from_secs(2)).is_some());
        let other = " => => pushing layer 1a2b 1.5MB / 5MB  9.9s\r\n";
        assert_eq!(watch.stands_still(other, later + Duration::from_secs(2)), None);
    }
}
