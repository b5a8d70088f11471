//! A complete HTTP response, which a host sends unchanged.

use serde::Serialize;

use crate::vocabulary::facts::Facts;

/// The headers that a page may read of an answer.
const EXPOSED: &str = "retry-after, ratelimit, ratelimit-policy, x-ratelimit-reset";

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

    /// The reply that there is nothing to say: status 204, which has no body.
    pub(crate) fn no_content() -> Self {
        Self { status: 204, headers: Vec::new(), body: Vec::new(), facts: Facts::default() }
    }

    /// The reply with this script, always as JavaScript.
    pub(crate) fn script(body: Vec<u8>) -> Self {
        let header = |name, value: &str| (name, value.to_owned());
        let headers =
            vec![header("content-type", "text/javascript; charset=utf-8"), header("x-content-type-options", "nosniff")];
        Self { status: 200, headers, body, facts: Facts::default() }
    }

    /// Whether HTTP allows the reply a body. Without one it has no `content-length` either.
    pub fn may_have_body(&self) -> bool {
        self.status != 204
    }

    /// The reply, which pages of this origin may read, if there is one.
    pub(crate) fn shared_with(mut self, origin: Option<&str>) -> Self {
        if let Some(origin) = origin {
            self.headers.extend([
                ("access-control-allow-origin", origin.to_owned()),
                ("access-control-expose-headers", EXPOSED.to_owned()),
                ("vary", "Origin".to_owned()),
            ]);
        }
        self
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
