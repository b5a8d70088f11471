//! The one list of tools that Isotherm needs beside cargo.
//!
//! `cargo xtask` installs what is missing of it, and `isotherm doctor` says what is missing. This crate only knows what
//! there is and how to tell whether it is there; it installs nothing.

use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A program, or packages that are installed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Its name in messages.
    pub name: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Where it comes from.
    pub source: Source,
    /// The platforms whose builds need it. If there are none, only tests or other tools need it.
    pub platforms: &'static [&'static str],
}

/// Where a tool comes from. Paths are relative to the project's folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A program that the user installs, as this says. The tool's name is how it is called.
    User(&'static str),
    /// A program of this Debian package, likewise.
    Debian(&'static str),
    /// The packages of a lock file of npm.
    Npm {
        /// The folder of package.json and package-lock.json.
        lock: &'static str,
        /// The folder that gets `node_modules`.
        into: &'static str,
    },
    /// Packages of PyPI with their hashes.
    Pypi {
        /// The file that lists them.
        requirements: &'static str,
        /// The folder that gets them.
        into: &'static str,
    },
    /// Rust's standard library for wasm, in the toolchain that the file [`WASM_TOOLCHAIN`] names.
    Wasm,
}

/// The file with the name of the toolchain for wasm.
pub const WASM_TOOLCHAIN: &str = "target/tools/wasm-toolchain.txt";

const EVERY: &[&str] = &["lambda", "workers", "spin", "native"];
const PACKED: &[&str] = &["lambda", "workers", "spin"];
const WASM: &[&str] = &["workers", "spin"];

/// All tools. Those that install others come before them.
pub const TOOLS: [Tool; 19] = [
    user("cc", "links programs", "apt-get install build-essential", EVERY),
    user("rustup", "chooses the toolchain for wasm", "install it from https://rustup.rs", WASM),
    user("node", "runs wasm-opt, the article's function and tests of pages", "install Node.js 20 or later", PACKED),
    user("npm", "installs packages of npm", "install it with Node.js", &[]),
    user("python3", "runs pip, schemathesis and a function of the Lambda host's tests", "apt-get install python3", &[]),
    debian("python3 -m pip", "installs packages of PyPI", "python3-pip"),
    debian("chromium", "shows pages in tests", "chromium"),
    debian("curl", "sends the requests that the documentation shows", "curl"),
    debian("promtool", "checks alert rules", "prometheus"),
    debian("sqlite3", "copies a database that a server writes to", "sqlite3"),
    Tool {
        name: "rust for wasm",
        purpose: "compiles the artifacts of Workers and Spin",
        source: Source::Wasm,
        platforms: WASM,
    },
    Tool {
        name: "runtime and bundlers",
        purpose: "workerd, esbuild, wasm-opt and a validator of OpenAPI documents",
        source: Source::Npm { lock: "xtask/npm", into: "target/tools/npm" },
        platforms: PACKED,
    },
    Tool {
        name: "aws sdk",
        purpose: "part of the article's function, which Isotherm is compared with",
        source: Source::Npm { lock: "bench/baseline", into: "target/tools/article" },
        platforms: &["lambda"],
    },
    Tool {
        name: "pages",
        purpose: "esbuild for the two pages, and puppeteer, which drives Chromium",
        source: Source::Npm { lock: "dashboard", into: "dashboard" },
        platforms: &[],
    },
    Tool {
        name: "cargo tools",
        purpose: "cargo-deny, and cargo-lambda as another host for the functions",
        source: Source::Pypi { requirements: "xtask/python/requirements.txt", into: "target/tools/python" },
        platforms: &[],
    },
    Tool {
        name: "schemathesis",
        purpose: "makes requests from the OpenAPI document",
        source: Source::Pypi { requirements: "xtask/schemathesis/requirements.txt", into: "target/tools/schemathesis" },
        platforms: &[],
    },
    Tool {
        name: "linters",
        purpose: "SAM's, cfn-lint, hadolint, zizmor and others, for what operators deploy with",
        source: Source::Pypi { requirements: "xtask/deploy/requirements.txt", into: "target/tools/deploy" },
        platforms: &[],
    },
    Tool {
        name: "checkov",
        purpose: "looks for unsafe settings in what operators deploy with",
        source: Source::Pypi { requirements: "xtask/checkov/requirements.txt", into: "target/tools/checkov" },
        platforms: &[],
    },
    Tool {
        name: "wrangler",
        purpose: "wrangler and its Node.js, which check Workers' configuration",
        source: Source::Npm { lock: "xtask/wrangler", into: "target/tools/wrangler" },
        platforms: &[],
    },
];

const fn user(
    name: &'static str,
    purpose: &'static str,
    advice: &'static str,
    platforms: &'static [&'static str],
) -> Tool {
    Tool { name, purpose, source: Source::User(advice), platforms }
}

