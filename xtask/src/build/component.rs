//! Makes a Spin component smaller by running wasm-opt over the program inside.
//!
//! wasm-opt reads modules, not components. A component's section with id 1 is a whole module. The largest of these
//! modules is the program; the others are small shims of the linker.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::files::when_changed;
use crate::shell::{program, run_logged};
use crate::wasm::{self, Section};

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

const MODULE_SECTION: u8 = 1;

/// Writes `component` to `to`, after `wasm_opt` has made its program smaller.
pub(super) fn shrink_if_changed(wasm_opt: &Path, component: &Path, to: &Path) -> Result<()> {
    when_changed(include_str!("component.rs"), &[component, wasm_opt], to, || shrink(wasm_opt, component, to))
}

fn shrink(wasm_opt: &Path, component: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
    let program_at = largest_module(&bytes).with_context(|| format!("{} is no component", component.display()))?;
    let [before, after] = ["before.wasm", "after.wasm"].map(|name| component.with_extension(name));
    fs::write(&before, &bytes[program_at.content.clone()])?;
    let mut optimize = program(wasm_opt);
    optimize.arg("-Oz").args(FEATURES).arg(&before).arg("-o").arg(&after);
    run_logged("build-spin-wasm-opt", &mut optimize)?;
    let smaller = replaced(&bytes, &program_at, &fs::read(&after)?);
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let part = to.with_extension("part");
    fs::write(&part, smaller)
        .and_then(|()| fs::rename(&part, to))
        .with_context(|| format!("cannot write {}", to.display()))
}

/// The section of the largest module, or `None` if the bytes are not a component with a module in it.
fn largest_module(component: &[u8]) -> Option<Section> {
    let sections = wasm::of_component(component)?.into_iter();
    sections.filter(|section| section.id == MODULE_SECTION).max_by_key(|section| section.content.len())
}

/// The component with another module in the place of this one.
fn replaced(component: &[u8], Section { start, content, .. }: &Section, module: &[u8]) -> Vec<u8> {
    let mut whole = component[..*start].to_vec();
    whole.push(MODULE_SECTION);
    let mut len = module.len();
    while len > 0x7f {
        whole.push(len as u8 | 0x80);
        len >>= 7;
    }
    whole.push(len as u8);
    whole.extend_from_slice(module);
    whole.extend_from_slice(&component[content.end..]);
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(program: &[u8]) -> Vec<u8> {
        let shim = [MODULE_SECTION, 4, 1, 2, 3, 4];
        let before = Section { id: MODULE_SECTION, start: 8, content: 8..8 };
        let with_program = replaced(b"\0asm\x0d\0\x01\0\x00\x01c", &before, program);
        [&with_program[..], &shim].concat()
    }

    #[test]
    fn the_program_is_the_largest_module_and_what_is_around_it_stays() {
        let (long, short) = (component(&[7; 300]), component(&[9; 100]));
        let section = largest_module(&long).unwrap();
        assert_eq!(long[section.content.clone()], [7; 300]);
        assert_eq!(replaced(&long, &section, &[9; 100]), short);
    }

    #[test]
    fn what_is_no_component_is_refused() {
        let long = component(&[7; 300]);
        for wrong in [b"\0asm\x01\0\0\0".as_slice(), b"", &long[..200]] {
            assert_eq!(largest_module(wrong), None);
        }
    }
}
