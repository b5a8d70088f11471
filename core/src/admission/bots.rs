//! Bots: events of clients that say they are none of a person's are tagged, not dropped.

use serde::Deserialize;

/// Words in the header `user-agent` of crawlers and of browsers without a person.
const WORDS: [&str; 9] =
    ["bot", "crawl", "spider", "slurp", "headless", "lighthouse", "phantomjs", "facebookexternalhit", "archiver"];
/// The property that says by which word a client was recognised.
pub(crate) const TAG: &str = "$bot";

/// The configuration's `bots`: `true`, or words of its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum BotsText {
    Usual(bool),
    Words(Vec<String>),
}

/// The words by which bots are recognised, in small letters; none if nobody looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bots(Vec<String>);

impl Bots {
    pub(crate) fn read(text: BotsText) -> Result<Self, String> {
        let words = match text {
            BotsText::Usual(false) => Vec::new(),
            BotsText::Usual(true) => WORDS.map(str::to_owned).to_vec(),
            BotsText::Words(words) => words.iter().map(|word| word.to_lowercase()).collect(),
        };
        if words.iter().all(|word| (1..=64).contains(&word.len())) {
            Ok(Self(words))
        } else {
            Err("bots has a word that must have 1 to 64 bytes".to_owned())
        }
    }

    /// The word by which this client is recognised.
    pub(crate) fn word(&self, user_agent: Option<&str>) -> Option<&str> {
        if self.0.is_empty() {
            return None;
        }
        let user_agent = user_agent?.to_lowercase();
        self.0.iter().find(|word| user_agent.contains(word.as_str())).map(String::as_str)
    }
}
