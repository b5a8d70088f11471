//! The part of the `wasm-bindgen` program that worker-build calls (as `WASM_BINDGEN_BIN`).
//!
//! Why not wasm-bindgen-cli: it must have exactly the version of the wasm-bindgen library that a module was linked with.
//! Built from this workspace, both come from one Cargo.lock; and without its test runner, HTTP server and client it
//! builds in a fraction of the time.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<()> {
    let mut bindgen = Bindgen::new();
    // Names and producers are of no use in a deployed module, and are paid for at each download and compilation.
    bindgen.remove_name_section(true).remove_producers_section(true);
    let mut out_dir = None;
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("wasm-bindgen: {argument} needs a value"));
        match argument.as_str() {
            "--out-dir" => out_dir = Some(PathBuf::from(value()?)),
            "--out-name" => _ = bindgen.out_name(&value()?),
            "--target" => match value()?.as_str() {
                "module" => _ = bindgen.module(true)?,
                other => bail!("wasm-bindgen: --target {other}: only `module` is supported here"),
            },
            "--no-typescript" => _ = bindgen.typescript(false),
            "--no-demangle" => _ = bindgen.demangle(false),
            "--experimental-reset-state-function" => _ = bindgen.reset_state_function(true),
            "--force-enable-abort-handler" => _ = bindgen.force_enable_abort_handler(true),
            option if option.starts_with('-') => bail!("wasm-bindgen: {option} is not supported here"),
            input => _ = bindgen.input_path(input),
        }
    }
    let out_dir = out_dir.context("wasm-bindgen: --out-dir is missing")?;
    bindgen.generate(&out_dir).with_context(|| format!("wasm-bindgen: cannot write to {}", out_dir.display()))
}
