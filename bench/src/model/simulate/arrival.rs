//! Arrivals: a stream of requests in the order of time.

use anyhow::Result;

use crate::model::logs::observed::Observed;
use crate::model::simulate::time::Micros;

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// Time since the first request, or since the start of generated arrivals.
    pub at: Micros,
    /// Its service time, if the trace gives one.
    pub service: Option<Micros>,
}

/// A stream of arrivals.
pub(crate) type Arrivals = Box<dyn Iterator<Item = Result<Arrival>>>;

/// Arrivals and the end of the trace.
pub(crate) struct Trace {
    /// The arrivals, in order of time.
    pub arrivals: Box<dyn Iterator<Item = Result<Arrival>>>,
    /// The end of the trace; `None` if it ends with the last arrival.
    pub end: Option<Micros>,
    /// Whether each arrival has a service time.
    pub has_service: bool,
    /// What a reader has to know of the trace's file.
    pub notes: Vec<String>,
    /// What Lambda's reports say of these arrivals, if the trace is made of such.
    pub observed: Option<Observed>,
}
