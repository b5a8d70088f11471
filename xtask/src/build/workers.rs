//! The Workers bundle: worker-build over the wasm module that cargo made.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::{Set, esbuild, files, remapped_paths, wasm_opt, wasm_target_dir};
use crate::paths;
use crate::setup::{Tools, worker_build_program};
use crate::shell::{cargo, program, run, run_logged};

/// Makes bundles.
pub(super) struct Builder<'a> {
    tools: &'a Tools,
    bindgen: PathBuf,
    esbuild: PathBuf,
    wasm_opt: PathBuf,
}

impl<'a> Builder<'a> {
    pub(super) fn new(tools: &'a Tools) -> Result<Self> {
        // In a folder of its own: the native builds hold the lock of the main one.
        let dir = paths::target().join("wasm-bindgen");
        run(cargo()
            .args(["build", "--quiet", "--release", "--package", "isotherm-wasm-bindgen"])
            .env("CARGO_TARGET_DIR", &dir))?;
        let builder = Self {
            tools,
            bindgen: dir.join("release/isotherm-wasm-bindgen"),
            esbuild: esbuild(),
            wasm_opt: wasm_opt(),
        };
        // worker-build would go and download what it does not find.
        for tool in [&builder.bindgen, &builder.esbuild, &builder.wasm_opt] {
            if !tool.is_file() {
                bail!("{} is missing: remove target/tools/stamps and run `cargo xtask setup`", tool.display());
            }
        }
        Ok(builder)
    }

    pub(super) fn build(&self, set: Set) -> Result<()> {
        let package = set.package("workers");
        let dir = wasm_target_dir(set);
        let environment = [
            ("CARGO_TARGET_DIR", dir.clone().into_os_string()),
            ("CARGO_ENCODED_RUSTFLAGS", remapped_paths().join("\x1f").into()),
            // With `z` a report takes a quarter longer; the bundle has room for 20 kB more.
            ("CARGO_PROFILE_WASM_OPT_LEVEL", "s".into()),
            // `strip = true` would remove the section `target_features`, which wasm-bindgen reads; it strips names itself.
            ("CARGO_PROFILE_WASM_STRIP", "debuginfo".into()),
            ("RUSTUP_TOOLCHAIN", self.tools.wasm_toolchain.clone().into()),
            ("WASM_BINDGEN_USE_JS_SYS", "1".into()), // as worker-build sets it, so that it finds this build fresh
            ("WASM_BINDGEN_BIN", self.bindgen.clone().into_os_string()),
            ("ESBUILD_BIN", self.esbuild.clone().into_os_string()),
            ("WASM_OPT_BIN", self.wasm_opt.clone().into_os_string()),
        ];
        let target = "wasm32-unknown-unknown";
        run(cargo()
            .args(["build", "--profile", "wasm", "--package", &package, "--lib", "--target", target])
            .args(set.features())
            .envs(environment.clone()))?;

        let module = dir.join(target).join("wasm").join(format!("{}.wasm", package.replace('-', "_")));
        let out = set.folder("workers");
        let bundle = out.join("index.js");
        let lock = paths::root().join("xtask/npm/package-lock.json");
        files::when_changed(include_str!("workers.rs"), &[&module, &lock, &self.bindgen], &bundle, || {
            self.bundle(set, &out, environment)
        })
    }

    fn bundle(&self, set: Set, out: &Path, environment: [(&str, OsString); 9]) -> Result<()> {
        let crate_dir = if set == Set::Floor { "bench/floors/workers" } else { "adapters/workers" };
        let made = wasm_target_dir(set).join("bundle").join(set.name());
        let mut build = program(worker_build_program());
        build.current_dir(paths::root().join(crate_dir)).envs(environment);
        build.args(["--profile", "wasm", "--out-dir"]).arg(&made).args(set.features());
        run_logged(&format!("build-workers-{}", set.name()), &mut build)?;
        // It leaves what npm and older projects want beside the two files that are deployed.
        for file in ["index_bg.wasm", "index.js"] {
            files::copy_if_changed(&made.join(file), &out.join(file))?;
        }
        Ok(())
    }
}
