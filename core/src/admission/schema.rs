//! JSON Schemas for the properties of events: a subset of draft 2020-12, compiled when the configuration is read.
//!
//! The subset: `type`, `enum`, `const`; `minimum`, `maximum`, `exclusiveMinimum`, `exclusiveMaximum`; `minLength`,
//! `maxLength`; `items`, `minItems`, `maxItems`; `properties`, `required`, `additionalProperties`, `minProperties`,
//! `maxProperties`; `true` and `false`. Annotations are ignored. Any other keyword is an error, because nobody would
//! check it.

use crate::admission::json::Value;

/// Members that say nothing about what is valid.
const ANNOTATIONS: [&str; 9] =
    ["$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated", "readOnly"];
const TYPES: [&str; 7] = ["null", "boolean", "integer", "number", "string", "array", "object"];

/// What a value must meet. The default takes every value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Schema {
    /// Takes nothing at all.
    is_false: bool,
    /// Indexes into [`TYPES`]; empty for any type.
    types: Vec<usize>,
    /// The values that are taken; `None` for any.
    values: Option<Vec<Value<'static>>>,
    numbers: Bounds,
    length: Counts,
    items: Option<Box<Schema>>,
    item_count: Counts,
    /// Sorted by name.
    properties: Vec<(String, Schema)>,
    required: Vec<String>,
    /// For properties that are not named.
    additional: Option<Box<Schema>>,
    property_count: Counts,
}

/// Bounds of a number, each with whether it is taken itself.
#[derive(Clone, Copy, Debug, Default)]
struct Bounds {
    least: Option<f64>,
    most: Option<f64>,
    above: Option<f64>,
    below: Option<f64>,
}

/// Bounds of a count.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    least: Option<usize>,
    most: Option<usize>,
}

/// Where a value does not meet its schema, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The path below the checked value; empty for the value itself.
    pub(crate) path: String,
    /// Continues the path: `must be a string`.
    pub(crate) expected: String,
}

impl Violation {
    fn here(expected: impl Into<String>) -> Self {
        Self { path: String::new(), expected: expected.into() }
    }

    /// The violation with `step` before its path.
    fn below(mut self, step: &str) -> Self {
        let separator = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{step}{separator}{}", self.path);
        self
    }
}

impl Schema {
    /// Compiles a schema. An error says where in the schema, and what was expected. It quotes short words only, because
    /// it goes to a log.
    pub(crate) fn compile(schema: &Value<'_>) -> Result<Self, String> {
        let members = match schema {
            Value::Bool(is_true) => return Ok(Self { is_false: !is_true, ..Self::default() }),
            Value::Object(members) => members,
            _ => return Err(" must be a JSON Schema: an object, true or false".to_owned()),
        };
        let mut compiled = Self::default();
        for (keyword, value) in members {
            let keyword = keyword.as_ref();
            compiled.take(keyword, value).map_err(|problem| format!(".{}{problem}", word(keyword)))?;
        }
        Ok(compiled)
    }

    fn take(&mut self, keyword: &str, value: &Value<'_>) -> Result<(), String> {
        match keyword {
            "type" => self.types = types(value)?,
            "enum" => match value {
                Value::Array(values) if !values.is_empty() => {
                    self.also(values.iter().map(Value::to_static).collect());
                }
                _ => return Err(" must be an array of values".to_owned()),
            },
            "const" => self.also(vec![value.to_static()]),
            "minimum" => self.numbers.least = Some(number(value)?),
            "maximum" => self.numbers.most = Some(number(value)?),
            "exclusiveMinimum" => self.numbers.above = Some(number(value)?),
            "exclusiveMaximum" => self.numbers.below = Some(number(value)?),
            "minLength" => self.length.least = Some(count(value)?),
            "maxLength" => self.length.most = Some(count(value)?),
            "minItems" => self.item_count.least = Some(count(value)?),
            "maxItems" => self.item_count.most = Some(count(value)?),
            "minProperties" => self.property_count.least = Some(count(value)?),
            "maxProperties" => self.property_count.most = Some(count(value)?),
            "items" => self.items = Some(Box::new(Self::compile(value)?)),
            "additionalProperties" => self.additional = Some(Box::new(Self::compile(value)?)),
            "required" => self.required = strings(value)?,
            "properties" => {
                let Value::Object(properties) = value else { return Err(" must be an object of schemas".to_owned()) };
                for (name, schema) in properties {
                    let schema = Self::compile(schema).map_err(|problem| format!(".{}{problem}", word(name)))?;
                    self.properties.push((name.to_string(), schema));
                }
            }
            _ if ANNOTATIONS.contains(&keyword) => {}
            _ => return Err(" is no keyword that is checked here: docs/configuration.md lists them".to_owned()),
        }
        Ok(())
    }

