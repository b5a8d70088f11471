//! An HTTP response, whole: a host sends it as it is.

use serde::Serialize;

/// Status, headers and body.
#[must_use = "a reply that is dropped leaves its client without an answer"]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, with their values. `content-length` and `date` are the host's.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// That all is well.
    pub fn ok() -> Self {
        Self::of_json(200, br#"{"status":"ok"}"#.to_vec())
    }

    /// The reply to a `HEAD` request: all but the body.
    pub(crate) fn for_head(mut self, is_head: bool) -> Self {
        if is_head {
            self.body.clear();
        }
        self
    }

    pub(crate) fn json(status: u16, body: &impl Serialize) -> Self {
        // Only maps with other keys than strings and failing `Serialize` impls fail, and core has neither.
        Self::of_json(status, serde_json::to_vec(body).unwrap_or_default())
    }

    pub(crate) fn of_json(status: u16, body: Vec<u8>) -> Self {
        Self { status, headers: vec![("content-type", "application/json".to_owned())], body }
    }
}
