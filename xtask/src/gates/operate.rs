//! Rules for what operators deploy with.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::files;

/// Finds environment variables and bindings in `deploy` that no adapter reads. A misspelt one would be ignored in
/// silence.
pub(super) fn unread_names(deploy: &Path, adapters: &Path) -> Result<Vec<String>> {
    let mut sources = String::new();
    for path in files(adapters)?.iter().filter(|path| super::is_rust(path)) {
        sources += &fs::read_to_string(path)?;
    }
    let mut problems = Vec::new();
    for path in files(deploy)? {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        for name in variables(&text).into_iter().chain(text.lines().filter_map(binding)) {
            if !sources.contains(&format!("\"{name}\"")) {
                problems.push(format!("{}: no adapter reads {name}", path.display()));
            }
        }
    }
    Ok(problems)
}

/// The names of Isotherm's environment variables in a text.
fn variables(text: &str) -> BTreeSet<&str> {
    let is_name = |sign: char| sign.is_ascii_uppercase() || sign.is_ascii_digit() || sign == '_';
    let found = text.match_indices("ISOTHERM_").map(|(at, _)| {
        let rest = &text[at..];
        &rest[..rest.find(|sign| !is_name(sign)).unwrap_or(rest.len())]
    });
    found.collect()
}

/// The binding that a line of wrangler.toml declares.
fn binding(line: &str) -> Option<&str> {
    line.strip_prefix("binding = \"")?.strip_suffix('"')
}

/// Finds alarms of the template that the page has no line for.
pub(super) fn alarms_without_runbook(template: &str, page: &str) -> Vec<String> {
    let lines: Vec<&str> = template.lines().collect();
    let alarms = lines.windows(2).filter(|two| two[1].trim() == "Type: AWS::CloudWatch::Alarm");
    let names = alarms.map(|two| two[0].trim().trim_end_matches(':'));
    names
        .filter(|name| !page.contains(&format!("\n| `{name}` |")))
        .map(|name| format!("the alarm {name} has no line in docs/lambda.md that says what to do"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree_of;
    use super::*;

    #[test]
    fn a_name_that_no_adapter_reads_is_found() {
        let tree = tree_of(&[
            ("adapters/a/src/store.rs", r#"environment("ISOTHERM_TABLE"); const B: &str = "BACKUP";"#),
            ("deploy/template.yaml", "ISOTHERM_TABLE: !Ref Events\nISOTHERM_TABEL: !Ref Events\n"),
            ("deploy/wrangler.toml", "binding = \"BACKUP\"\nbinding = \"BACKUPS\"\n"),
        ]);
        let root = tree.path();
        let problems = unread_names(&root.join("deploy"), &root.join("adapters")).unwrap();
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].ends_with("template.yaml: no adapter reads ISOTHERM_TABEL"), "{problems:?}");
        assert!(problems[1].ends_with("wrangler.toml: no adapter reads BACKUPS"), "{problems:?}");
    }

    #[test]
    fn an_alarm_without_a_runbook_is_found() {
        let template = "  Late:\n    Type: AWS::CloudWatch::Alarm\n\n  Slow:\n    Type: AWS::CloudWatch::Alarm\n";
        let problems = alarms_without_runbook(template, "| alarm |\n| --- |\n| `Late` | it is late |\n");
        assert_eq!(problems, ["the alarm Slow has no line in docs/lambda.md that says what to do"]);
    }
}
