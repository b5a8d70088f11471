//! Names as queries write them. `\:`, `\,` and `\\` stand for `:`, `,` and `\`.

use crate::vocabulary::limits::Limits;
use crate::vocabulary::name::name_flaw;
use crate::vocabulary::rejection::{Rejection, shown};

/// Stands for the event type where a dimension is expected.
pub(crate) const EVENT_TYPE: &str = "eventType";
/// How a query writes the property that is named `eventType`.
const PROPERTY_EVENT_TYPE: &str = r"\eventType";

/// The text before and after the first separator without a backslash before it.
pub(crate) fn split_once(text: &str, separator: char) -> Option<(&str, &str)> {
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if character == separator => return Some((text.get(..at)?, text.get(at + character.len_utf8()..)?)),
            _ => {}
        }
    }
    None
}

/// Reads the name of a property or event type from a query. A name that no event can have is rejected: the answer would
/// be 0 and look like a real figure.
pub(crate) fn name(what: &str, text: &str) -> Result<String, Rejection> {
    let name = if text == PROPERTY_EVENT_TYPE { EVENT_TYPE.to_owned() } else { unescaped(text)? };
    check_name(what, name)
}

/// Returns the name if an event can have it.
pub(crate) fn check_name(what: &str, name: String) -> Result<String, Rejection> {
    match name_flaw(&name) {
        None => Ok(name),
        Some(_) => Err(Rejection::InvalidQuery(format!(
            "{what} {:?} cannot be the name of anything: names have 1 to {} bytes and no control characters",
            shown(&name),
            Limits::CONTRACT.name_bytes
        ))),
    }
}

/// Resolves the backslashes in a text.
pub(crate) fn unescaped(text: &str) -> Result<String, Rejection> {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => characters.next().filter(|next| matches!(next, ':' | ',' | '\\')).ok_or_else(|| {
                Rejection::InvalidQuery(format!(
                    r"{:?}: a backslash must stand before a colon, a comma or a backslash; write \\ for one backslash",
                    shown(text)
                ))
            })?,
            other => other,
        });
    }
    Ok(plain)
}

/// Writes a name as in the `metrics` of a query.
pub(crate) fn escaped(name: &str) -> String {
    name.replace('\\', r"\\").replace(',', r"\,")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn backslashes_escape_what_separates() {
        assert_eq!(split_once("a:b:c", ':'), Some(("a", "b:c")));
        assert_eq!(split_once(r"utm\:source:news", ':'), Some((r"utm\:source", "news")));
        assert_eq!(split_once(r"a\\:b", ':'), Some((r"a\\", "b")));
        assert_eq!(split_once(r"a\:b", ':'), None);
        assert_eq!(unescaped(r"a\:\,\\é").unwrap(), r"a:,\é");
        for wrong in [r"a\b", r"a\", r"\é"] {
            assert!(unescaped(wrong).is_err(), "{wrong}");
        }
        assert_eq!(name("dimension", r"\eventType").unwrap(), "eventType");
        for wrong in ["", "a\n", &"x".repeat(201)] {
            assert!(name("dimension", wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn every_name_can_be_written(name in "[a:,\\\\é]{1,20}") {
            let escaped = escaped(&name);
            prop_assert_eq!(split_once(&escaped, ','), None);
            prop_assert_eq!(unescaped(&escaped).unwrap(), name);
        }
    }
}