const fn debian(name: &'static str, purpose: &'static str, package: &'static str) -> Tool {
    Tool { name, purpose, source: Source::Debian(package), platforms: &[] }
}

impl Tool {
    /// Whether the builds of one of these platforms need it.
    pub fn is_for(&self, platforms: &[&str]) -> bool {
        self.platforms.iter().any(|platform| platforms.contains(platform))
    }

    /// Where set-up installs it from and to, or what the user has to do.
    pub fn way(&self) -> String {
        match self.source {
            Source::User(advice) => advice.to_owned(),
            Source::Debian(package) => format!("Debian's {package}, by apt-get as root"),
            Source::Npm { into, .. } => format!("npm, into {into}/node_modules"),
            Source::Pypi { into, .. } => format!("PyPI, into {into}"),
            Source::Wasm => {
                "rustup, into the active toolchain; where it reaches no server, Debian's rustc-web, cargo-web and \
                 rust-web-src by apt-get as root, and target/tools/wasm-toolchain"
                    .to_owned()
            }
        }
    }

    /// The tools that set-up installs it with.
    pub fn installers(&self) -> &'static [&'static str] {
        match self.source {
            Source::User(_) | Source::Debian(_) => &[],
            Source::Npm { .. } => &["node", "npm"],
            Source::Pypi { .. } => &["python3", "python3 -m pip"],
            Source::Wasm => &["rustup"],
        }
    }

    /// The first line that a program prints about its version. `None` if it can't be run or is no program.
    pub fn version(&self) -> Option<String> {
        let (Source::User(_) | Source::Debian(_)) = self.source else { return None };
        let mut words = self.name.split(' ');
        version(Command::new(words.next()?).args(words).arg("--version"))
    }

    /// What is there once it is installed, if it is no program.
    pub fn installed(&self) -> Option<PathBuf> {
        match self.source {
            Source::User(_) | Source::Debian(_) => None,
            Source::Npm { into, .. } => Some(PathBuf::from(into).join("node_modules")),
            Source::Pypi { into, .. } => Some(PathBuf::from(into)),
            Source::Wasm => Some(PathBuf::from(WASM_TOOLCHAIN)),
        }
    }
}

/// The first line of a program's version text. `None` if the program can't be run.
pub fn version(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn tools_have_names_of_their_own_and_come_after_what_installs_them() {
        for (at, tool) in TOOLS.iter().enumerate() {
            let before: Vec<&str> = TOOLS[..at].iter().map(|tool| tool.name).collect();
            assert!(!before.contains(&tool.name), "{}", tool.name);
            assert!(tool.installers().iter().all(|name| before.contains(name)), "{}", tool.name);
        }
    }

    #[test]
    fn what_is_installed_is_locked() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for tool in TOOLS {
            match tool.source {
                Source::Npm { lock, .. } => assert!(root.join(lock).join("package-lock.json").is_file(), "{lock}"),
                Source::Pypi { requirements, .. } => {
                    let text = std::fs::read_to_string(root.join(requirements)).unwrap();
                    assert!(text.contains("--hash=sha256:"), "{requirements}");
                }
                Source::User(_) | Source::Debian(_) | Source::Wasm => {}
            }
        }
    }

    #[test]
    fn a_program_that_is_not_there_has_no_version() {
        assert_eq!(version(&mut Command::new("/nowhere/cc")), None);
        let sh = |script| version(Command::new("sh").args(["-c", script]));
        assert_eq!(sh("echo cc 4.1; echo more").as_deref(), Some("cc 4.1"));
        assert_eq!(sh("echo cc 4.1; exit 3"), None);
    }
}
