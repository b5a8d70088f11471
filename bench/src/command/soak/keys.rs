//! The tenants of a soak and their keys, and its phases.

/// The keys of [`CONFIG`]. They are no secrets: they open data on loopback, and only during a soak.
pub(super) const GOOD: &str = "isotherm-soak-good";
pub(super) const HOSTILE: &str = "isotherm-soak-hostile";

/// Two tenants: the load of one must not affect the other.
pub(super) const CONFIG: &str = r#"{"keys": [
{"sha256": "da5464123ccbc4359f4d83cbf089af1077b209ec3de72b32b51ade84f2216d43", "tenant": "good", "scope": "both"},
{"sha256": "eefd38313422ff0c8d201ad52dc45d19c2f1b5f1eb94acad73cbd37e29dad183", "tenant": "hostile", "scope": "both"}]}"#;

/// Good clients alone, then good clients beside hostile ones.
pub(super) const PHASES: usize = 2;
