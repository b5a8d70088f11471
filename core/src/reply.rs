//! An HTTP response, whole: a host sends it as it is.

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
