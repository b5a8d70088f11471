//! What operators watch with is in step with the list of metrics.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test panics to fail")]

use std::path::Path;

use isotherm_core::METRICS;

#[path = "../examples/dashboards/watched.rs"]
mod watched;

#[test]
fn files_are_as_the_list_makes_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (path, text) in watched::files() {
        let found = std::fs::read_to_string(root.join(path)).unwrap_or_default();
        assert!(found == text, "{path} is not what the list of metrics makes: run `cargo xtask dashboards`");
    }
}

#[test]
fn alerts_ask_for_metrics_of_the_list_and_have_a_runbook() {
    let page = include_str!("../../docs/watching.md");
    for alert in watched::ALERTS {
        let (name, expr) = (alert.name, alert.expr);
        let is_name = |sign: char| sign.is_ascii_lowercase() || sign == '_';
        for (at, _) in expr.match_indices("isotherm_") {
            let rest = &expr[at..];
            let asked = &rest[..rest.find(|sign| !is_name(sign)).unwrap_or(rest.len())];
            let asked = asked.strip_suffix("_bucket").unwrap_or(asked);
            assert!(METRICS.iter().any(|metric| metric.name == asked), "{name} asks for {asked}");
        }
        assert!(
            page.contains(&format!("\n| `{name}` |")),
            "{name} has no line in docs/watching.md that says what to do"
        );
    }
}
