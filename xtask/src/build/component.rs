//! Makes a Spin component smaller by running wasm-opt over the program inside.
//!
//! wasm-opt reads modules, not components. A component is a header and sections (id, length, content). A section with
//! id 1 is a whole module. The largest of these modules is the program; the others are small shims of the linker.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::files::when_changed;
use crate::shell::{program, run_logged};

/// The proposals that rustc's wasm32-wasip2 may use. `--all-features` would not do: wasmtime rejects encodings that
/// some proposals change.
const FEATURES: [&str; 8] = [
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-call-indirect-overlong",
    "--enable-multivalue",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--enable-reference-types",
    "--enable-sign-ext",
];

const HEADER: usize = 8;
const MODULE_SECTION: u8 = 1;

/// Writes `component` to `to`, after `wasm_opt` has made its program smaller.
pub(super) fn shrink_if_changed(wasm_opt: &Path, component: &Path, to: &Path) -> Result<()> {
    when_changed(include_str!("component.rs"), &[component, wasm_opt], to, || shrink(wasm_opt, component, to))
}

fn shrink(wasm_opt: &Path, component: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
    let program_at = largest_module(&bytes).with_context(|| format!("{} is no component", component.display()))?;
    let [before, after] = ["before.wasm", "after.wasm"].map(|name| component.with_extension(name));
    fs::write(&before, program_at.content(&bytes))?;
    let mut optimize = program(wasm_opt);
    optimize.arg("-Oz").args(FEATURES).arg(&before).arg("-o").arg(&after);
    run_logged("build-spin-wasm-opt", &mut optimize)?;
    let smaller = program_at.replaced(&bytes, &fs::read(&after)?);
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let part = to.with_extension("part");
    fs::write(&part, smaller)
        .and_then(|()| fs::rename(&part, to))
        .with_context(|| format!("cannot write {}", to.display()))
}

/// Where a section stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Section {
    /// Where the section's id stands.
    start: usize,
    content: usize,
    end: usize,
}

impl Section {
    fn content(self, component: &[u8]) -> &[u8] {
        component.get(self.content..self.end).unwrap_or_default()
    }

    /// The component with other content in this section.
    fn replaced(self, component: &[u8], content: &[u8]) -> Vec<u8> {
        let mut whole = component.get(..self.start).unwrap_or_default().to_vec();
        whole.push(MODULE_SECTION);
        let mut len = content.len();
        while len > 0x7f {
            whole.push(len as u8 | 0x80);
            len >>= 7;
        }
        whole.push(len as u8);
        whole.extend_from_slice(content);
        whole.extend_from_slice(component.get(self.end..).unwrap_or_default());
        whole
    }
}

/// The section of the largest module, or `None` if the bytes are not a component with a module in it.
fn largest_module(component: &[u8]) -> Option<Section> {
    component.strip_prefix(b"\0asm\x0d\0\x01\0")?;
    let mut largest: Option<Section> = None;
    let mut at = HEADER;
    while at < component.len() {
        let (start, id) = (at, *component.get(at)?);
        let (mut len, mut shift) = (0usize, 0);
        loop {
            at += 1;
            let byte = *component.get(at)?;
            len |= usize::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let section = Section { start, content: at + 1, end: (at + 1).checked_add(len)? };
        if section.end > component.len() {
            return None;
        }
        if id == MODULE_SECTION && largest.is_none_or(|known| len > known.end - known.content) {
            largest = Some(section);
        }
        at = section.end;
    }
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(program: &[u8]) -> Vec<u8> {
        let shim = [MODULE_SECTION, 4, 1, 2, 3, 4];
        let section = Section { start: HEADER, content: HEADER, end: HEADER };
        let with_program = section.replaced(b"\0asm\x0d\0\x01\0\x00\x01c", program);
        [&with_program[..], &shim].concat()
    }

    #[test]
    fn the_program_is_the_largest_module_and_what_is_around_it_stays() {
        let (long, short) = (component(&[7; 300]), component(&[9; 100]));
        let section = largest_module(&long).unwrap();
        assert_eq!(section.content(&long), [7; 300]);
        assert_eq!(section.replaced(&long, &[9; 100]), short);
    }

    #[test]
    fn what_is_no_component_is_refused() {
        let long = component(&[7; 300]);
        for wrong in [b"\0asm\x01\0\0\0".as_slice(), b"", &long[..200]] {
            assert_eq!(largest_module(wrong), None);
        }
    }
}
