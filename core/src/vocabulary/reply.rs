//! A complete HTTP response, which a host sends unchanged.

use serde::Serialize;

use crate::vocabulary::facts::Facts;

/// Status, headers and body.
#[must_use = "a reply that is dropped leaves its client without an answer"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, with their values. The host adds `content-length` and `date`.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
    /// What logs and metrics say of the answer. It is not sent.
    pub facts: Facts,
}

impl Reply {
    /// The reply that all is well: status 200.
    pub fn ok() -> Self {
        Self::of_json(200, br#"{"status":"ok"}"#.to_vec())
    }

    /// The reply without its body, if the request was `HEAD`.
    pub(crate) fn for_head(mut self, is_head: bool) -> Self {
        if is_head {
            self.body.clear();
        }
        self
    }

    pub(crate) fn json(status: u16, body: &impl Serialize) -> Self {
        // Only maps with keys other than strings and failing `Serialize` impls can fail, and core has neither.
        Self::of_json(status, serde_json::to_vec(body).unwrap_or_default())
    }

    pub(crate) fn of_json(status: u16, body: Vec<u8>) -> Self {
        Self { status, headers: vec![("content-type", "application/json".to_owned())], body, facts: Facts::default() }
    }
}