    /// Both `enum` and `const` must be met.
    fn also(&mut self, values: Vec<Value<'static>>) {
        let both = match self.values.take() {
            Some(before) => before.into_iter().filter(|one| values.iter().any(|other| is_same(one, other))).collect(),
            None => values,
        };
        self.values = Some(both);
    }

    /// Checks a value. The first violation found is the error.
    pub(crate) fn check(&self, value: &Value<'_>) -> Result<(), Violation> {
        if self.is_false {
            return Err(Violation::here("must not be there"));
        }
        if !self.types.is_empty() && !self.types.iter().any(|at| TYPES.get(*at).is_some_and(|name| is_a(value, name))) {
            let names: Vec<&str> = self.types.iter().filter_map(|at| TYPES.get(*at).copied()).collect();
            return Err(Violation::here(format!("must be of type {}", names.join(" or "))));
        }
        if self.values.as_ref().is_some_and(|values| !values.iter().any(|one| is_same(one, value))) {
            return Err(Violation::here("must be one of the values that its schema lists"));
        }
        match value {
            Value::String(text) if self.length.is_set() => self.length.check(text.chars().count(), "characters"),
            Value::Array(items) => self.check_items(items),
            Value::Object(members) => self.check_members(members),
            _ => as_f64(value).map_or(Ok(()), |number| self.numbers.check(number)),
        }
    }

    fn check_items(&self, items: &[Value<'_>]) -> Result<(), Violation> {
        self.item_count.check(items.len(), "items")?;
        let Some(schema) = &self.items else { return Ok(()) };
        for (index, item) in items.iter().enumerate() {
            schema.check(item).map_err(|violation| violation.below(&format!("[{index}]")))?;
        }
        Ok(())
    }

    fn check_members(&self, members: &[(std::borrow::Cow<'_, str>, Value<'_>)]) -> Result<(), Violation> {
        self.property_count.check(members.len(), "members")?;
        for name in &self.required {
            if members.binary_search_by(|(key, _)| key.as_ref().cmp(name)).is_err() {
                return Err(Violation::here("is required").below(name));
            }
        }
        for (name, value) in members {
            let named = self.properties.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok();
            let named = named.and_then(|at| self.properties.get(at)).map(|(_, schema)| schema);
            if let Some(schema) = named.or(self.additional.as_deref()) {
                schema.check(value).map_err(|violation| violation.below(name))?;
            }
        }
        Ok(())
    }
}

impl Bounds {
    fn check(self, number: f64) -> Result<(), Violation> {
        let Self { least, most, above, below } = self;
        let (problem, bound) = match (least, most, above, below) {
            (Some(least), ..) if number < least => ("must be at least", least),
            (_, Some(most), ..) if number > most => ("must be at most", most),
            (_, _, Some(above), _) if number <= above => ("must be above", above),
            (.., Some(below)) if number >= below => ("must be below", below),
            _ => return Ok(()),
        };
        // As JSON writes it: the standard library's code for floats would be in no other place.
        let bound = serde_json::to_string(&bound).unwrap_or_default();
        Err(Violation::here(format!("{problem} {}", bound.strip_suffix(".0").unwrap_or(&bound))))
    }
}

impl Counts {
    fn is_set(self) -> bool {
        self.least.is_some() || self.most.is_some()
    }

