//! Checks the contract with a validator that is not ours.

use std::path::Path;

use anyhow::{Context, Result};

use crate::paths;
use crate::shell::program;

/// Reasons why the file `document` is not a valid OpenAPI document.
pub(super) fn problems(document: &Path) -> Result<Vec<String>> {
    let validator = paths::tools().join("npm/node_modules/.bin/validate-api");
    let out = program(&validator).arg(document).output();
    let out = out.with_context(|| format!("cannot start {}: run `cargo xtask setup`", validator.display()))?;
    let report = String::from_utf8_lossy(&out.stdout);
    Ok(if out.status.success() { Vec::new() } else { vec![format!("{}: {report}", document.display())] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_without_paths_is_refused() {
        let document = paths::target().join("no-openapi.json");
        std::fs::write(&document, r#"{"openapi":"3.1.0","info":{"title":"t","version":"1"}}"#).unwrap();
        let problems = problems(&document).unwrap();
        assert!(problems[0].contains("paths"), "{problems:?}");
        std::fs::remove_file(document).unwrap();
    }
}
