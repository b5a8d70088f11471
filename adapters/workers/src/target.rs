//! The target of a request, taken out of its URL.

/// The path and the query of a URL as the runtime gives it: absolute, percent-encoded, without a fragment.
pub(crate) fn path_and_query(url: &str) -> (&str, &str) {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let target = after_scheme.find('/').map_or("/", |at| &after_scheme[at..]);
    target.split_once('?').unwrap_or((target, ""))
}
