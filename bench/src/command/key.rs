//! `isotherm key new`: makes a key and its entry for the configuration.

use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand, ValueEnum};

use crate::say;

const EXAMPLES: &str = "Examples:
  isotherm key new --tenant acme --scope write               for clients that send events
  isotherm key new --tenant acme --scope read --id board --expires 2027-01-01T00:00:00Z
  isotherm key new --scope operate --id cron                 for Spin's cron
  isotherm key new --tenant acme --public --origin https://shop.example
                                                             for pages, which everyone can read";

/// The flags of `isotherm key`.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub struct Key {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a key of 128 random bits, and print it with its entry for the configuration
    New(New),
}

/// The key goes to the client, who sends it as `Authorization: Bearer KEY`; nobody else needs it. The entry goes into the
/// configuration, among the others:
///
///   {"version": 2, "keys": [ENTRY, ENTRY]}
///
/// which is the file of `--config`, the variable or secret ISOTHERM_CONFIG, or what a platform has in its place. It holds the key's
/// SHA-256, so whoever reads it learns no key. To take a key back, remove its entry; to replace one, add the new one, change the
/// clients, remove the old one.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
struct New {
    /// Whose events it is for: 1 to 64 of A-Z a-z 0-9 _ -
    #[arg(long, default_value = "default")]
    tenant: String,
    /// What it may do: write events, read them and reports, both, operate (maintenance, such as Spin's cron asks for), or erase
    #[arg(long, value_enum, default_value = "write")]
    scope: Scope,
    /// Publish it with a page or an app: it may write only, and stand in a body, a query or a path
    #[arg(long, conflicts_with = "scope")]
    public: bool,
    /// The origin of pages that may use a public key, such as `https://shop.example`; may be repeated
    #[arg(long, value_name = "ORIGIN", requires = "public")]
    origin: Vec<String>,
    /// What logs and messages call it; without it, the first 8 digits of its hash
    #[arg(long)]
    id: Option<String>,
    /// When it ends, RFC 3339, such as 2027-01-01T00:00:00Z; without it, never
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scope {
    Write,
    Read,
    Both,
    Operate,
    Erase,
}

/// Runs `isotherm key`.
///
/// # Errors
/// Fails if the system has no randomness, or if a configuration would refuse the entry.
pub fn key(Key { what: What::New(new) }: &Key) -> Result<ExitCode> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(|error| anyhow::anyhow!("{error}")).context("the system has no randomness")?;
    let key = format!("{:032x}", u128::from_be_bytes(bits));
    if let Some(time) = &new.expires {
        // `entry` refuses a malformed time.
        let past = time.parse().is_ok_and(|time: jiff::Timestamp| time <= jiff::Timestamp::now());
        ensure!(!past, "--expires {time} is in the past");
    }
    say(&format!("{key}\n{}\n", entry(&key, new)?))?;
    Ok(ExitCode::SUCCESS)
}

fn entry(key: &str, New { tenant, scope, public, origin, id, expires }: &New) -> Result<String> {
    if *public {
        return Ok(isotherm_core::public_key_entry(key, id.as_deref(), tenant, expires.as_deref(), origin)?);
    }
    let scope = scope.to_possible_value().context("every scope has a name")?;
    Ok(isotherm_core::key_entry(key, id.as_deref(), tenant, scope.get_name(), expires.as_deref())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(id: Option<&str>, expires: Option<&str>) -> New {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let (tenant, scope) = ("acme".to_owned(), Scope::Both);
        New { tenant, scope, public: false, origin: Vec::new(), id: text(id), expires: text(expires) }
    }

    #[test]
    fn an_entry_is_what_a_configuration_takes() {
        let entry = entry("0123456789abcdef0123456789abcdef", &new(Some("web"), Some("2027-01-01T00:00:00Z"))).unwrap();
        let expected = r#"{"id":"web","sha256":"3eb1bd439947eb762998e566ccc2e099c791118b2f40579cc4f7da2b5061b7f9","tenant":"acme","scope":"both","expires":"2027-01-01T00:00:00Z"}"#;
        assert_eq!(entry, expected);
    }

    #[test]
    fn no_key_is_made_that_has_ended_already() {
        let flags = Key { what: What::New(new(None, Some("2020-01-01T00:00:00Z"))) };
        assert_eq!(key(&flags).unwrap_err().to_string(), "--expires 2020-01-01T00:00:00Z is in the past");
    }

    #[test]
    fn a_public_key_writes_and_has_origins() {
        let new = New { public: true, origin: vec!["https://shop.example".to_owned()], ..new(Some("shop"), None) };
        let entry = entry("0123456789abcdef0123456789abcdef", &new).unwrap();
        assert!(entry.ends_with(r#""scope":"write","kind":"public","origins":["https://shop.example"]}"#), "{entry}");
    }

    #[test]
    fn what_no_configuration_takes_is_refused() {
        assert!(entry("0123456789abcdef", &new(Some("no id"), None)).is_err());
        assert!(entry("0123456789abcdef", &new(None, Some("tomorrow"))).is_err());
        let public = New { public: true, origin: vec!["*".to_owned()], ..new(None, None) };
        assert!(entry("0123456789abcdef", &public).is_err());
    }
}
