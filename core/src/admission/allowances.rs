//! How many events keys and tenants may send: what the configuration says.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::vocabulary::tenant::{ID, is_id};

/// Stands for all keys or tenants that the configuration does not name. Each has an allowance of its own.
const OTHERS: &str = "*";
/// The most of anything in an allowance.
const MOST: u64 = 1_000_000_000;
/// The longest window: a day.
const LONGEST: u64 = 24 * 60 * 60;

/// The configuration's `limits`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AllowancesText {
    #[serde(default)]
    keys: BTreeMap<String, AllowanceText>,
    #[serde(default)]
    tenants: BTreeMap<String, AllowanceText>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AllowanceText {
    events: Option<u64>,
    #[serde(default = "one")]
    seconds: u64,
    burst: Option<u64>,
    daily: Option<u64>,
}

fn one() -> u64 {
    1
}

/// How many events may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    pub(crate) rate: Option<Rate>,
    /// Events in one day of UTC.
    pub(crate) daily: Option<u64>,
}

/// How fast events may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Events in each window, in the long run.
    pub(crate) events: u64,
    /// Seconds of a window.
    pub(crate) seconds: u64,
    /// Events that may come at once.
    pub(crate) burst: u64,
}

/// An allowance of one key or tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) of: Of,
    /// The id of the key, or the name of the tenant.
    pub(crate) name: String,
    pub(crate) allowance: Allowance,
}

/// Whose allowance it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Of {
    Key,
    Tenant,
}

/// The allowances of all keys and tenants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowances {
    keys: BTreeMap<String, Allowance>,
    tenants: BTreeMap<String, Allowance>,
}

impl Allowances {
    /// Reads the configuration's member. An error text begins with the member's name.
    pub(crate) fn read(text: AllowancesText) -> Result<Self, String> {
        let read = |of: &str, texts: BTreeMap<String, AllowanceText>| {
            let read = |(name, text): (String, AllowanceText)| {
                if name != OTHERS && !is_id(&name) {
                    return Err(format!("limits.{of} has a name that {ID}, or be *"));
                }
                let allowance = allowance(&text).map_err(|problem| format!("limits.{of}: {problem}"))?;
                Ok((name, allowance))
            };
            texts.into_iter().map(read).collect::<Result<_, String>>()
        };
        Ok(Self { keys: read("keys", text.keys)?, tenants: read("tenants", text.tenants)? })
    }

    /// The ids of the keys that have allowances of their own.
    pub(crate) fn named_keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str).filter(|name| *name != OTHERS)
    }

    /// What a request with this key, for this tenant, has to keep within.
    pub(crate) fn of(&self, key: &str, tenant: &str) -> Vec<Rule> {
        let rule = |of, allowances: &BTreeMap<String, Allowance>, name: &str| {
            let allowance = *allowances.get(name).or(allowances.get(OTHERS))?;
            Some(Rule { of, name: name.to_owned(), allowance })
        };
        let rules = [rule(Of::Key, &self.keys, key), rule(Of::Tenant, &self.tenants, tenant)];
        rules.into_iter().flatten().collect()
    }
}

fn allowance(text: &AllowanceText) -> Result<Allowance, String> {
    let AllowanceText { events, seconds, burst, daily } = *text;
    for (name, value, most) in
        [("events", events, MOST), ("seconds", Some(seconds), LONGEST), ("burst", burst, MOST), ("daily", daily, MOST)]
    {
        if value.is_some_and(|value| !(1..=most).contains(&value)) {
            return Err(format!("{name} must be 1 to {most}"));
        }
    }
    if events.is_none() && (burst.is_some() || daily.is_none()) {
        return Err("events is missing: how many may come in so many seconds".to_owned());
    }
    let rate = events.map(|events| Rate { events, seconds, burst: burst.unwrap_or(events) });
    Ok(Allowance { rate, daily })
}
