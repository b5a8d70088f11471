//! An HTTP request as core sees it, on any platform.

/// The headers that core reads. A host passes those that the request has, under these names.
pub const HEADERS: &[&str] = &[
    "authorization",
    "content-type",
    "content-encoding",
    "content-length",
    "user-agent",
    "traceparent",
    "x-amzn-trace-id",
    "origin",
    "ce-dataschema",
    "ce-id",
    "ce-source",
    "ce-specversion",
    "ce-subject",
    "ce-time",
    "ce-type",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    #[cfg(feature = "test-stamp")]
    TEST_STAMP,
];

/// A header that replaces the host's stamp: `<milliseconds>.<32 hexadecimal digits>`. Only with the feature
/// `test-stamp`; otherwise core does not look for it.
pub const TEST_STAMP: &str = "x-isotherm-test-stamp";

/// One HTTP request.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The path as sent, percent-encoded, without the query and without any prefix that the platform adds (stages).
    pub path: &'a str,
    /// The query as sent, without `?`; empty if there is none.
    pub query: &'a str,
    /// The values of [`HEADERS`], under these names in lower case. If a header appears more than once, its values are
    /// joined by `, `. Bytes that are not UTF-8 are replaced by U+FFFD. [`joined`] does both.
    pub headers: &'a [(&'static str, String)],
    /// The body as sent. A host that reads it reads at most [`crate::Limits::body_bytes`] + 1 bytes and may drop the
    /// rest. The extra byte tells core that the body was longer.
    pub body: &'a [u8],
}

/// Joins the lines of a header, in order, into one value; `None` if there are no lines.
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
    /// The value of a header. An empty one counts as missing, since some platforms drop it.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty())
    }

    /// The stamp that a test fixes.
    #[cfg(feature = "test-stamp")]
    pub(crate) fn test_stamp(&self) -> Option<crate::vocabulary::time::Stamp> {
        let (received_at, entropy) = self.header(TEST_STAMP)?.split_once('.')?;
        Some(crate::vocabulary::time::Stamp {
            received_at: crate::vocabulary::time::Millis(received_at.parse().ok()?),
            entropy: u128::from_str_radix(entropy, 16).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_header_counts_as_missing() {
        let headers = [("content-type", String::new()), ("content-encoding", "gzip".to_owned())];
        let request = Request { method: "POST", path: "/events", query: "", headers: &headers, body: b"" };
        assert_eq!((request.header("content-type"), request.header("content-encoding")), (None, Some("gzip")));
    }
}
