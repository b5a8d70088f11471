//! Checks that adapters are thin: they convert requests and replies, apply plans, and hold no rule.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::source::{lines, names};
use super::{files, is_rust};

/// The files that every adapter has, so that two adapters can be read side by side.
const SAME_FILES: [&str; 7] =
    ["entry.rs", "moved.rs", "request.rs", "response.rs", "rollups.rs", "store.rs", "watch.rs"];

/// Why a line of an adapter's code is more than thin, or `None` if it isn't.
fn forbidden(code: &str) -> Option<&'static str> {
    let named_status = |rest: &str| rest.starts_with(|char: char| char.is_ascii_uppercase());
    if names(code, "serde_json") && names(code, "Value") {
        Some("serde_json's Value: an event is opaque to an adapter, its record is text")
    } else if names(code, "json!") {
        Some("json!: the shape of an answer is core's")
    } else if code.split("StatusCode::").skip(1).any(named_status) {
        Some("a named StatusCode: an answer's status is core's")
    } else {
        None
    }
}

/// Fields of events and answers. An adapter that spells one looks into them.
const FIELDS: [&str; 12] = [
    "userId",
    "eventType",
    "properties",
    "messageId",
    "timestamp",
    "eventId",
    "duplicate",
    "conflict",
    "accepted",
    "invalid",
    "requestId",
    "results",
];

/// Whether a text literal is this field's name, or holds it in quotes, as JSON and its paths do. The plain word may
/// stand in a message.
fn spells(text: &str, field: &str) -> bool {
    let text = text.replace('\\', "");
    text == field
        || [format!("\"{field}\""), format!("$.{field}"), format!("/{field}"), format!("'{field}'")]
            .iter()
            .any(|it| text.contains(it))
}

/// Finds what makes an adapter more than thin.
pub(super) fn problems(dir: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let mut adapters: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for path in files(dir)?.into_iter().filter(|path| is_rust(path)) {
        let inside = path.strip_prefix(dir)?;
        let mut parts = inside.iter().map(|part| part.to_string_lossy().into_owned());
        // Only deployed code counts, not an adapter's own tests.
        if let (Some(adapter), Some(folder)) = (parts.next(), parts.next())
            && folder == "src"
        {
            adapters.entry(adapter).or_default().push(path);
        }
    }
    if adapters.is_empty() {
        problems.push(format!("{} holds no adapter", dir.display()));
    }
    for (adapter, sources) in adapters {
        let src = dir.join(&adapter).join("src");
        for file in SAME_FILES.iter().filter(|file| !src.join(file).is_file()) {
            problems.push(format!("adapters/{adapter}/src/{file} is missing: adapters have the same files"));
        }
        for path in sources {
            let text = fs::read_to_string(&path)?;
            for (number, line) in lines(&text).iter().enumerate() {
                let at = || format!("{}:{}", path.strip_prefix(dir).unwrap_or(&path).display(), number + 1);
                problems.extend(forbidden(&line.code).map(|why| format!("adapters/{}: {why}", at())));
                for field in FIELDS.iter().filter(|field| line.texts.iter().any(|text| spells(text, field))) {
                    problems
                        .push(format!("adapters/{}: {field:?}: an adapter does not look into events or answers", at()));
                }
            }
        }
    }
    Ok(problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gates::tree_of;

    fn with(request: &str) -> Vec<String> {
        let tree = tree_of(&[
            ("spin/src/entry.rs", ""),
            ("spin/src/moved.rs", ""),
            ("spin/src/request.rs", request),
            ("spin/src/response.rs", ""),
            ("spin/src/rollups.rs", ""),
            ("spin/src/store.rs", ""),
            ("spin/src/watch.rs", ""),
        ]);
        problems(tree.path()).unwrap()
    }

    #[test]
    fn a_thin_adapter_passes() {
        assert_eq!(
            with("// looks at no \"userId\"\nfn a(v: MyValue) {}\n#[cfg(test)]\nmod tests { \"userId\" }"),
            [""; 0]
        );
    }

    #[test]
    fn looking_into_an_event_is_found() {
        assert!(
            with("\nif event[\"userId\"].is_null() {}")[0].starts_with("adapters/spin/src/request.rs:2: \"userId\"")
        );
        assert!(with("let sql = \"SELECT record ->> '$.userId'\";")[0].contains("userId"));
        assert!(with("let body = \"{\\\"duplicate\\\":true}\";")[0].contains("duplicate"));
        assert!(with("use serde_json::{Map, Value};")[0].contains("serde_json's Value"));
        assert!(with("let body = serde_json::json!({});")[0].contains("json!"));
        assert!(with("let s = StatusCode::CONFLICT;")[0].contains("StatusCode"));
    }

    #[test]
    fn what_only_looks_like_it_passes() {
        let request =
            "let s = StatusCode::from_u16(reply.status);\nuse spin_sdk::sqlite::Value;\nlog(\"an invalid header\");";
        assert_eq!(with(request), [""; 0]);
    }

    #[test]
    fn a_missing_file_is_found() {
        let tree = tree_of(&[("spin/src/lib.rs", "")]);
        assert_eq!(problems(tree.path()).unwrap().len(), SAME_FILES.len());
        assert_eq!(problems(tree_of(&[]).path()).unwrap().len(), 1);
    }
}
