//! Replaces the native adapter's `response`.

/// Why a request gets no answer.
#[derive(Debug)]
pub(crate) struct Abandoned(#[allow(dead_code, reason = "it is shown")] pub(crate) &'static str);
