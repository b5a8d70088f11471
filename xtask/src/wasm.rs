//! The sections of wasm modules and components. Both are a header and sections: an id, a length (LEB128), content.

use std::ops::Range;

const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

/// Where a section stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) id: u8,
    /// Where its id stands.
    pub(crate) start: usize,
    pub(crate) content: Range<usize>,
}

/// The sections of a module; `None` if the bytes are not a whole one.
pub(crate) fn of_module(bytes: &[u8]) -> Option<Vec<Section>> {
    sections(bytes, MODULE)
}

/// The sections of a component; `None` if the bytes are not a whole one.
pub(crate) fn of_component(bytes: &[u8]) -> Option<Vec<Section>> {
    sections(bytes, COMPONENT)
}

fn sections(bytes: &[u8], header: &[u8]) -> Option<Vec<Section>> {
    bytes.strip_prefix(header)?;
    let (mut sections, mut at) = (Vec::new(), header.len());
    while at < bytes.len() {
        let (start, id) = (at, *bytes.get(at)?);
        at += 1;
        let len = number(bytes, &mut at)?;
        let content = at..at.checked_add(len)?;
        at = content.end;
        bytes.get(content.clone())?;
        sections.push(Section { id, start, content });
    }
    Some(sections)
}

/// Reads an unsigned LEB128 number, and moves `at` behind it.
pub(crate) fn number(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0usize;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
