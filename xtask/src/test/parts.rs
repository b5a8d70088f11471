//! The parts of the tests, and what each one needs.

use anyhow::{Result, bail};
use isotherm_tools::TOOLS;

use super::{
    Run, build, clippy, conformance, contract, dashboard, deny, deploy, doc, fmt, fuzzing, gate, simulation, unit, wasm,
};
use crate::build::Scope;
use crate::test::tally::Tally;

/// A part that `--only` can name.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub name: &'static str,
    pub run: fn(&Run, &mut Tally) -> Result<()>,
    /// Whether the quick test has it.
    is_quick: bool,
    /// Whether it needs the artifacts of the scope's platforms and the test programs.
    pub builds: bool,
    /// What it builds itself, in words.
    makes: &'static str,
    /// What it needs of `isotherm_tools::TOOLS`.
    needs: &'static [&'static str],
    /// What it needs besides in [`Scope::All`].
    needs_for_all: &'static [&'static str],
}

/// A part that the quick test has, and that needs nothing.
const QUICK: Part =
    Part { name: "", run: fmt, is_quick: true, builds: false, makes: "", needs: &[], needs_for_all: &[] };
/// A part that only `--all` has.
const LONG: Part = Part { is_quick: false, ..QUICK };

/// All parts in the order in which they run: parts that fail quickly come first.
const PARTS: [Part; 14] = [
    Part { name: "fmt", run: fmt, ..QUICK },
    Part { name: "deny", run: deny::check, needs: &["cargo tools"], ..LONG },
    Part { name: "clippy", run: clippy, needs_for_all: &["rust for wasm"], ..QUICK },
    Part { name: "doc", run: doc, ..QUICK },
    Part { name: "dashboard", run: dashboard, needs: &["node", "npm", "pages"], ..QUICK },
    Part { name: "build", run: build, builds: true, ..QUICK },
    Part {
        name: "unit",
        run: unit,
        builds: true,
        needs: &["node", "chromium", "runtime and bundlers", "pages", "sqlite3"],
        needs_for_all: &["curl", "python3"],
        ..QUICK
    },
    Part { name: "gates", run: gate, builds: true, needs: &["node", "runtime and bundlers"], ..QUICK },
    Part {
        name: "deploy",
        run: deploy::check,
        makes: "the artifact of Workers",
        needs: &[
            "python3",
            "promtool",
            "linters",
            "checkov",
            "wrangler",
            "rust for wasm",
            "node",
            "runtime and bundlers",
        ],
        ..LONG
    },
    Part { name: "wasm", run: wasm, makes: "core as a wasm module", needs: &["rust for wasm"], ..LONG },
    Part {
        name: "contract",
        run: contract::check,
        makes: "the plain server",
        needs: &["python3", "schemathesis"],
        ..LONG
    },
    Part { name: "simulation", run: simulation::check, makes: "the simulation", ..QUICK },
    Part { name: "fuzz", run: fuzzing, makes: "the fuzzing targets, with coverage", ..LONG },
    Part {
        name: "conformance",
        run: conformance,
        builds: true,
        needs: &["node", "chromium", "pages"],
        needs_for_all: &["cargo tools"],
        ..QUICK
    },
];

impl Part {
    /// The names of the tools that it needs besides those of the builds.
    pub(super) fn tools(&self, scope: Scope) -> impl Iterator<Item = &'static str> + use<> {
        let for_all = if scope == Scope::All { self.needs_for_all } else { &[] };
        self.needs.iter().chain(for_all).copied()
    }
}

/// The names of all parts.
pub(crate) fn names() -> String {
    PARTS.map(|part| part.name).join(" ")
}

/// The tools that all parts need.
pub(crate) fn tools() -> Vec<&'static str> {
    PARTS.iter().flat_map(|part| part.tools(Scope::All)).collect()
}

/// The named parts, or all that the scope has. A named part runs even if the quick test does not have it.
pub(super) fn chosen(scope: Scope, only: &[&str]) -> Result<Vec<Part>> {
    if let Some(unknown) = only.iter().find(|name| PARTS.iter().all(|part| part.name != **name)) {
        bail!("there is no part {unknown:?}; the parts are {}", names());
    }
    let is_chosen = |part: &Part| match only {
        [] => part.is_quick || scope == Scope::All,
        _ => only.contains(&part.name),
    };
    Ok(PARTS.into_iter().filter(is_chosen).collect())
}

/// Says what is tested, what is built for it, and which tools it uses.
pub(super) fn needs(scope: Scope, parts: &[Part]) -> String {
    let list = |names: Vec<&str>| names.join(", ");
    let mut text = format!("test: {}", list(parts.iter().map(|part| part.name).collect()));
    let mut platforms: &[&str] = &[];
    let mut made: Vec<String> =
        parts.iter().map(|part| part.makes.to_owned()).filter(|made| !made.is_empty()).collect();
    if parts.iter().any(|part| part.builds) {
        platforms = scope.platforms();
        let names = list(platforms.to_vec());
        made.insert(0, format!("the artifacts release, test and floor of {names}; the test programs"));
    }
    if !made.is_empty() {
        text += &format!("\n  builds what is stale of: {}", made.join("; "));
    }
    let tools: Vec<&str> = parts.iter().flat_map(|part| part.tools(scope)).collect();
    let used = TOOLS.iter().filter(|tool| tool.is_for(platforms) || tools.contains(&tool.name));
    let used: Vec<&str> = used.map(|tool| tool.name).collect();
    if !used.is_empty() {
        text += &format!("\n  uses: {}", list(used));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_need_tools_that_there_are_and_no_tool_is_needless() {
        let needed = tools();
        let known = |name: &str| TOOLS.iter().find(|tool| tool.name == name);
        assert!(needed.iter().all(|name| known(name).is_some()), "{needed:?}");
        for tool in TOOLS {
            let installs = TOOLS.iter().any(|other| other.installers().contains(&tool.name));
            assert!(installs || !tool.platforms.is_empty() || needed.contains(&tool.name), "{}", tool.name);
        }
    }

    #[test]
    fn the_quick_test_leaves_parts_out_and_a_named_part_runs_in_either_scope() {
        let names = |scope, only: &[&str]| -> Vec<&str> {
            chosen(scope, only).unwrap().into_iter().map(|part| part.name).collect()
        };
        assert_eq!(names(Scope::All, &[]).len(), PARTS.len());
        let quick = names(Scope::Quick, &[]);
        assert!(quick.contains(&"conformance") && !quick.contains(&"wasm"), "{quick:?}");
        assert_eq!(names(Scope::Quick, &["wasm", "fmt"]), ["fmt", "wasm"]);
        assert!(chosen(Scope::All, &["units"]).is_err());
    }

    #[test]
    fn a_part_says_what_it_needs() {
        let needs = |scope, part| needs(scope, &chosen(scope, &[part]).unwrap());
        assert_eq!(needs(Scope::Quick, "fmt"), "test: fmt");
        let quick = needs(Scope::Quick, "conformance");
        assert!(
            quick.contains("floor of native; the test programs\n")
                && quick.ends_with("uses: cc, node, chromium, pages"),
            "{quick}"
        );
        let all = needs(Scope::All, "conformance");
        assert!(all.contains("lambda, workers, spin, native") && all.contains("cargo tools"), "{all}");
        assert_eq!(
            needs(Scope::Quick, "wasm"),
            "test: wasm\n  builds what is stale of: core as a wasm module\n  uses: rust for wasm"
        );
    }
}
