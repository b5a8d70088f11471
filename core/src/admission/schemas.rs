//! Which events must meet which schema.

use serde_json::value::RawValue;

use crate::admission::json::Value;
use crate::admission::member;
use crate::admission::schema::{Schema, Violation, word};
use crate::vocabulary::rejection::{Rejection, shown_path};

/// The property that says where an event does not meet its schema, if that is only to be reported.
pub(crate) const REPORTED: &str = "$schema";

/// The configured schemas, by event type.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schemas(Vec<(String, Checked)>);

#[derive(Clone, Debug)]
struct Checked {
    schema: Schema,
    /// Violations are reported in the event and not refused.
    is_report_only: bool,
}

impl Schemas {
    /// Reads the configuration's member: `{"<event type>": {"schema": {…}, "mode": "enforce"}}`. An error text begins
    /// with the member's name.
    pub(crate) fn read(text: &RawValue) -> Result<Self, String> {
        let expected = || r#"schemas must be {"<event type>": {"schema": {…}, "mode": "enforce" or "report-only"}}"#;
        let read = member::read("schemas", text)?;
        let Value::Object(types) = read else { return Err(expected().to_owned()) };
        let mut schemas = Vec::new();
        for (event_type, entry) in types {
            let Value::Object(members) = entry else { return Err(expected().to_owned()) };
            let (mut schema, mut is_report_only) = (None, false);
            for (name, value) in &members {
                match (name.as_ref(), value) {
                    ("schema", value) => {
                        let problem = |problem| format!("schemas.{}.schema{}", word(&event_type), shown_path(problem));
                        schema = Some(Schema::compile(value).map_err(problem)?);
                    }
                    ("mode", Value::String(mode)) if mode == "enforce" => is_report_only = false,
                    ("mode", Value::String(mode)) if mode == "report-only" => is_report_only = true,
                    _ => return Err(expected().to_owned()),
                }
            }
            let schema = schema.ok_or_else(|| expected().to_owned())?;
            schemas.push((event_type.into_owned(), Checked { schema, is_report_only }));
        }
        Ok(Self(schemas))
    }

    /// Checks the properties of an event. Returns what to add to them if a violation is only reported: where it is.
    pub(crate) fn check(
        &self,
        event_type: &str,
        properties: &Value<'_>,
    ) -> Result<Option<(&'static str, String)>, Rejection> {
        let of_type = self.0.iter().find(|(known, _)| known == event_type);
        let Some((_, Checked { schema, is_report_only })) = of_type else { return Ok(None) };
        let Err(Violation { path, expected }) = schema.check(properties) else { return Ok(None) };
        let separator = if path.is_empty() || path.starts_with('[') { "" } else { "." };
        let path = shown_path(format!("properties{separator}{path}"));
        if *is_report_only { Ok(Some((REPORTED, path))) } else { Err(Rejection::SchemaViolation(path, expected)) }
    }
}
