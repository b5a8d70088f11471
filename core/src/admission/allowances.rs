//! How many events keys and tenants may send: what the configuration says.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::admission::json::Value;
use crate::admission::member;
use crate::vocabulary::tenant::{ID, is_id};

/// Stands for all keys or tenants that the configuration does not name. Each has an allowance of its own.
const OTHERS: &str = "*";
/// The most of anything in an allowance.
const MOST: u64 = 1_000_000_000;
/// The longest window: a day.
const LONGEST: u64 = 24 * 60 * 60;

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

/// The allowances of all keys and tenants, sorted by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowances {
    keys: Vec<(String, Allowance)>,
    tenants: Vec<(String, Allowance)>,
}

impl Allowances {
    /// Reads the configuration's member. An error text begins with the member's name.
    pub(crate) fn read(text: &RawValue) -> Result<Self, String> {
        let value = member::read("limits", text)?;
        let members = member::members(&value).filter(|members| member::has_only(members, &["keys", "tenants"]));
        let members = members.ok_or("limits must be an object with keys, tenants or both")?;
        let read = |of: &str| {
            let Some(value) = member::get(members, of) else { return Ok(Vec::new()) };
            let entries = member::members(value).ok_or_else(|| format!("limits.{of} must be an object"))?;
            let read = |(name, value): &(Cow<'_, str>, Value<'_>)| {
                if name != OTHERS && !is_id(name) {
                    return Err(format!("limits.{of} has a name that {ID}, or be *"));
                }
                let allowance = allowance(value).map_err(|problem| format!("limits.{of}: {problem}"))?;
                Ok((name.to_string(), allowance))
            };
            entries.iter().map(read).collect::<Result<_, String>>()
        };
        Ok(Self { keys: read("keys")?, tenants: read("tenants")? })
    }

    /// The ids of the keys that have allowances of their own.
    pub(crate) fn named_keys(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|(name, _)| name.as_str()).filter(|name| *name != OTHERS)
    }

    /// What a request with this key, for this tenant, has to keep within.
    pub(crate) fn of(&self, key: &str, tenant: &str) -> Vec<Rule> {
        let rule = |of, allowances: &[(String, Allowance)], name: &str| {
            let named = |name: &str| allowances.iter().find(|(known, _)| known == name);
            let (_, allowance) = named(name).or_else(|| named(OTHERS))?;
            Some(Rule { of, name: name.to_owned(), allowance: *allowance })
        };
        let rules = [rule(Of::Key, &self.keys, key), rule(Of::Tenant, &self.tenants, tenant)];
        rules.into_iter().flatten().collect()
    }
}

fn allowance(value: &Value<'_>) -> Result<Allowance, String> {
    const NAMES: [(&str, u64); 4] = [("events", MOST), ("seconds", LONGEST), ("burst", MOST), ("daily", MOST)];
    let members = member::members(value).filter(|members| member::has_only(members, &NAMES.map(|(name, _)| name)));
    let members = members.ok_or("an allowance has events, seconds, burst and daily, and nothing else")?;
    let mut values = [None; NAMES.len()];
    for ((name, most), place) in NAMES.into_iter().zip(&mut values) {
        if let Some(value) = member::get(members, name) {
            let value = member::whole(value).filter(|value| (1..=most).contains(value));
            *place = Some(value.ok_or_else(|| format!("{name} must be 1 to {most}"))?);
        }
    }
    let [events, seconds, burst, daily] = values;
    if events.is_none() && (burst.is_some() || daily.is_none()) {
        return Err("events is missing: how many may come in so many seconds".to_owned());
    }
    let rate = events.map(|events| Rate { events, seconds: seconds.unwrap_or(1), burst: burst.unwrap_or(events) });
    Ok(Allowance { rate, daily })
}
