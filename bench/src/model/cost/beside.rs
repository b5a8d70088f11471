//! A design with one service, or the way to pay for it, replaced.

use anyhow::Result;

use crate::model::cost::design::Design;
use crate::model::cost::given::Given;
use crate::model::cost::usage::{Service, Usage};

/// Seconds for which a provisioned unit is held.
const HELD: f64 = 3600.0;

/// One such design.
pub(crate) struct Beside {
    /// What is replaced.
    pub about: &'static str,
    /// The usage of a month.
    pub usage: Usage,
}

/// The designs beside one, with `usage` being that of the design itself.
///
/// # Errors
/// Fails if the price book or the assumptions lack something.
pub(crate) fn beside(design: Design, given: &Given<'_>, usage: &Usage) -> Result<Vec<Beside>> {
    if !matches!(design, Design::Lambda | Design::Managed) {
        return Ok(Vec::new());
    }
    let mut beside = Vec::new();
    if design == Design::Lambda {
        let about = "a function URL in place of the HTTP API, without its throttling and authorizers";
        beside.push(Beside { about, usage: usage.clone().without(Service::Gateway) });
    }
    // A unit that is held takes one unit each second. Scaling keeps it as busy as machines are.
    let held = 1.0 / (HELD * given.assumed("target-utilisation")?);
    let provisioned = usage.clone().replaced(None, "dynamodb-write", "dynamodb-provisioned-write", held);
    beside.push(Beside {
        about: "DynamoDB provisioned, scaled by the hour, in place of on demand",
        usage: provisioned.replaced(None, "dynamodb-read", "dynamodb-provisioned-read", held),
    });
    let events = Some(Service::Store);
    let seldom = usage.clone().replaced(events, "dynamodb-write", "dynamodb-ia-write", 1.0);
    beside.push(Beside {
        about: "Standard-IA for the table of events",
        usage: seldom.replaced(events, "dynamodb-storage", "dynamodb-ia-storage", 1.0),
    });
    Ok(beside)
}
