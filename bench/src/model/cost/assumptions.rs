//! The assumptions of a table besides prices, with their sources. They are data, as prices are.

use std::cell::RefCell;
use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const ASSUMPTIONS: &str = include_str!("../../../assumptions.toml");

/// One assumption.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assumption {
    /// Its name in `--assume`.
    pub name: String,
    /// The value in its unit.
    pub value: f64,
    /// The unit, such as `ms`.
    pub unit: String,
    /// The meaning in words.
    pub about: String,
    /// Where the value comes from.
    pub source: String,
}

/// All assumptions, and the names of those that were used.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Assumptions {
    #[serde(rename = "assumption")]
    all: Vec<Assumption>,
    #[serde(skip)]
    used: RefCell<BTreeSet<String>>,
}

impl Assumptions {
    /// The program's built-in assumptions.
    pub(crate) fn read() -> Result<Self> {
        let assumptions: Self = toml::from_str(ASSUMPTIONS).context("the program's own assumptions")?;
        for (at, one) in assumptions.all.iter().enumerate() {
            ensure!(!assumptions.all[..at].iter().any(|other| other.name == one.name), "{} is there twice", one.name);
        }
        Ok(assumptions)
    }

    /// The value of an assumption, which then counts as used by the table.
    ///
    /// # Errors
    /// Fails if no assumption has this name.
    pub(crate) fn value(&self, name: &str) -> Result<f64> {
        let found = self.all.iter().find(|one| one.name == name);
        let value = found.with_context(|| format!("there is no assumption {name:?}"))?.value;
        self.used.borrow_mut().insert(name.to_owned());
        Ok(value)
    }

    /// Replaces the default value of an assumption.
    ///
    /// # Errors
    /// Fails if no assumption has this name, or if the value is below 0.
    pub(crate) fn set(&mut self, name: &str, value: f64, source: &str) -> Result<()> {
        let names = || self.all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
        ensure!(self.all.iter().any(|one| one.name == name), "there is no assumption {name:?}; there are {}", names());
        ensure!(value.is_finite() && value >= 0.0, "{name} must be 0 or above, and is {value}");
        for one in self.all.iter_mut().filter(|one| one.name == name) {
            (one.value, one.source) = (value, source.to_owned());
        }
        Ok(())
    }

    /// The assumptions used since the last call, in the order of the file.
    pub(crate) fn take_used(&self) -> Vec<Assumption> {
        let used = self.used.take();
        self.all.iter().filter(|one| used.contains(&one.name)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_rests_on_what_was_asked_for() {
        let mut assumptions = Assumptions::read().unwrap();
        assumptions.set("dynamodb-ms", 7.0, "--assume").unwrap();
        assert_eq!(assumptions.value("dynamodb-ms").unwrap(), 7.0);
        let used = assumptions.take_used();
        assert_eq!((used.len(), used[0].name.as_str(), used[0].source.as_str()), (1, "dynamodb-ms", "--assume"));
        assert!(assumptions.take_used().is_empty());
    }

    #[test]
    fn what_is_no_assumption_is_refused() {
        let mut assumptions = Assumptions::read().unwrap();
        let error = assumptions.set("dynamo", 7.0, "").unwrap_err().to_string();
        assert!(error.starts_with(r#"there is no assumption "dynamo"; there are cpu-factor, "#), "{error}");
        assert!(assumptions.set("dynamodb-ms", f64::NAN, "").is_err());
        assert!(assumptions.value("dynamo").is_err());
    }
}
