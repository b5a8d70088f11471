//! In the place of the native adapter's.

/// Why a request gets no answer.
#[derive(Debug)]
pub(crate) struct Abandoned(#[allow(dead_code, reason = "it is shown")] pub(crate) &'static str);
