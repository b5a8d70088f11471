//! Writes the bindings of a wasm module for Workers: `isotherm-wasm-bindgen MODULE FOLDER`.
//!
//! Why not wasm-bindgen-cli: it must have exactly the version of the wasm-bindgen library that a module was linked with.
//! Built from this workspace, both come from one Cargo.lock; and without its test runner, HTTP server and client it
//! builds in a fraction of the time.

use std::env;

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [module, folder] = &*arguments else { bail!("isotherm-wasm-bindgen needs a module and a folder") };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).out_name("index").module(true)?.typescript(false);
    // Names and producers are of no use in a deployed module, and are paid for at each download and compilation.
    bindgen.remove_name_section(true).remove_producers_section(true);
    // The shim starts a module anew after a panic.
    bindgen.reset_state_function(true).force_enable_abort_handler(true);
    bindgen.generate(folder).with_context(|| format!("cannot write the bindings to {folder}"))
}
