//! `isotherm prices`: the providers' prices, their sources and their age.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use isotherm_hosts::Platform;
use jiff::Zoned;
use jiff::civil::Date;
use serde::{Serialize, Serializer};

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
#[command(before_help = "Examples:
  isotherm prices                    all of them, with their sources
  isotherm prices --on 2027-01-01    those of another day
  isotherm prices --json             for a program")]
pub struct Prices {
    /// Only the prices of this platform; may be given again
    #[arg(long = "platform", value_name = "PLATFORM", value_parser = crate::command::up::platform())]
    platforms: Vec<Platform>,
    #[command(flatten)]
    book: WhichPrices,
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

/// Lists prices.
///
/// # Errors
/// Fails if the book can't be read.
pub fn prices(flags: &Prices) -> Result<ExitCode> {
    let book = flags.book.read()?;
    let (today, on) = (Zoned::now().date(), flags.book.day());
    let mut prices = Vec::new();
    for price in book.prices() {
        let is_asked_for = flags.platforms.is_empty() || flags.platforms.iter().any(|one| one.name() == price.platform);
        if is_asked_for && price.holds_on(on)? {
            prices.push(price);
        }
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
        let per = if self.per == 1.0 { String::new() } else { format!("{} × ", amount(self.per)) };
        let mut words = format!("{} per {per}{}", tiers.join(", "), self.unit);
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
mod tests {
    use super::*;

    /// A month as AWS counts it: 730 hours.
    const SECONDS: f64 = 730.0 * 3600.0;

    #[track_caller]
    fn cents(id: &str, units: f64, free_tier: bool) -> i64 {
        let book = Book::own().unwrap();
        let price = book.price(id, "2026-11-20".parse().unwrap()).unwrap();
        (price.usd(units, free_tier) * 100.0).round() as i64
    }

    /// Worked examples that the providers publish.
    #[test]
    fn published_examples_come_out_to_the_cent() {
        // 15 M requests of 7 ms CPU on the paid plan of Workers cost 8.00.
        let workers = [("workers-plan", 1.0), ("workers-request", 15e6), ("workers-cpu", 15e6 * 7.0)];
        assert_eq!(workers.map(|(id, units)| cents(id, units, false)), [500, 150, 150]);
        // 1 M requests of 200 ms with 1 GB on Lambda cost 3.53.
        let lambda = [("lambda-request", 1e6), ("lambda-duration-x86", 1e6 * 0.2)];
        assert_eq!(lambda.map(|(id, units)| cents(id, units, false)), [20, 333]);
        // 5 provisioned instances with 1 GB cost about 55 for a month; with 512 MB about 27.
        assert_eq!(cents("lambda-provisioned-x86", 5.0 * SECONDS, false), 5475);
        assert_eq!(cents("lambda-provisioned-x86", 5.0 * 0.5 * SECONDS, false), 2738);
        // 3 t3.large cost this much without the load balancer, with which an article comes to about 850.
        assert_eq!(cents("node-t3-large", 3.0 * 730.0, false), 18_221);
    }

    #[test]
    fn a_list_says_how_old_it_is() {
        let book = Book::own().unwrap();
        let (checked, on) = (book.checked().unwrap(), "2026-11-20".parse().unwrap());
        let list = List {
            checked,
            on,
            prices: vec![
                book.price("http-api-request", on).unwrap(),
                book.price("lambda-provisioned-duration-x86", on).unwrap(),
            ],
        };
        let listed = text(&list, "2026-12-15".parse().unwrap()).unwrap();
        assert!(listed.contains("on 2026-11-26, 19 days ago\n"), "{listed}");
        let words = "1.00, 0.90 above 300,000,000 per 1,000,000 × request of up to 512 KB\n";
        assert!(listed.contains(words), "{listed}");
        assert!(listed.contains("provisioned concurrency, x86  0.0000097222 per GB-second"), "{listed}");
        let listed = text(&list, "2027-03-26".parse().unwrap()).unwrap();
        assert!(listed.contains("120 days ago: old"), "{listed}");
    }

    #[test]
    fn announced_changes_hold_from_their_day() {
        let book = Book::own().unwrap();
        assert!(book.price("workers-logs", "2026-11-30".parse().unwrap()).is_ok());
        assert!(book.price("workers-logs", "2026-12-01".parse().unwrap()).is_err());
        // Cloudflare's worked bill: 75 GB ingested and 20 GB-months stored cost 7.05.
        let usd = |id, units| book.price(id, "2026-12-01".parse().unwrap()).unwrap().usd(units, false);
        let [ingested, stored] =
            [usd("workers-observability-ingested", 75.0), usd("workers-observability-stored", 20.0)];
        assert_eq!([ingested, stored, ingested + stored].map(|usd| (usd * 100.0).round()), [625.0, 80.0, 705.0]);
        assert!(book.price("workers-observability-stored", "2026-11-30".parse().unwrap()).is_err());
    }

    /// Large bills, in whole USD: each tier counts for the units in it.
    #[test]
    fn each_tier_has_its_price() {
        for (id, units, usd) in [
            ("cloudwatch-logs", 60_060.0, 12_503),
            ("aws-egress", 110_000.0, 8_519),
            ("s3-storage", 600_000.0, 13_163),
            ("sqs-request", 300e9, 40_000 + 30_000 + 24_000),
        ] {
            assert_eq!((cents(id, units, false) + 50) / 100, usd, "{units} of {id}");
        }
    }
}
