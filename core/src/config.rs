//! What an operator decides
use std::fmt;
use crate::plan::*; use crate::reply::Reply; use crate::request::Request; use crate::time::Stamp;
/// Tenant
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tenant(String);
impl Tenant { 
    /// as text
    pub fn as_str(&self) -> &str { &self.0 } }
/// Limits
#[derive(Clone, Debug)]
pub struct Limits { 
    /// bytes of a body
    pub body_bytes: usize }
/// The configuration
#[derive(Clone, Debug)]
pub struct Config {}
/// bad
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);
impl fmt::Display for ConfigError { fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) } }
impl std::error::Error for ConfigError {}
impl Config {
    /// Reads the JSON that an operator wrote; an empty text is the default configuration.
    pub fn parse(_json: &str) -> Result<Self, ConfigError> { Ok(Self {}) }
}
/// The function
#[derive(Clone, Debug)]
pub struct Service { limits: Limits }
impl Service {
    /// new
    pub fn new(_config: Config) -> Self { Self { limits: Limits { body_bytes: 1<<20 } } }
    /// The limits in force.
    pub fn limits(&self) -> &Limits { &self.limits }
    /// One line for the operator at start where something needs attention: `no keys are configured: …`.
    pub fn notice(&self) -> Option<String> { None }
    /// admit
    pub fn admit(&self, _request: Request<'_>, _stamp: Stamp) -> Admission { todo!() }
}
impl StorePlan {
    /// Whose events they are.
    pub fn tenant(&self) -> &Tenant { todo!() }
    /// The events to keep, at most 500, no key twice.
    pub fn events(&self) -> &[NewEvent] { todo!() }
    /// The reply, from one outcome for each of [`StorePlan::events`], in their order; a missing one counts as [`StoreOutcome::Later`].
    pub fn settle(self, _outcomes: Vec<StoreOutcome>) -> Reply { todo!() }
}
/// s
#[derive(Debug)]
pub struct StorePlan {}
/// f
#[derive(Debug)]
pub struct FindPlan {}
impl FindPlan {
    /// Whose event it is.
    pub fn tenant(&self) -> &Tenant { todo!() }
    /// Its id.
    pub fn id(&self) -> crate::EventId { todo!() }
    /// The reply.
    pub fn settle(self, _found: FindOutcome) -> Reply { todo!() }
}
