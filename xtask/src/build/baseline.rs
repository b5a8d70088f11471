//! The baseline for Lambda: `bench/baseline`, with AWS's SDK from npm in one minified module.
//!
//! It is bundled as users who care about cold starts would do it, and as CDK's NodejsFunction does by default: a
//! folder of packages takes twice as long to load. The bundle does not contain Node.js, and neither does the upload:
//! `ingest` runs on the machine's own.

use super::{esbuild, files};
use crate::paths;
use crate::shell::{program, run_logged};

/// CommonJS packages load Node.js's own modules with `require`, which a module does not have.
const REQUIRE: &str = r#"import{createRequire}from"node:module";const require=createRequire(import.meta.url);"#;

pub(super) fn build() -> anyhow::Result<()> {
    let (from, to) = (paths::root().join("bench/baseline"), paths::artifacts().join("baseline/lambda"));
    let (source, bundle) = (from.join("index.mjs"), to.join("index.mjs"));
    let locks = [from.join("package-lock.json"), paths::root().join("xtask/npm/package-lock.json")];
    files::when_changed(include_str!("baseline.rs"), &[&source, &locks[0], &locks[1]], &bundle, || {
        let part = bundle.with_extension("part");
        let mut bundling = program(esbuild());
        bundling.env("NODE_PATH", paths::tools().join("baseline/node_modules"));
        bundling.arg(&source).args(["--bundle", "--minify", "--platform=node", "--target=node20", "--format=esm"]);
        bundling.arg(format!("--banner:js={REQUIRE}")).arg(format!("--outfile={}", part.display()));
        run_logged("build-baseline", &mut bundling)?;
        Ok(std::fs::rename(&part, &bundle)?)
    })?;
    // The bootstrap is a program. Copying keeps its mode.
    files::copy_if_changed(&from.join("bootstrap.cjs"), &to.join("ingest"))
}
