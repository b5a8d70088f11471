//! The modelled parts of a result: costs, and the share of cold requests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::stats::Estimate;

/// The source of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Measured in this run, on this machine.
    Measured,
    /// Published by others, with a source.
    Published,
    /// Computed from measured or published figures.
    Modelled,
}

impl Kind {
    /// The word that marks such figures.
    pub fn word(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Published => "published",
            Self::Modelled => "modelled",
        }
    }
}

/// The cost of the measured usage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// The source of the figures.
    pub kind: Kind,
    /// Events per month for [`Self::lines`].
    pub monthly_events: f64,
    /// The assumptions behind the figures, one sentence each: the day of the prices, factors, latencies.
    #[serde(default)]
    pub assumptions: Vec<String>,
    /// One for each platform or design.
    #[serde(default)]
    pub lines: Vec<CostLine>,
    /// Cost against volume, one for each platform or design.
    #[serde(default)]
    pub curves: Vec<CostCurve>,
    /// The volumes at which another platform or design becomes the cheapest.
    #[serde(default)]
    pub crossings: Vec<Crossing>,
}

/// The cost of a million events with one platform or design.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CostLine {
    /// The name of the platform or design.
    pub name: String,
    /// The cost by groups of services, in the order in which they are stacked.
    pub items: Vec<CostItem>,
    /// The sum, in USD per million events. Its interval follows from the measured figures.
    pub total: Estimate,
}

/// One group of services.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CostItem {
    /// The group, such as `function`, `store`, `gateway`.
    pub service: String,
    /// USD per million events.
    pub usd: f64,
}

/// Cost against volume.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CostCurve {
    /// The name of the platform or design.
    pub name: String,
    /// Points of events per month, ascending, and USD per month.
    pub points: Vec<[f64; 2]>,
}

/// A volume at which another platform or design becomes the cheapest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Crossing {
    /// The volume in events per month.
    pub monthly_events: f64,
    /// The cost of both at this volume, in USD per month.
    pub usd: f64,
    /// The cheapest below this volume; names that tie are separated by commas.
    pub below: String,
    /// The cheapest above this volume.
    pub above: String,
}

/// The share of requests that meet a cold start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ColdShare {
    /// The name of the platform and of its policy for keeping instances.
    pub name: String,
    /// The source of the figures.
    pub kind: Kind,
    /// Points of requests per second, ascending, and the share from 0 to 1.
    pub points: Vec<[f64; 2]>,
}
