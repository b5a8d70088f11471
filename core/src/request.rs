//! An HTTP request as core sees it, whatever the platform calls it.

/// The headers that core reads. A host passes these, by these names, where the request has them.
#[cfg(not(feature = "test-stamp"))]
pub const HEADERS: &[&str] = &["authorization", "content-type", "content-encoding", "content-length"];
/// The headers that core reads. A host passes these, by these names, where the request has them.
#[cfg(feature = "test-stamp")]
pub const HEADERS: &[&str] = &["authorization", "content-type", "content-encoding", "content-length", TEST_STAMP];

/// `<milliseconds>.<32 hexadecimal digits>`: replaces the host's stamp. Only with the feature `test-stamp`.
#[cfg(feature = "test-stamp")]
pub const TEST_STAMP: &str = "x-isotherm-test-stamp";

/// One HTTP request.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The path as it was sent, percent-encoded, without the query and without what the platform puts before it (stages).
    pub path: &'a str,
    /// The query as it was sent, without `?`; empty when there is none.
    pub query: &'a str,
    /// The values of [`HEADERS`], by these names in lower case. The values of a header that is there more than once are joined by
    /// `, `, and what is not UTF-8 in them is replaced by U+FFFD: [`joined`] does both.
    pub headers: &'a [(&'static str, String)],
    /// The body as it was sent. A host that reads it reads [`crate::Limits::body_bytes`] + 1 bytes at most and may drop the
    /// rest: that one byte more is how core knows that there was more.
    pub body: &'a [u8],
}

/// The value of a header from its lines in order; `None` where there is no line.
pub fn joined<'v>(lines: impl IntoIterator<Item = &'v [u8]>) -> Option<String> {
    let mut lines = lines.into_iter().map(String::from_utf8_lossy);
    let mut value = lines.next()?.into_owned();
    for line in lines {
        value.push_str(", ");
        value.push_str(&line);
    }
    Some(value)
}

impl Request<'_> {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The stamp that a test fixes.
    #[cfg(feature = "test-stamp")]
    pub(crate) fn test_stamp(&self) -> Option<crate::time::Stamp> {
        let (received_at, entropy) = self.header(TEST_STAMP)?.split_once('.')?;
        Some(crate::time::Stamp {
            received_at: crate::time::Millis(received_at.parse().ok()?),
            entropy: u128::from_str_radix(entropy, 16).ok()?,
        })
    }
}
