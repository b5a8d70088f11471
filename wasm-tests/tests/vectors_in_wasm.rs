//! Core's answers to the shared vectors are the same to the byte wherever it runs.

#![allow(clippy::unwrap_used, reason = "a test panics to fail")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wasmtime::{Engine, Instance, Module, Store};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The module that the part `wasm` of `cargo xtask test` built.
fn module() -> Result<PathBuf> {
    let path = env::var_os("ISOTHERM_VECTOR_MODULE").map_or_else(
        || root().join("target/wasm-release/wasm32-unknown-unknown/wasm/isotherm_vector_runner.wasm"),
        PathBuf::from,
    );
    ensure!(path.is_file(), "{} is missing: `cargo xtask test --only wasm` builds it", path.display());
    Ok(path)
}

/// Runs each vector file, and compares its output with the answers pinned beside it.
fn check(run: impl Fn(&Path) -> Result<Vec<u8>>) -> Result<()> {
    let mut checked = 0;
    for entry in fs::read_dir(root().join("tests/vectors"))? {
        let file = entry?.path();
        let name = file.to_string_lossy().into_owned();
        if name.ends_with(".expected.json") || !name.ends_with(".json") {
            continue;
        }
        let expected = fs::read_to_string(file.with_extension("expected.json"))?;
        let answer = String::from_utf8(run(&file)?)?;
        // Compares line by line: a vector is a line, so a difference shows one vector.
        for (answer, expected) in answer.lines().zip(expected.lines()) {
            assert_eq!(answer, expected, "{name}");
        }
        assert_eq!(answer.len(), expected.len(), "{name}");
        checked += 1;
    }
    ensure!(checked > 0, "there are no vectors");
    Ok(())
}

/// The part `wasm` of `cargo xtask test` runs these tests by the name of the module, after it has built the wasm module.
mod wasm {
    use super::*;

    #[test]
    fn natively() -> Result<()> {
        check(|file| isotherm_vector_runner::run(&fs::read(file)?).map(String::into_bytes).map_err(anyhow::Error::msg))
    }

    #[test]
    fn under_wasmtime() -> Result<()> {
        let engine = Engine::default();
        let module = Module::from_file(&engine, module()?)?;
        check(|file| {
            let bytes = fs::read(file)?;
            let mut store = Store::new(&engine, ());
            let instance = Instance::new(&mut store, &module, &[])?; // no imports
            let alloc = instance.get_typed_func::<u32, u32>(&mut store, "alloc")?;
            let run = instance.get_typed_func::<(u32, u32), u64>(&mut store, "run")?;
            let memory = instance.get_memory(&mut store, "memory").context("the module exports no memory")?;
            let len = u32::try_from(bytes.len())?;
            let at = alloc.call(&mut store, len)?;
            memory.write(&mut store, usize::try_from(at)?, &bytes)?;
            let answer = run.call(&mut store, (at, len))?;
            let (at, len) = (usize::try_from(answer >> 32)?, usize::try_from(answer & u64::from(u32::MAX))?);
            Ok(memory.data(&store).get(at..at + len).context("the answer is outside the memory")?.to_vec())
        })
    }

    #[test]
    fn under_node() -> Result<()> {
        let module = module()?;
        check(|file| {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node.mjs");
            let out = Command::new("node").arg(script).arg(&module).arg(file).output().context("cannot start node")?;
            ensure!(out.status.success(), "node: {}", String::from_utf8_lossy(&out.stderr));
            Ok(out.stdout)
        })
    }
}