    fn check(self, count: usize, what: &str) -> Result<(), Violation> {
        match (self.least, self.most) {
            (Some(least), _) if count < least => Err(Violation::here(format!("must have at least {least} {what}"))),
            (_, Some(most)) if count > most => Err(Violation::here(format!("must have at most {most} {what}"))),
            _ => Ok(()),
        }
    }
}

fn is_a(value: &Value<'_>, name: &str) -> bool {
    match value {
        Value::Null => name == "null",
        Value::Bool(_) => name == "boolean",
        Value::Signed(_) | Value::Unsigned(_) => name == "integer" || name == "number",
        // To JSON Schema 1.0 is an integer.
        Value::Float(number) => name == "number" || (name == "integer" && number.fract() == 0.0),
        Value::String(_) => name == "string",
        Value::Array(_) => name == "array",
        Value::Object(_) => name == "object",
    }
}

fn as_f64(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Signed(number) => Some(*number as f64),
        Value::Unsigned(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

/// Whether two values are equal to JSON Schema: 1 and 1.0 are.
fn is_same(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |((a, one), (b, other)): (&(_, Value<'_>), &(_, Value<'_>))| a == b && is_same(one, other);
            one.len() == other.len() && one.iter().zip(other).all(same)
        }
        (Value::Float(_), _) | (_, Value::Float(_)) => {
            as_f64(one).zip(as_f64(other)).is_some_and(|(one, other)| one == other)
        }
        _ => one == other,
    }
}

fn types(value: &Value<'_>) -> Result<Vec<usize>, String> {
    let expected = || format!(" must be one of {}, or an array of them", TYPES.join(", "));
    let index = |name: &Value<'_>| match name {
        Value::String(name) => TYPES.iter().position(|known| known == name).ok_or_else(expected),
        _ => Err(expected()),
    };
    match value {
        Value::Array(names) if !names.is_empty() => names.iter().map(index).collect(),
        Value::Array(_) => Err(expected()),
        name => Ok(vec![index(name)?]),
    }
}

fn number(value: &Value<'_>) -> Result<f64, String> {
    as_f64(value).ok_or_else(|| " must be a number".to_owned())
}

fn count(value: &Value<'_>) -> Result<usize, String> {
    match value {
        Value::Signed(_) | Value::Unsigned(_) => as_f64(value),
        _ => None,
    }
    .filter(|count| (0.0..1e9).contains(count))
    .map(|count| count as usize)
    .ok_or_else(|| " must be a whole number, 0 or above".to_owned())
}

fn strings(value: &Value<'_>) -> Result<Vec<String>, String> {
    let expected = || " must be an array of names".to_owned();
    let Value::Array(names) = value else { return Err(expected()) };
    let name = |name: &Value<'_>| match name {
        Value::String(name) => Ok(name.to_string()),
        _ => Err(expected()),
    };
    names.iter().map(name).collect()
}

