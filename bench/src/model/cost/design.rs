//! Designs: each turns monthly requests into usage on its platform.

use anyhow::Result;
use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::cost::given::Given;
use crate::model::cost::usage::Usage;
use crate::model::cost::{baseline, instead, lambda, managed, nodes, workers};

/// What is priced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Design {
    /// Isotherm on AWS Lambda
    Lambda,
    /// Isotherm on Lambda Managed Instances
    Managed,
    /// Isotherm on Cloudflare Workers
    Workers,
    /// Isotherm on nodes with Spin (SpinKube)
    Spin,
    /// Isotherm on Akamai Functions, whose prices are not published
    Akamai,
    /// Isotherm as a plain server on nodes
    Native,
    /// What it is to save from: a REST API, a function of 512 MB, a put to DynamoDB and one to S3 for each event
    #[value(alias = "article")]
    Baseline,
    /// What people would take instead on AWS: a REST API and Data Firehose, which writes files to S3
    Firehose,
    /// What people would take instead on Cloudflare: Pipelines, which writes files to R2
    Pipelines,
}

impl Design {
    /// Its name on the command line and in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Lambda => "lambda",
            Self::Managed => "managed",
            Self::Workers => "workers",
            Self::Spin => "spin",
            Self::Akamai => "akamai",
            Self::Native => "native",
            Self::Baseline => "baseline",
            Self::Firehose => "firehose",
            Self::Pipelines => "pipelines",
        }
    }

    /// Whether it is paid by use, at published prices.
    pub(crate) fn is_paid_by_use(self) -> bool {
        matches!(self, Self::Lambda | Self::Workers) || self.is_instead()
    }

    /// True for Isotherm itself where its prices are published. The choice is between these.
    pub(crate) fn is_paired(self) -> bool {
        !self.is_instead() && self != Self::Akamai
    }

    /// True for what people would take instead of Isotherm.
    pub(crate) fn is_instead(self) -> bool {
        self.lacks().is_some()
    }

    /// What it lacks beside Isotherm; `None` for Isotherm itself.
    pub(crate) fn lacks(self) -> Option<&'static str> {
        match self {
            Self::Baseline => {
                Some("duplicates count twice, batches are single requests, and reports are counters of its own")
            }
            Self::Firehose | Self::Pipelines => {
                Some("no report, no look-up, no check of an event, and duplicates count twice")
            }
            _ => None,
        }
    }

    /// The path of an event, on one line.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Lambda => "HTTP API, Lambda, DynamoDB; stream to rollups in DynamoDB, one object a batch in S3",
            Self::Managed => "HTTP API, Lambda Managed Instances, DynamoDB; the rest as on Lambda",
            Self::Workers => "Workers, Durable Objects with SQLite; folded by alarms, one object a fold in R2",
            Self::Spin => "SpinKube on nodes, SQLite",
            Self::Akamai => "Akamai Functions",
            Self::Native => "a plain server on nodes, SQLite",
            Self::Baseline => {
                "what articles on the subject describe: REST API, Lambda of 512 MB, DynamoDB; one object an event in S3; stream"
            }
            Self::Firehose => "REST API, Data Firehose, packed files in S3",
            Self::Pipelines => "Pipelines over HTTP, JSON files in R2",
        }
    }

    /// Number of nodes that the busiest hour needs; `None` for designs without nodes.
    ///
    /// # Errors
    /// Fails if the price book or the assumptions lack something.
    pub(crate) fn nodes_needed(self, given: &Given<'_>) -> Result<Option<f64>> {
        Ok(match self {
            Self::Managed => Some(managed::needed(given)?),
            Self::Spin => Some(nodes::needed(given, "spin-requests-per-second")?),
            Self::Native => Some(nodes::needed(given, "native-requests-per-second")?),
            _ => None,
        })
    }

    /// The usage of a month.
    ///
    /// # Errors
    /// Fails if the price book or the assumptions lack something.
    pub(crate) fn usage(self, given: &Given<'_>) -> Result<Usage> {
        match self {
            Self::Lambda => lambda::usage(given),
            Self::Managed => managed::usage(given),
            Self::Workers => workers::usage(given),
            Self::Spin => nodes::spin(given),
            Self::Akamai => nodes::akamai(given),
            Self::Native => nodes::native(given),
            Self::Baseline => baseline::usage(given),
            Self::Firehose => instead::firehose(given),
            Self::Pipelines => instead::pipelines(given),
        }
    }
}
