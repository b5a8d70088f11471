//! `isotherm prices --check`: opens saved files, finds out what they are, and says what moved.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use flate2::bufread::MultiGzDecoder;
use jiff::civil::Date;

use crate::command::watched::Watched;
use crate::model::prices::check::{Compared, Published, Report, Status, products, recognize, report};
use crate::model::prices::offer::Offer;
use crate::model::prices::{Book, Price};
use crate::text::without_mark;
use crate::words::listed;
use crate::{BadInput, say};

/// The exit code if a price moved, or is not where the book says.
const MOVED: u8 = 3;

/// A larger page is refused. Cloudflare's largest has 0.5 MB.
const LARGEST_PAGE: u64 = 32 << 20;

/// What to do if a file is of no use.
const SAVE: &str = "save an offer file of AWS (index.json), or a pricing page of Cloudflare, HTML or Markdown";

/// Compares prices with saved files, and says what moved.
///
/// # Errors
/// Fails if a file can't be read, or no price points to it.
pub(crate) fn check(book: &Book, prices: &[&Price], on: Date, files: &[PathBuf], json: bool) -> Result<ExitCode> {
    let read = files.iter().map(|path| {
        let name = path.display().to_string();
        Ok((name.clone(), published(book, path).context(name)?))
    });
    let read: Vec<_> = read.collect::<Result<_>>().map_err(BadInput)?;
    let report = report(prices, on, &read);
    if json {
        say(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else {
        say(&text(&report, prices))?;
    }
    let is_same = report.count(Status::Moved) + report.count(Status::NotFound) == 0;
    Ok(if is_same { ExitCode::SUCCESS } else { ExitCode::from(MOVED) })
}

/// Reads a file, plain or gzip, and finds out by looking at it what it is.
fn published(book: &Book, path: &Path) -> Result<Published> {
    let file = File::open(path).context("cannot be opened")?;
    let bytes = file.metadata().map_or(0, |about| about.len());
    let mut packed = BufReader::with_capacity(1 << 16, Watched::new("prices", file, bytes));
    let is_gzip = packed.fill_buf().context("cannot be read")?.starts_with(&[0x1f, 0x8b]);
    let reader: Box<dyn Read> = if is_gzip { Box::new(MultiGzDecoder::new(packed)) } else { Box::new(packed) };
    let mut reader = BufReader::with_capacity(1 << 16, reader);
    let start = reader.fill_buf().context("cannot be read")?;
    let text = without_mark(start);
    let mark = start.len() - text.len();
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace()).copied();
    reader.consume(mark);
    if first == Some(b'{') {
        let products = products(book);
        let offer = Offer::read(reader, &products)?;
        let is_known = products.iter().any(|product| product.offer == offer.code);
        ensure!(is_known, "is the offer file of {}, to which no price of the book points", offer.code);
        return Ok(Published::Offer(offer));
    }
    let mut page = String::new();
    reader.take(LARGEST_PAGE).read_to_string(&mut page).context("is neither JSON nor text")?;
    ensure!((page.len() as u64) < LARGEST_PAGE, "is no page: it has more than 32 MB");
    if page.trim_start().starts_with("\"FormatVersion\"") {
        bail!("is an offer file as CSV: save index.json instead");
    }
    let known: Vec<&str> = book.pages().iter().map(|page| page.id.as_str()).collect();
    recognize(book, &page)?.with_context(|| format!("is none of the pages {}: {SAVE}", listed(&known)))
}

fn text(report: &Report, prices: &[&Price]) -> String {
    let mut text = format!("prices in USD from {} on\n", report.on);
    for file in &report.files {
        text += &format!("\n{}: {}", file.file, file.content);
        text += &file.region.map(|region| format!(" in {region}")).unwrap_or_default();
        text += &file.published.as_ref().map(|day| format!(", published {day}")).unwrap_or_default();
        text.push('\n');
        let same = file.prices.iter().filter(|price| price.status == Status::Same).count();
        for price in file.prices.iter().filter(|price| price.status != Status::Same) {
            text += &lines(price, prices);
        }
        text += &format!("  {same} the same\n");
    }
    let [same, moved, lost] = [Status::Same, Status::Moved, Status::NotFound].map(|status| report.count(status));
    text += &format!(
        "\n{same} the same, {moved} moved, {lost} not found; {} not in these files",
        report.not_compared.len()
    );
    text += if report.not_compared.is_empty() { "\n" } else { " (--json lists them)\n" };
    if moved > 0 {
        text += "Look at the sources of what moved, then change bench/prices.toml or give `--prices FILE`.\n";
    }
    if lost > 0 {
        text += "Look at the files for what was not found, then change `at` of those prices.\n";
    }
    text
}

/// The lines of a price that moved or was not found.
fn lines(compared: &Compared, prices: &[&Price]) -> String {
    let price = prices.iter().find(|price| price.id == compared.id);
    let per = price.map(|price| price.per_in_words()).unwrap_or_default();
    match &compared.problem {
        Some(problem) => format!("  not found  {:<34}  {problem}\n", compared.id),
        None => compared.moves.iter().fold(String::new(), |text, one| {
            text + &format!("  moved      {:<34}  {}\n", compared.id, one.words(&per))
        }),
    }
}
