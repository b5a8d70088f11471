//! Requests as text, so that the kept inputs can be read and written by hand.

use isotherm_core::{HEADERS, Request};

use crate::KEY;

/// A request, taken out of an input: `METHOD path?query`, lines of `name: value`, an empty line, and the body.
///
/// A request without `authorization` gets [`KEY`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The part of the target before `?`.
    pub path: &'a str,
    /// The part of the target after `?`.
    pub query: &'a str,
    /// The headers that core reads, each once.
    pub headers: Vec<(&'static str, String)>,
    /// The rest of the input.
    pub body: &'a [u8],
}

impl<'a> Text<'a> {
    /// Reads an input. Returns `None` if its head is not text.
    pub fn read(input: &'a [u8]) -> Option<Self> {
        let (first, mut rest) = line(input)?;
        let (method, target) = first.split_once(' ')?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut headers: Vec<(&'static str, String)> = Vec::new();
        while !rest.is_empty() {
            let (header, after) = line(rest)?;
            rest = after;
            let Some((name, value)) = header.split_once(':') else { break };
            let Some(name) = HEADERS.iter().find(|known| name.eq_ignore_ascii_case(known)) else { continue };
            if headers.iter().all(|(known, _)| known != name) {
                headers.push((name, value.trim().to_owned()));
            }
        }
        if headers.iter().all(|(name, _)| *name != "authorization") {
            headers.push(("authorization", format!("Bearer {KEY}")));
        }
        Some(Self { method, path, query, headers, body: rest })
    }

    /// Returns core's view of the request.
    pub fn request(&self) -> Request<'_> {
        let Self { method, path, query, headers, body } = self;
        Request { method, path, query, headers, body }
    }
}

/// Splits off the first line. Returns it and the rest.
fn line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (line, rest) = bytes.split_at(end);
    Some((std::str::from_utf8(line).ok()?, rest.get(1..).unwrap_or_default()))
}
