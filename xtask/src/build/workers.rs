//! The Workers bundle: the wasm module that cargo made, with wasm-bindgen's bindings and a shim in one script.
//!
//! It is made like Cloudflare's worker-build makes it. worker-build itself takes some minutes to compile for the
//! little that is needed here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Set, esbuild, files, wasm_flags, wasm_opt, wasm_target_dir};
use crate::paths;
use crate::setup::Tools;
use crate::shell::{cargo, program, run, run_logged};

const SHIM: &str = include_str!("shim.js");

/// The recipe of the bundle: a change of this source or of the shim makes it anew.
const RECIPE: &str = concat!(include_str!("workers.rs"), include_str!("shim.js"));

/// The features that workerd and wasm-bindgen know. With all features, wasm-opt could write code that they can't read
/// yet.
const WASM_FEATURES: [&str; 7] = [
    "mutable-globals",
    "sign-ext",
    "nontrapping-float-to-int",
    "bulk-memory",
    "multivalue",
    "reference-types",
    "exception-handling",
];

/// Makes the bundle of a set.
pub(super) fn build(tools: &Tools, set: Set) -> Result<()> {
    let bindgen = bindgen()?;
    let package = set.package("workers");
    let dir = wasm_target_dir(set);
    let target = "wasm32-unknown-unknown";
    let mut build = cargo();
    build.args(["build", "--profile", "wasm", "--package", &package, "--lib", "--target", target]);
    build.args(set.features()).env("CARGO_TARGET_DIR", &dir).env("RUSTUP_TOOLCHAIN", &tools.wasm_toolchain);
    build.env("CARGO_ENCODED_RUSTFLAGS", wasm_flags());
    // With `z` a report takes a quarter longer; Cargo.toml says what is built with `z` all the same.
    build.env("CARGO_PROFILE_WASM_OPT_LEVEL", "s");
    // `strip = true` would remove the section `target_features`, which wasm-bindgen reads; it strips names itself.
    build.env("CARGO_PROFILE_WASM_STRIP", "debuginfo");
    // worker-build sets this variable, and the crate `worker` is tested with it.
    build.env("WASM_BINDGEN_USE_JS_SYS", "1");
    run(&mut build)?;

    let module = dir.join(target).join("wasm").join(format!("{}.wasm", package.replace('-', "_")));
    let out = set.folder("workers");
    let bundle = out.join("index.js");
    let lock = paths::root().join("xtask/npm/package-lock.json");
    files::when_changed(RECIPE, &[&module, &lock, &bindgen], &bundle, || {
        let made = dir.join("bundle").join(set.name());
        make(set, &bindgen, &module, &made)?;
        // The folder also holds what the two deployed files were made of.
        for file in ["index_bg.wasm", "index.js"] {
            files::copy_if_changed(&made.join("bundle").join(file), &out.join(file))?;
        }
        Ok(())
    })
}

/// Builds wasm-bindgen in the library's version, in a folder of its own: the native builds hold the lock of the main
/// folder.
fn bindgen() -> Result<PathBuf> {
    let dir = paths::target().join("wasm-bindgen");
    let mut build = cargo();
    build.args(["build", "--quiet", "--release", "--package", "isotherm-wasm-bindgen"]);
    run(build.env("CARGO_TARGET_DIR", &dir))?;
    Ok(dir.join("release/isotherm-wasm-bindgen"))
}

/// Makes the bundle of `module` in the folder `bundle` of `made`.
fn make(set: Set, bindgen: &Path, module: &Path, made: &Path) -> Result<()> {
    // Removes what an earlier version of wasm-bindgen left there.
    if made.exists() {
        fs::remove_dir_all(made).with_context(|| format!("cannot remove {}", made.display()))?;
    }
    fs::create_dir_all(made.join("bundle")).with_context(|| format!("cannot make {}", made.display()))?;
    let log = |tool: &str| format!("build-workers-{}-{tool}", set.name());
    run_logged(&log("wasm-bindgen"), program(bindgen).arg(module).arg(made))?;

    let mut optimize = program(wasm_opt());
    // Nothing lies in the lowest KiB: it is the end of the stack, which grows down to it.
    optimize.args(["-Oz", "--low-memory-unused"]);
    // The last part per thousand takes more than half of the time, so only what is deployed is made as small.
    optimize.args((set != Set::Test).then_some("--converge"));
    optimize.arg(made.join("index_bg.wasm")).arg("-o").arg(made.join("bundle/index_bg.wasm"));
    optimize.args(WASM_FEATURES.map(|feature| format!("--enable-{feature}")));
    run_logged(&log("wasm-opt"), &mut optimize)?;

    let bindings = made.join("index.js");
    let bindings = fs::read_to_string(&bindings).with_context(|| format!("cannot read {}", bindings.display()))?;
    fs::write(made.join("shim.js"), shim(&bindings))?;
    let bundle = made.join("bundle/index.js");
    let mut bundling = program(esbuild());
    bundling.arg(made.join("shim.js")).args(["--bundle", "--minify", "--format=esm"]);
    bundling.args(["--external:./index_bg.wasm", "--external:cloudflare:*"]);
    run_logged(&log("esbuild"), bundling.arg(format!("--outfile={}", bundle.display())))?;
    // Workers imports a module without the word `source`.
    let script = fs::read_to_string(&bundle).with_context(|| format!("cannot read {}", bundle.display()))?;
    Ok(fs::write(&bundle, script.replace("import source ", "import "))?)
}

/// The script that the runtime loads first. It hands events to the functions that `bindings` exports, and exports the
/// classes.
fn shim(bindings: &str) -> String {
    let exported = |kind: &'static str| {
        let names = bindings.lines().filter_map(move |line| line.strip_prefix(kind)?.split([' ', '(']).next());
        names.filter(|name| !name.starts_with("__"))
    };
    let handlers: String = exported("export function ").map(|name| {
        format!("Entrypoint.prototype.{name} = function {name} (arg) {{\n  return exports.{name}.call(this, arg, this.env, this.ctx);\n}}\n")
    }).collect();
    let classes = exported("export class ")
        .map(|name| format!("export const {name} = new Proxy(exports.{name}, classProxyHooks);\n"));
    SHIM.replace("$HANDLERS", &handlers) + &classes.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::shim;

    /// When this fails, check whether worker-build of the new version makes bundles in another way, then change the
    /// version here.
    #[test]
    fn bundles_are_made_for_the_version_of_worker() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains("\nname = \"worker\"\nversion = \"0.8.7\"\n"));
    }

    #[test]
    fn the_shim_has_every_handler_and_class_that_is_exported() {
        let bindings =
            "export class Shard {\nexport function __wbg_reset_state () {\nexport function fetch(req, env, ctx) {\n";
        let shim = shim(bindings);
        assert!(shim.contains("Entrypoint.prototype.fetch = function fetch (arg)"), "{shim}");
        assert!(shim.ends_with("export const Shard = new Proxy(exports.Shard, classProxyHooks);\n"), "{shim}");
        assert!(!shim.contains("$HANDLERS\n") && !shim.contains("prototype.__"), "{shim}");
    }
}
