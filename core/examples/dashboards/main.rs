//! Writes what operators watch with, from the list of metrics: a Grafana dashboard, alert rules for Prometheus, and a
//! CloudWatch dashboard. `cargo xtask dashboards` runs it.
//!
//! Takes the folder of the project.

use std::path::PathBuf;

mod watched;

fn main() -> std::io::Result<()> {
    let root = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    for (path, text) in watched::files() {
        std::fs::write(root.join(path), text)?;
    }
    Ok(())
}
