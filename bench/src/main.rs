//! `isotherm`: one analytics function on four platforms, run and compared on this machine.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use isotherm_bench::BadInput;
use isotherm_bench::command::{
    check, compare, cost, decide, diff, doctor, key, moving, prices, report, schema, simulate, soak, up,
};

/// One analytics function on four platforms, run and compared on this machine.
#[derive(Parser)]
#[command(name = "isotherm", version)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start one platform in the foreground, on the runtime it really runs on
    Up(up::Up),
    /// Start the plain server: `up native`, on port 8080, with data that stays
    Serve(up::Serve),
    /// Say, check by check, whether an endpoint keeps the contract
    Check(check::Check),
    /// Measure one workload on every platform, and on the smallest function there
    Compare(compare::Compare),
    /// Render a result of `compare` again, as its page or as text
    Report(report::Report),
    /// Price a month on every platform, without running anything
    Cost(cost::Cost),
    /// Say what each platform comes to for your own traffic: cold starts, latency, cost, limits, guarantees
    Decide(Box<decide::Decide>),
    /// Say what changed between two results, and what is noise
    Diff(diff::Diff),
    /// Say what is missing on this machine for a comparison, and how to get it
    Doctor(doctor::Doctor),
    /// Make keys for the configuration
    Key(key::Key),
    /// Write a tenant's events and rollups into a file
    Export(moving::Export),
    /// Bring an exported file into a service
    Import(moving::Import),
    /// Copy a tenant from one service to another, and compare both
    Move(moving::Move),
    /// Bring clients from one service to another without a lost event, and state the pause
    Cutover(moving::Cutover),
    /// Send a tenant's raw backup to a service
    Restore(moving::Restore),
    /// Compare a service with its raw backup
    Verify(moving::Verify),
    /// List what the providers ask, with sources, and say how old the list is
    Prices(prices::Prices),
    /// Print the JSON Schema of what a command writes
    Schema(schema::Flags),
    /// Replay arrivals through models of the platforms: cold starts, latency and cost at scale
    Simulate(Box<simulate::Simulate>),
    /// Put one platform under good and hostile load, kill it again and again, and look for every event
    Soak(soak::Soak),
}

/// What a user wants to do, and the commands for it.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Measure", &["compare", "report", "diff", "soak"]),
    ("Decide", &["decide", "cost", "simulate", "prices", "schema"]),
    ("Run", &["serve", "up", "check", "key", "doctor"]),
    ("Leave", &["move", "cutover", "export", "import", "restore", "verify"]),
];

/// Puts the examples at the beginning of each command's help.
const HELP: &str = "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";

/// The program's flags, with help that groups the commands.
fn command_line() -> clap::Command {
    let command = Flags::command();
    let about = |name: &str| command.find_subcommand(name).and_then(clap::Command::get_about).cloned();
    let mut groups = String::new();
    for (group, names) in GROUPS {
        groups += &format!("{group}:\n");
        for name in names {
            groups += &format!("  {name:10}{}\n", about(name).unwrap_or_default());
        }
        groups.push('\n');
    }
    let examples_first =
        |command: clap::Command| command.help_template(HELP).mut_subcommands(|command| command.help_template(HELP));
    let help = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}`isotherm COMMAND --help` begins with examples.\n\n\
         Options:\n{{options}}\n"
    );
    command.mut_subcommands(examples_first).help_template(help).arg_required_else_help(true)
}

fn main() -> ExitCode {
    let flags = match command_line().try_get_matches().and_then(|matches| Flags::from_arg_matches(&matches)) {
        Ok(flags) => flags,
        Err(error) => return refuse(&error),
    };
    match run(flags) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("isotherm: {error:#}");
            if error.is::<BadInput>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Prints what clap reports about the flags: help unchanged, an error on one line.
fn refuse(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Nobody reads standard output any more, and there was nothing else to do.
        let _closed = error.print();
        return ExitCode::SUCCESS;
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        let _closed = error.print();
        return ExitCode::from(2);
    }
    let text = error.to_string();
    let lines =
        text.lines().map(str::trim).take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let line = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    eprintln!("isotherm: {}", line.trim_start_matches("error: "));
    ExitCode::from(2)
}

fn run(flags: Flags) -> Result<ExitCode> {
    match flags.command {
        Command::Up(up) => up::up(&up),
        Command::Serve(serve) => up::serve(&serve),
        Command::Check(flags) => threads()?.block_on(check::check(&flags)),
        Command::Compare(flags) => Ok(compare::compare(&flags)),
        Command::Report(flags) => report::report(&flags),
        Command::Cost(flags) => cost::cost(&flags),
        Command::Decide(flags) => decide::decided(&flags),
        Command::Diff(flags) => diff::diff(&flags),
        Command::Doctor(flags) => doctor::doctor(&flags),
        Command::Key(flags) => key::key(&flags),
        Command::Export(flags) => threads()?.block_on(moving::export(&flags)),
        Command::Import(flags) => threads()?.block_on(moving::import(&flags)),
        Command::Move(flags) => threads()?.block_on(moving::move_all(&flags)),
        Command::Cutover(flags) => threads()?.block_on(moving::cutover(&flags)),
        Command::Restore(flags) => threads()?.block_on(moving::restore(&flags)),
        Command::Verify(flags) => threads()?.block_on(moving::verify(&flags)),
        Command::Prices(flags) => prices::prices(&flags),
        Command::Schema(flags) => schema::schema(&flags),
        Command::Simulate(flags) => simulate::simulate(&flags),
        Command::Soak(flags) => threads()?.block_on(soak::soak(flags)),
    }
}

/// Starts the runtime whose thread starts the hosts' processes. They end with that thread, so it lives as long as the
/// program.
fn threads() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("cannot start threads")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_command_is_in_one_group_and_its_help_begins_with_examples() {
        let command = command_line();
        let named: Vec<_> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let there: BTreeSet<_> =
            command.get_subcommands().map(clap::Command::get_name).filter(|name| *name != "help").collect();
        assert_eq!((named.len(), named.into_iter().collect::<BTreeSet<_>>()), (there.len(), there));
        for command in command.get_subcommands() {
            let examples = command.get_before_help().map(ToString::to_string).unwrap_or_default();
            assert!(examples.starts_with("Examples:\n  isotherm "), "{}", command.get_name());
            // A help wraps its lines at 100 columns, where a shell would read two commands.
            let long = examples.lines().find(|line| line.chars().count() > 98);
            assert_eq!(long, None, "{}", command.get_name());
        }
    }
}
