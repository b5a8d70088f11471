//! Tests the project's pages: their links lead somewhere, and the commands they show can be run.
#![allow(clippy::unwrap_used, clippy::panic, reason = "what a helper of a test finds wrong fails the test")]

mod fixture;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use fixture::Fixture;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// Commands that this test can't run: they need an account, a cluster, a container, a system service or a deployment to
/// leave, or they build or run everything. Other parts of `cargo xtask test` run the commands of cargo and npm.
const NOT_RUN: [&str; 24] = [
    "apt-get ",
    "aws ",
    "cargo ",
    "docker ",
    "export ISOTHERM_",
    "gzip -dc /var/",
    "install ",
    "isotherm cutover ",
    "isotherm export ",
    "isotherm import ",
    "isotherm move ",
    "isotherm restore ",
    "isotherm verify ",
    "kubectl ",
    "npm ",
    "npx ",
    "printf ",
    "rclone ",
    "rm -f /var/",
    "sam ",
    "spin ",
    "systemctl ",
    "curl -fsS -H @",
    "curl -fsS -X POST -H @",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The pages in the project's repository.
fn pages() -> Vec<PathBuf> {
    let listed = Command::new("git").current_dir(root()).args(["ls-files", "-z", "--", "*.md"]).output().unwrap();
    assert!(listed.status.success(), "{listed:?}");
    let listed = String::from_utf8(listed.stdout).unwrap();
    let pages: Vec<_> =
        listed.split_terminator('\0').map(|page| root().join(page)).filter(|page| page.is_file()).collect();
    assert!(pages.len() > 10, "{pages:?}");
    pages
}

fn parse(page: &str) -> Parser<'_> {
    Parser::new_ext(page, Options::ENABLE_TABLES)
}

/// The headings of a page, as the anchors that GitHub makes from them.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut heading: Option<String> = None;
    for event in parse(page) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => anchors.extend(heading.take().map(|text| anchor(&text))),
            Event::Text(text) | Event::Code(text) => heading.iter_mut().for_each(|heading| heading.push_str(&text)),
            _ => {}
        }
    }
    anchors
}

fn anchor(heading: &str) -> String {
    let heading = heading.to_lowercase();
    let kept = heading.chars().filter(|sign| sign.is_alphanumeric() || matches!(sign, ' ' | '-' | '_'));
    kept.map(|sign| if sign == ' ' { '-' } else { sign }).collect()
}

fn problem_of_link(page: &Path, link: &str) -> Option<String> {
    if link.starts_with("https://") || link.starts_with("http://") {
        return None;
    }
    let (file, heading) = link.split_once('#').map_or((link, None), |(file, heading)| (file, Some(heading)));
    let target = if file.is_empty() { page.to_owned() } else { page.parent()?.join(file) };
    if !target.exists() {
        return Some(format!("{}: there is no {link}", page.display()));
    }
    let is_there = heading.is_none_or(|heading| anchors(&fs::read_to_string(&target).unwrap()).contains(heading));
    (!is_there).then(|| format!("{}: {file} has no heading for {link}", page.display()))
}

#[test]
fn links_lead_somewhere() {
    let mut problems = Vec::new();
    for page in pages() {
        let content = fs::read_to_string(&page).unwrap();
        problems.extend(parse(&content).filter_map(|event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => problem_of_link(&page, &dest_url),
            _ => None,
        }));
    }
    assert!(problems.is_empty(), "{problems:#?}");
    let readme = root().join("README.md");
    assert!(problem_of_link(&readme, "docs/contract.md#limits").is_none());
    assert!(problem_of_link(&readme, "docs/contract.md#limit").is_some());
    assert!(problem_of_link(&readme, "docs/contracts.md").is_some());
}

/// The commands of the page's shell blocks, one per line and without comments.
fn commands(page: &str) -> Vec<String> {
    let mut is_shell = false;
    let mut text = String::new();
    for event in parse(page) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => is_shell = &*language == "sh",
            Event::End(TagEnd::CodeBlock) => is_shell = false,
            Event::Text(line) if is_shell => text.push_str(&line),
            _ => {}
        }
    }
    let text = text.replace("\\\n", " ");
    let commands = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
    commands.filter(|command| !command.is_empty()).map(str::to_owned).collect()
}

/// The command without the variable assignments before it.
fn without_variables(command: &str) -> &str {
    match command.split_once(' ') {
        Some((variable, rest)) if variable.contains('=') => without_variables(rest),
        _ => command,
    }
}

/// A server that a command starts, and its URL. It is stopped when dropped.
struct Server(Child, String);

impl Server {
    fn start(fixture: &Fixture, arguments: &str) -> Self {
        let mut words: Vec<&str> = arguments.split_whitespace().collect();
        if let Some(port) = words.iter().position(|word| *word == "--port") {
            words.drain(port..port + 2);
        }
        let mut command = isotherm(fixture);
        // Uses a free port instead of the one shown.
        command.args(words).args(["--port", "0", "--artifacts"]).arg(&fixture.artifacts).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("ready ") {
            line.clear();
            assert!(output.read_line(&mut line).unwrap() > 0, "`isotherm {arguments}` was never ready");
        }
        Self(process, line.trim().trim_start_matches("ready ").to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn isotherm(fixture: &Fixture) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_isotherm"));
    command.current_dir(fixture.folder.path()).stdin(Stdio::null());
    command
}

fn check(command: &mut Command, shown: &str) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "`{shown}`: {output:?}");
}

/// The quick test leaves this out: it builds the native platform alone.
mod every_platform {
    use super::*;

    #[test]
    fn commands_that_are_shown_run() {
        let fixture = Fixture::new();
        fs::copy(fixture.folder.path().join("events.ndjson"), fixture.folder.path().join("mine.ndjson")).unwrap();
        let server = Server::start(&fixture, "serve");
        let mut ran = 0;
        for command in pages().iter().flat_map(|page| commands(&fs::read_to_string(page).unwrap())) {
            let program = without_variables(&command);
            let program = program.strip_prefix("target/release/").unwrap_or(program);
            let program = program.replace("http://localhost:8080", &server.1).replace("localhost:8080", &server.1);
            if NOT_RUN.iter().any(|prefix| program.starts_with(prefix)) {
                continue;
            }
            match program.strip_prefix("isotherm ") {
                Some(arguments) if arguments.starts_with("serve") || arguments.starts_with("up ") => {
                    drop(Server::start(&fixture, arguments));
                }
                // Runs a comparison in its quickest form.
                Some(arguments) if arguments.starts_with("compare") => {
                    let mut compare = isotherm(&fixture);
                    compare.args(arguments.split_whitespace()).args(["--quick", "--platform", "native", "--artifacts"]);
                    check(compare.arg(&fixture.artifacts), &command);
                }
                Some(arguments) => check(isotherm(&fixture).args(arguments.split_whitespace()), &command),
                None if program.starts_with("curl ") => {
                    let shell = program.replacen("curl ", "curl -fsS ", 1);
                    check(Command::new("sh").args(["-c", &shell]), &command);
                }
                None => panic!("`{command}`: run it here, or say in NOT_RUN that it can't be"),
            }
            ran += 1;
        }
        assert!(ran >= 6, "{ran} commands");
    }
}
