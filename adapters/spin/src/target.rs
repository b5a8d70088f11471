//! The target of a request, as the runtime gives it.

/// The path and the query.
pub(crate) fn path_and_query(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}
