//! Sets up, builds and tests Isotherm: `cargo xtask help`.
//!
//! Data passes through it in this order: [`setup`] installs missing tools, [`build`] makes stale artifacts, and
//! [`mod@test`] runs all tests, including [`gates`] and [`fuzz`]. [`shell`] starts programs, and [`paths`] knows
//! where things are.

mod build;
mod defect;
mod fuzz;
mod gates;
mod package;
mod paths;
mod sample;
mod setup;
mod shell;
mod test;
mod wasm;

use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};

use crate::build::{PLATFORMS, Scope, Set};

const HELP: &str = "\
cargo xtask <command>

  compare [ARGS…]        set up, build, and compare the platforms; ARGS go to `isotherm compare` (try --help). With
                         --platform NAME only what that platform needs is set up and built
  test [--all] [--only PART]…
                         test core, the tools and the native platform; with --all, every platform and everything else.
                         --only runs one part and says what it needs: PARTS
  fuzz [TARGET]…         run fuzzing targets, for 60 s each, or as --runs N or --seconds N say; --merge keeps what runs
                         have found in fuzz/corpus, --planted proves that each target finds a planted defect
  build [--set SET]… [--platform NAME]…
                         build the artifacts that are stale into target/artifacts/SET: release, test, floor and, with
                         it, the baseline to compare with (default: all sets, all platforms)
  sample [--from FILE]   measure the sample in docs/sample with its page and picture; with --from, make them of this result
  package [--platform NAME]… [--twice]
                         build and pack what is deployed into target/package, with checksums and bills of materials; with
                         --twice, build it a second time from nothing and compare
  dashboards             make the dashboards and alert rules of deploy/ from the list of metrics
  setup                  install the tools that are missing, and say before which and where
  help                   show this
";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", arguments),
    };
    match command {
        "setup" => {
            options(command, rest, [])?;
            setup::install(&PLATFORMS, &test::tools())?;
        }
        "build" => {
            let [sets, named] = options(command, rest, ["--set", "--platform"])?;
            let mut sets = sets.into_iter().map(Set::parse).collect::<Result<Vec<_>>>()?;
            if sets.is_empty() {
                sets.extend(Set::ALL);
            }
            if let Some(unknown) = named.iter().find(|name| !PLATFORMS.contains(name)) {
                bail!("{unknown:?} is no platform; there are {}", PLATFORMS.join(", "));
            }
            let platforms = platforms(&named);
            let tools = setup::install(&platforms, &[])?;
            build::all(&tools, &sets, &platforms, &mut build::isotherm(&platforms))?;
        }
        "compare" => {
            let platforms = compared(rest);
            build::measured(&platforms)?;
            let mut compare = Command::new(paths::isotherm());
            let error = compare.envs(paths::for_isotherm()).arg("compare").args(rest).exec();
            return Err(error).with_context(|| format!("cannot start {}", paths::isotherm().display()));
        }
        "package" => package::make(&package::Asked::parse(rest)?)?,
        "dashboards" => {
            options(command, rest, [])?;
            let mut make = shell::cargo();
            make.args(["run", "--quiet", "--package", "isotherm-core", "--example", "dashboards"]).arg(paths::root());
            shell::run(&mut make)?;
        }
        "fuzz" => return fuzz::command(rest),
        "sample" => {
            let [from] = options(command, rest, ["--from"])?;
            sample::make(&from)?;
        }
        "test" => {
            let (all, rest): (Vec<_>, Vec<_>) = rest.iter().cloned().partition(|argument| argument == "--all");
            let scope = if all.is_empty() { Scope::Quick } else { Scope::All };
            let [only] = options(command, &rest, ["--only"])?;
            return test::run(scope, &only);
        }
        "help" | "--help" | "-h" => print!("{}", HELP.replace("PARTS", &test::names())),
        other => bail!("there is no command {other:?}; see `cargo xtask help`"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The platforms that `isotherm compare` is asked for: the named ones, or all. `isotherm compare` itself refuses an
/// unknown name.
fn compared(arguments: &[String]) -> Vec<&'static str> {
    let follows = |at: usize| at > 0 && arguments[at - 1] == "--platform";
    let named = arguments.iter().enumerate().filter_map(|(at, argument)| {
        if follows(at) { Some(argument.as_str()) } else { argument.strip_prefix("--platform=") }
    });
    let named: Vec<&str> = named.collect();
    platforms(&named)
}

/// The named platforms; without a name, all.
fn platforms(named: &[&str]) -> Vec<&'static str> {
    PLATFORMS.into_iter().filter(|platform| named.is_empty() || named.contains(platform)).collect()
}

/// The values of each of a command's options: `--set a --set b`, `--set=a`.
fn options<'a, const COUNT: usize>(
    command: &str,
    arguments: &'a [String],
    options: [&str; COUNT],
) -> Result<[Vec<&'a str>; COUNT]> {
    let mut values = [const { Vec::new() }; COUNT];
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let (name, value) =
            argument.split_once('=').map_or((argument.as_str(), None), |(name, value)| (name, Some(value)));
        let Some(at) = options.iter().position(|option| *option == name) else {
            bail!("`cargo xtask {command}` does not take {argument:?}; see `cargo xtask help`");
        };
        let value = value.or_else(|| rest.next().map(String::as_str));
        values[at].push(value.with_context(|| format!("{name} needs a value; see `cargo xtask help`"))?);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_in_both_forms() {
        let arguments = ["--only".to_owned(), "fmt".to_owned(), "--only=doc".to_owned()];
        assert_eq!(options("test", &arguments, ["--set", "--only"]).unwrap(), [vec![], vec!["fmt", "doc"]]);
    }

    #[test]
    fn only_what_is_compared_is_built() {
        let compared = |arguments: &str| compared(&arguments.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(compared("--quick"), PLATFORMS);
        assert_eq!(compared("--quick --platform native"), ["native"]);
        assert_eq!(compared("--platform=spin --out native --platform lambda"), ["lambda", "spin"]);
    }

    #[test]
    fn what_is_no_option_is_refused() {
        for wrong in [vec!["--set".to_owned()], vec!["release".to_owned()], vec!["--only=x".to_owned()]] {
            assert!(options("build", &wrong, ["--set"]).is_err(), "{wrong:?}");
        }
    }
}
