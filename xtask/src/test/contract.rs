//! Checks that what the document calls valid is accepted, and the rest refused. schemathesis makes requests from the
//! document.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::Run;
use super::tally::Tally;
use crate::build::{self, Set};
use crate::paths;
use crate::setup::schemathesis_folder;
use crate::shell::{phase, program, show};

/// Faults to plant in the document: the operation, the right text, the wrong text that replaces it everywhere, and
/// schemathesis's finding. They prove that the check can fail.
const PLANTED: [(&str, &str, &str, &str); 2] = [
    ("top", r#""maximum": 10000"#, r#""maximum": 10001"#, "Schema-valid request rejected"),
    ("postEvent", r#""minimum": 946684800000"#, r#""minimum": 946684800001"#, "Schema-violating request accepted"),
];

pub(super) fn check(_: &Run, tally: &mut Tally) -> Result<()> {
    let server = Server::start(&build::server(Set::Release)?)?;
    phase("contract: requests by the document");
    tally.command("schemathesis", schemathesis(&server).arg(format!("{}/openapi.json", server.url)))?;
    let document = fs::read_to_string(paths::root().join("core/src/openapi.json"))?;
    for (operation, right, wrong, finding) in PLANTED {
        phase(&format!("contract: {wrong} in place of {right}"));
        if !document.contains(right) {
            bail!("the document has no {right} any more: plant another fault");
        }
        let planted = server.folder.join("planted.json");
        fs::write(&planted, document.replace(right, wrong))?;
        let mut run = schemathesis(&server);
        run.args(["--url", &server.url, "--include-operation-id", operation, "--phases", "coverage"]).arg(planted);
        let out = run.output().with_context(|| format!("cannot start {}", show(&run)))?;
        let report = String::from_utf8_lossy(&out.stdout);
        let is_found = out.status.code() == Some(1) && report.contains(finding);
        if !is_found {
            println!("{report}");
        }
        tally.check(&format!("schemathesis finds {wrong} in place of {right}"), is_found);
    }
    Ok(())
}

/// `schemathesis run`, with the project's settings.
fn schemathesis(server: &Server) -> Command {
    let (tool, settings) = (schemathesis_folder(), settings());
    let mut run = program("python3");
    // schemathesis looks for the hooks among Python's modules, and writes into its working folder.
    run.current_dir(&server.folder).env("PYTHONPATH", std::env::join_paths([&tool, &settings]).unwrap_or_default());
    run.env("PYTHONDONTWRITEBYTECODE", "1").arg(tool.join("bin/schemathesis"));
    run.arg("--config-file").arg(settings.join("schemathesis.toml")).args(["--no-color", "run"]);
    run
}

fn settings() -> PathBuf {
    paths::root().join("xtask/schemathesis")
}

/// The plain server on a free port of loopback, without events. It is stopped when dropped.
struct Server {
    process: Child,
    url: String,
    /// The folder where the server and its client write.
    folder: PathBuf,
}

impl Server {
    fn start(artifact: &Path) -> Result<Self> {
        let folder = paths::target().join("contract");
        _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder)?;
        let mut command = program(artifact);
        command.args(["--port", "0", "--data"]).arg(folder.join("data"));
        command.arg("--config").arg(settings().join("configuration.json")).stdout(Stdio::piped());
        let process = command.spawn().with_context(|| format!("cannot start {}", show(&command)))?;
        let mut server = Self { process, url: String::new(), folder };
        let mut line = String::new();
        BufReader::new(server.process.stdout.take().context("the server has no output")?).read_line(&mut line)?;
        match line.trim_end().strip_prefix("ready ") {
            Some(url) => server.url = url.to_owned(),
            None => bail!("`{}` is not ready, but says {line:?}", show(&command)),
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}
