//! `isotherm prices`: the providers' prices, their sources and their age.

mod check;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use isotherm_hosts::Platform;
use jiff::Zoned;
use jiff::civil::Date;
use serde::{Serialize, Serializer};

use crate::BadInput;
use crate::model::prices::{Book, Price, Tier};
use crate::say;
use crate::words::{amount, usd};

/// The list warns if the prices were compared with their sources more than this many days ago.
const OLD_AFTER: i32 = 90;

/// The flags that say which prices.
#[derive(Args, Clone, Debug)]
pub(crate) struct WhichPrices {
    /// Another price book, TOML like bench/prices.toml
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// The prices that hold on this day, such as 2026-12-01; without it, today
    #[arg(long, value_name = "DAY")]
    on: Option<Date>,
}

impl WhichPrices {
    pub(crate) fn read(&self) -> Result<Book> {
        read(self.prices.as_deref())
    }

    pub(crate) fn day(&self) -> Date {
        self.on.unwrap_or_else(|| Zoned::now().date())
    }
}

/// The price book in a file, or the one built into the program.
///
/// # Errors
/// Fails if the file can't be read or is not a valid price book.
pub(crate) fn read(file: Option<&Path>) -> Result<Book> {
    let Some(file) = file else { return Book::own() };
    Book::parse(&crate::text::read(file)?).with_context(|| format!("{} is no price book", file.display()))
}

/// The flags of `isotherm prices`.
#[derive(Args, Clone, Debug)]
#[command(
    before_help = "Examples:
  isotherm prices                    all of them, with their sources
  isotherm prices --on 2027-01-01    those of another day
  isotherm prices --json             for a program
  isotherm prices --check dynamodb.json workers.md
                                     what moved, by saved files of AWS and Cloudflare",
    after_help = "--check reads offer files of AWS's price list, plain or gzip, and saved pages of Cloudflare's, HTML or Markdown:
  https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonDynamoDB/current/us-east-1/index.json
  https://developers.cloudflare.com/workers/platform/pricing/index.md
It loads nothing itself. `at` in bench/prices.toml says which file has a price.

Exit codes: 0 nothing moved, 3 a price moved or is not where the book says, 2 a file or flag can't be used."
)]
pub struct Prices {
    /// Only the prices of this platform; may be given again
    #[arg(long = "platform", value_name = "PLATFORM", value_parser = crate::command::up::platform())]
    platforms: Vec<Platform>,
    #[command(flatten)]
    book: WhichPrices,
    /// Compare the prices with saved files of the providers
    #[arg(long, value_name = "FILE", num_args = 1..)]
    check: Vec<PathBuf>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// The output of `--json`.
#[derive(Serialize)]
struct List<'b> {
    /// When the prices were compared with their sources.
    #[serde(serialize_with = "as_text")]
    checked: Date,
    /// The day whose prices hold.
    #[serde(serialize_with = "as_text")]
    on: Date,
    /// The prices, in USD.
    prices: Vec<&'b Price>,
}

fn as_text<S: Serializer>(day: &Date, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(day)
}

/// Lists prices, or compares them with files.
///
/// # Errors
/// Fails if the book or a file can't be read.
pub fn prices(flags: &Prices) -> Result<ExitCode> {
    let book = flags.book.read().map_err(BadInput)?;
    let (today, on) = (Zoned::now().date(), flags.book.day());
    let is_compared = !flags.check.is_empty();
    let mut prices = Vec::new();
    for price in book.prices() {
        let is_asked_for = flags.platforms.is_empty() || flags.platforms.iter().any(|one| one.name() == price.platform);
        if is_asked_for && if is_compared { price.holds_from(on)? } else { price.holds_on(on)? } {
            prices.push(price);
        }
    }
    if prices.is_empty() {
        return Err(BadInput(anyhow!("the price book has none of these prices for {on}")).into());
    }
    if is_compared {
        return check::check(&book, &prices, on, &flags.check, flags.json);
    }
    let list = List { checked: book.checked()?, on, prices };
    if flags.json {
        say(&format!("{}\n", serde_json::to_string_pretty(&list)?))?;
    } else {
        say(&text(&list, today)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(list: &List<'_>, today: Date) -> Result<String> {
    let age = today.since(list.checked)?.get_days();
    let mut text =
        format!("prices in USD on {}, compared with their sources on {}, {age} days ago", list.on, list.checked);
    if age > OLD_AFTER {
        text += ": old, look at the sources before you decide by them";
    }
    text.push('\n');
    let mut platform = "";
    for price in &list.prices {
        if price.platform != platform {
            platform = &price.platform;
            text += &format!("\n{platform}\n");
        }
        text += &format!("  {:<48}  {}\n", price.item, price.tiers_in_words());
        let until = price.until.as_ref().map(|until| format!("until {until} · ")).unwrap_or_default();
        text += &format!("  {:<48}  {until}{} · {}\n", "", price.id, price.source);
        if let Some(note) = &price.note {
            text += &format!("  {:<48}  {note}\n", "");
        }
    }
    Ok(text)
}

impl Price {
    /// What the price is for: `1,000,000 × request`.
    fn per_in_words(&self) -> String {
        let per = if self.per == 1.0 { String::new() } else { format!("{} × ", amount(self.per)) };
        format!("{per}{}", self.unit)
    }

    /// The price in words: `0.20 per 1,000,000 requests, the first 1,000,000 a month free`.
    fn tiers_in_words(&self) -> String {
        if self.unpublished {
            return "unpriced".to_owned();
        }
        let of_tier = |tier: &Tier| match tier.above {
            0.0 => usd(tier.usd),
            above => format!("{} above {}", usd(tier.usd), amount(above)),
        };
        let tiers: Vec<String> = self.tiers.iter().map(of_tier).collect();
        let mut words = format!("{} per {}", tiers.join(", "), self.per_in_words());
        if self.free > 0.0 {
            words += &format!("; {} a month free", amount(self.free));
        }
        if self.included > 0.0 {
            words += &format!("; {} a month come with the plan", amount(self.included));
        }
        if let Some(months) = self.free_months {
            words += &format!(" for {months} months");
        }
        words
    }
}

#[cfg(test)]
mod tests;