/// The name as an error may quote it. A long name may be a secret, so it becomes `…`.
pub(crate) fn word(name: &str) -> &str {
    let is_word = name.len() <= 24 && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$'));
    if is_word { name } else { "…" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::json;

    #[track_caller]
    fn check(schema: &str, value: &str, expected: &str) {
        let schema = Schema::compile(&json::read(schema).unwrap()).unwrap();
        let found = schema.check(&json::read(value).unwrap());
        let found = found.map_or_else(|Violation { path, expected }| format!("{path} {expected}"), |()| String::new());
        assert_eq!(found, expected, "{value}");
    }

    #[test]
    fn values_meet_their_schema_or_the_path_is_named() {
        check("true", "{}", "");
        check("false", "1", " must not be there");
        check(r#"{"type":"integer"}"#, "1.0", "");
        check(r#"{"type":"integer"}"#, "1.5", " must be of type integer");
        check(r#"{"type":["string","null"]}"#, "null", "");
        check(r#"{"type":["string","null"]}"#, "1", " must be of type string or null");
        check(r#"{"type":"number","minimum":0,"exclusiveMaximum":10}"#, "-0.1", " must be at least 0");
        check(r#"{"type":"number","minimum":0,"exclusiveMaximum":10}"#, "10", " must be below 10");
        check(r#"{"type":"number","minimum":0,"exclusiveMaximum":10}"#, "0", "");
        check(r#"{"maximum":5,"exclusiveMinimum":1}"#, "1", " must be above 1");
        check(r#"{"maximum":5,"exclusiveMinimum":1}"#, "6", " must be at most 5");
        // A bound of numbers says nothing about strings.
        check(r#"{"maximum":5,"minLength":2}"#, r#""é""#, " must have at least 2 characters");
        check(r#"{"maxLength":2}"#, r#""éé""#, "");
        check(r#"{"maxLength":2}"#, r#""ééé""#, " must have at most 2 characters");
        check(r#"{"enum":[1,"a",{"b":[2.0]}]}"#, "1.0", "");
        check(r#"{"enum":[1,"a",{"b":[2.0]}]}"#, r#"{"b":[2]}"#, "");
        check(r#"{"enum":[1,"a"]}"#, r#""1""#, " must be one of the values that its schema lists");
        check(r#"{"enum":[1,2],"const":2}"#, "1", " must be one of the values that its schema lists");
        check(r#"{"enum":[1,2],"const":2}"#, "2", "");
        check(r#"{"items":{"type":"string"},"minItems":1,"maxItems":2}"#, r#"["a",1]"#, "[1] must be of type string");
        check(r#"{"items":{"type":"string"},"minItems":1,"maxItems":2}"#, "[]", " must have at least 1 items");
        check(r#"{"items":{"type":"string"},"minItems":1,"maxItems":2}"#, "[1,2,3]", " must have at most 2 items");
        let object = r#"{"type":"object","required":["a"],"additionalProperties":false,"maxProperties":2,
            "properties":{"a":{"type":"array","items":{"properties":{"b":{"minimum":1}}}},"c":{"const":null}}}"#;
        check(object, r#"{"a":[{"b":1}],"c":null}"#, "");
        check(object, r#"{"c":null}"#, "a is required");
        check(object, r#"{"a":[{},{"b":0}]}"#, "a[1].b must be at least 1");
        check(object, r#"{"a":[],"d":1}"#, "d must not be there");
        check(object, r#"{"a":[],"c":null,"d":1}"#, " must have at most 2 members");
        check(r#"{"minProperties":1}"#, "{}", " must have at least 1 members");
        check(r#"{"additionalProperties":{"type":"string"},"properties":{"n":true}}"#, r#"{"n":1,"s":"x"}"#, "");
        check(r#"{"additionalProperties":{"type":"string"}}"#, r#"{"n":1}"#, "n must be of type string");
    }

    #[track_caller]
    fn refused(schema: &str, expected: &str) {
        assert_eq!(Schema::compile(&json::read(schema).unwrap()).map(|_good| ()), Err(expected.to_owned()));
    }

    #[test]
    fn what_is_not_checked_is_refused_when_it_is_configured() {
        let unknown = " is no keyword that is checked here: docs/configuration.md lists them";
        refused(r#"{"pattern":"a"}"#, &format!(".pattern{unknown}"));
        refused(r#"{"properties":{"a":{"items":{"$ref":"/b"}}}}"#, &format!(".properties.a.items.$ref{unknown}"));
        refused(r#"{"0123456789abcdef0123456789abcdef":1}"#, &format!(".…{unknown}"));
        refused("3", " must be a JSON Schema: an object, true or false");
        refused(r#"{"items":[{}]}"#, ".items must be a JSON Schema: an object, true or false");
        let types = "null, boolean, integer, number, string, array, object";
        refused(r#"{"type":"text"}"#, &format!(".type must be one of {types}, or an array of them"));
        refused(r#"{"type":[]}"#, &format!(".type must be one of {types}, or an array of them"));
        refused(r#"{"minimum":"1"}"#, ".minimum must be a number");
        refused(r#"{"minLength":1.5}"#, ".minLength must be a whole number, 0 or above");
        refused(r#"{"maxItems":-1}"#, ".maxItems must be a whole number, 0 or above");
        refused(r#"{"required":"a"}"#, ".required must be an array of names");
        refused(r#"{"enum":[]}"#, ".enum must be an array of values");
        refused(r#"{"properties":[]}"#, ".properties must be an object of schemas");
        let annotated = r#"{"$schema":"x","title":"t","description":"d","default":1,"examples":[1]}"#;
        assert!(Schema::compile(&json::read(annotated).unwrap()).unwrap().check(&Value::Null).is_ok());
    }
}
