//! What a provider's file says of one price.

/// What a file says of one price. What it does not speak of is not compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Says {
    /// The tiers in their order: units a month from which each begins, and its USD. Empty if the file has no price.
    pub tiers: Vec<(f64, f64)>,
    /// Units a month that are free.
    pub free: Option<f64>,
    /// Units a month that the plan includes.
    pub included: Option<f64>,
}
