//! Events from clients that identify as bots are tagged, not dropped.

use serde_json::value::RawValue;

use crate::admission::json::Value;
use crate::admission::member;

/// Words in the header `user-agent` of crawlers and of browsers without a person.
const WORDS: [&str; 9] =
    ["bot", "crawl", "spider", "slurp", "headless", "lighthouse", "phantomjs", "facebookexternalhit", "archiver"];
/// The property that says by which word a client was recognised.
pub(crate) const TAG: &str = "$bot";

/// The words by which bots are recognised, in small letters; none if nobody looks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bots(Vec<String>);

impl Bots {
    /// Reads the configuration's member: `true`, or words. An error text begins with the member's name.
    pub(crate) fn read(text: &RawValue) -> Result<Self, String> {
        let words = match member::read("bots", text)? {
            Value::Bool(false) => Vec::new(),
            Value::Bool(true) => WORDS.map(str::to_owned).to_vec(),
            words => member::texts(&words).ok_or("bots must be true, false or an array of words")?,
        };
        if words.iter().all(|word| (1..=64).contains(&word.len())) {
            Ok(Self(words.iter().map(|word| word.to_ascii_lowercase()).collect()))
        } else {
            Err("bots has a word that must have 1 to 64 bytes".to_owned())
        }
    }

    /// The word by which this client is recognised.
    pub(crate) fn word(&self, user_agent: Option<&str>) -> Option<&str> {
        if self.0.is_empty() {
            return None;
        }
        let user_agent = user_agent?.to_ascii_lowercase();
        self.0.iter().find(|word| user_agent.contains(word.as_str())).map(String::as_str)
    }
}
