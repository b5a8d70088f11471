//! Reads results of older versions.
//!
//! Version 1 calls the baseline `article`, keeps ranks over unequal scopes, and has no scopes. They follow from the
//! platform and its runtime.

use serde_json::{Map, Value};

use crate::results::SCHEMA;

/// The version before this one.
pub(crate) const OLD: &str = "isotherm.compare/1";

/// A result of version 1 in the form of this version, but for its scopes.
pub(crate) fn upgraded(mut result: Value) -> Value {
    let Some(fields) = result.as_object_mut() else { return result };
    if fields.get("schema").is_none_or(|schema| schema != OLD) {
        return result;
    }
    fields.insert("schema".to_owned(), SCHEMA.into());
    fields.remove("ranking");
    rename(fields, "article", "baseline");
    for platform in fields.get_mut("platforms").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(platform) = platform.as_object_mut() {
            platform.insert("scopes".to_owned(), Map::new().into());
        }
    }
    for part in ["cost", "baseline"] {
        fields.get_mut(part).into_iter().for_each(rename_designs);
    }
    result
}

fn rename(fields: &mut Map<String, Value>, old: &str, new: &str) {
    if let Some(value) = fields.remove(old) {
        fields.insert(new.to_owned(), value);
    }
}

/// Renames designs where something is called by a name.
fn rename_designs(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(rename_designs),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if ["name", "below", "above"].contains(&name.as_str()) => {
                        *text = text.replace("article's function", "baseline").replace("article", "baseline");
                    }
                    Value::Array(texts) if name == "assumptions" => {
                        for text in texts {
                            if let Value::String(text) = text {
                                *text = text.replace("article's", "baseline's");
                            }
                        }
                    }
                    other => rename_designs(other),
                }
            }
        }
        _ => {}
    }
}
