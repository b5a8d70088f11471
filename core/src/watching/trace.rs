//! Traces: which request of which caller a request belongs to, as W3C's Trace Context and AWS X-Ray write it.

use std::fmt;

use crate::admission::request::Request;
use crate::vocabulary::id::RequestId;
use crate::vocabulary::time::Stamp;

/// The header of W3C's Trace Context: `00-<32 digits>-<16 digits>-<2 digits>`.
pub(crate) const TRACEPARENT: &str = "traceparent";
/// The header of AWS: `Root=1-<8 digits>-<24 digits>;Parent=<16 digits>;Sampled=1`.
pub(crate) const X_RAY: &str = "x-amzn-trace-id";

/// The trace of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trace {
    /// The trace that the request belongs to.
    trace: u128,
    /// The work on this request within the trace.
    span: u64,
    /// The caller's work, if the request names it.
    parent: Option<u64>,
    /// The caller's flags. The last bit says that the caller records the trace.
    flags: u8,
    is_named: bool,
}

impl Trace {
    /// The trace that a request names. A request that names none begins one, whose id has the 128 bits of its
    /// requestId.
    pub(crate) fn of(request: &Request<'_>, stamp: Stamp) -> Self {
        // A span's id is never 0.
        let span = (stamp.entropy as u64).max(1);
        let w3c = request.header(TRACEPARENT).and_then(traceparent);
        let named = w3c.or_else(|| request.header(X_RAY).and_then(x_ray));
        let (trace, parent, flags) = named.unwrap_or((RequestId::of(stamp).bits(), None, 0));
        Self { trace, span, parent, flags, is_named: named.is_some() }
    }

    /// Whether the request names the trace, so that its sender knows about traces.
    pub(crate) fn is_named(&self) -> bool {
        self.is_named
    }

    /// The caller's work, as a request names it.
    pub(crate) fn parent(&self) -> Option<String> {
        self.parent.map(|parent| format!("{parent:016x}"))
    }

    /// The trace's id: 32 hexadecimal digits.
    pub(crate) fn id(&self) -> String {
        format!("{:032x}", self.trace)
    }

    /// Whether this is the trace that X-Ray writes as this root.
    pub(crate) fn is_x_rays(&self, root: &str) -> bool {
        // `1-` stands before the id's digits, with a dash among them.
        root.chars().filter(|c| *c != '-').skip(1).eq(self.id().chars())
    }
}

impl fmt::Display for Trace {
    /// The header `traceparent` of a request that is part of the work on this one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trace, span, flags, .. } = self;
        write!(f, "00-{trace:032x}-{span:016x}-{flags:02x}")
    }
}

/// A trace's id, the caller's span and its flags.
type Named = (u128, Option<u64>, u8);

/// Reads a `traceparent`. Later versions may have more after the flags.
fn traceparent(value: &str) -> Option<Named> {
    let mut parts = value.trim().split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_known = version.len() == 2 && version != "ff" && (version != "00" || parts.next().is_none());
    hex(version, 2)?;
    let (trace, span, flags) = (hex(trace, 32)?, hex(span, 16)? as u64, hex(flags, 2)? as u8);
    (is_known && trace != 0 && span != 0).then_some((trace, Some(span), flags))
}

/// Reads X-Ray's header. Its root is a trace's id, with two dashes in it.
fn x_ray(value: &str) -> Option<Named> {
    let digits = x_ray_root(value)?.strip_prefix("1-")?.replace('-', "");
    let parent = field(value, "Parent").and_then(|parent| hex(parent, 16)).map(|parent| parent as u64);
    let flags = u8::from(field(value, "Sampled") == Some("1"));
    Some((hex(&digits, 32)?, parent, flags)).filter(|(trace, ..)| *trace != 0)
}

/// The trace's id in X-Ray's header, as X-Ray writes it.
pub(crate) fn x_ray_root(value: &str) -> Option<&str> {
    let is_id = |root: &&str| root.len() == 35 && root.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    field(value, "Root").filter(is_id)
}

fn field<'v>(value: &'v str, name: &str) -> Option<&'v str> {
    value.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
}

/// Reads exactly so many hexadecimal digits, in lower case.
fn hex(digits: &str, count: usize) -> Option<u128> {
    let is_hex = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    if digits.len() == count && is_hex { u128::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::time::Millis;

    const STAMP: Stamp = Stamp { received_at: Millis(1_763_690_000_000), entropy: (7 << 64) | 0xabcd };

    fn trace(headers: &[(&'static str, &str)]) -> Trace {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Trace::of(&Request { method: "GET", path: "/", query: "", headers: &headers, body: b"" }, STAMP)
    }

    const W3C: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const AWS: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

    #[test]
    fn a_trace_goes_on_with_a_span_of_our_own() {
        let w3c = trace(&[(TRACEPARENT, W3C)]);
        assert_eq!(w3c.to_string(), "00-0af7651916cd43dd8448eb211c80319c-000000000000abcd-01");
        assert_eq!(w3c.parent().as_deref(), Some("b7ad6b7169203331"));
        let aws = trace(&[(X_RAY, AWS)]);
        assert_eq!(aws.to_string(), "00-5759e988bd862e3fe1be46a994272793-000000000000abcd-01");
        assert_eq!(aws.parent().as_deref(), Some("53995c3f42cd8ad8"));
        assert_eq!(trace(&[(X_RAY, AWS), (TRACEPARENT, W3C)]), w3c);
        assert_eq!(trace(&[(X_RAY, "Self=1-6-a; Root=1-5759e988-bd862e3fe1be46a994272793")]).id(), aws.id());
        let later = trace(&[(TRACEPARENT, "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03-more")]);
        assert_eq!(later.to_string(), "00-0af7651916cd43dd8448eb211c80319c-000000000000abcd-03");
    }

    #[test]
    fn what_names_no_trace_begins_one_with_the_bits_of_its_request_id() {
        let own = trace(&[]);
        assert_eq!((own.parent(), own.flags), (None, 0));
        assert_eq!(own.id(), format!("{:032x}", RequestId::of(STAMP).bits()));
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-01",
            "+0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-é0f7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(trace(&[(TRACEPARENT, wrong)]), own, "{wrong}");
        }
        for wrong in ["", "Root=", "Root=1-5759e988", "Root=2-5759e988-bd862e3fe1be46a994272793", "Parent=1"] {
            assert_eq!(trace(&[(X_RAY, wrong)]), own, "{wrong}");
        }
    }
}
