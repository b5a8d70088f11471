//! Compares the price book with what providers publish.

use std::collections::BTreeSet;

use anyhow::Result;
use jiff::civil::Date;
use serde::Serialize;

use super::at::{At, Page, Product};
use super::offer::{Offer, REGION};
use super::page;
use super::says::Says;
use super::{Book, Price};
use crate::words::{amount, usd};

/// What a saved file turned out to be.
#[derive(Debug)]
pub(crate) enum Published {
    /// An offer file of AWS.
    Offer(Offer),
    /// A page of Cloudflare: its id, and its text without markup.
    Page(String, String),
}

/// What became of the book's prices.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The prices that hold on this day, or later, are compared.
    pub on: String,
    /// Each file, in the order given.
    pub files: Vec<File>,
    /// Ids of the prices that no file speaks of.
    pub not_compared: Vec<String>,
}

/// What a file says of the book's prices.
#[derive(Debug, Serialize)]
pub(crate) struct File {
    /// The file's name.
    pub file: String,
    /// The offer code, or the page.
    pub content: String,
    /// When AWS published the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// The region of AWS whose prices were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<&'static str>,
    /// Each price that should stand in the file, in the order of the book.
    pub prices: Vec<Compared>,
}

/// What a file says of a price.
#[derive(Debug, Serialize)]
pub(crate) struct Compared {
    pub id: String,
    pub status: Status,
    /// What differs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<Move>,
    /// Why the price was not found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Status {
    Same,
    Moved,
    NotFound,
}

/// A number of a price that moved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Move {
    pub what: What,
    /// The tier, by the units a month from which it begins in the book.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// The number in the book.
    pub was: f64,
    /// The number in the file.
    pub is: f64,
}

/// Which number of a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    /// USD of a tier.
    Usd,
    /// Where a tier begins.
    Above,
    /// The number of tiers.
    Tiers,
    /// Units that are free.
    Free,
    /// Units that the plan includes.
    Included,
}

impl Move {
    /// The move in words, of a price `per` so many units: `price above 0: 0.625 → 0.70 USD per request`.
    pub(crate) fn words(&self, per: &str) -> String {
        let Self { what, above, was, is } = *self;
        let tier = above.map(|above| format!(" above {}", amount(above))).unwrap_or_default();
        match what {
            What::Usd => format!("price{tier}: {} → {} USD per {per}", usd(was), usd(is)),
            What::Above => format!("the tier{tier} begins above {}", amount(is)),
            What::Tiers => format!("tiers: {was} → {is}"),
            What::Free => format!("free units: {} → {}", amount(was), amount(is)),
            What::Included => format!("included units: {} → {}", amount(was), amount(is)),
        }
    }
}

impl Report {
    /// The number of prices with this status, over all files.
    pub(crate) fn count(&self, status: Status) -> usize {
        self.files.iter().flat_map(|file| &file.prices).filter(|price| price.status == status).count()
    }
}

/// The products that prices of the book point to.
pub(crate) fn products(book: &Book) -> Vec<&Product> {
    let prices = book.prices().iter();
    prices
        .filter_map(|price| match &price.at {
            Some(At::Offer(product)) => Some(product),
            _ => None,
        })
        .collect()
}

/// The page of which this is a saved copy; `None` if the book knows no such page.
///
/// # Errors
/// Never fails: the expressions are constants.
pub(crate) fn recognize(book: &Book, saved: &str) -> Result<Option<Published>> {
    let plain = page::plain(saved)?;
    let is_it = |page: &&Page| plain.contains(&page.known_by);
    let page = book.pages().iter().find(is_it);
    Ok(page.map(|page| Published::Page(page.id.clone(), plain)))
}

/// Compares the prices that hold on a day, or are announced for later, with saved files.
pub(crate) fn report(prices: &[&Price], on: Date, files: &[(String, Published)]) -> Report {
    let files: Vec<File> = files.iter().map(|(name, published)| file(prices, name, published)).collect();
    let compared: BTreeSet<&str> = files.iter().flat_map(|file| &file.prices).map(|price| price.id.as_str()).collect();
    let mut not_compared: Vec<String> =
        prices.iter().map(|price| price.id.clone()).filter(|id| !compared.contains(id.as_str())).collect();
    not_compared.dedup();
    Report { on: on.to_string(), files, not_compared }
}

fn file(prices: &[&Price], name: &str, published: &Published) -> File {
    let mut compared: Vec<Compared> = Vec::new();
    for price in prices {
        let says = match (&price.at, published) {
            (Some(At::Offer(product)), Published::Offer(offer)) if product.offer == offer.code => {
                offer.says(product).map(|says| per_units(says, price.per))
            }
            (Some(At::Page(place)), Published::Page(id, text)) if place.page == *id => page::says(text, &place.text),
            _ => continue,
        };
        let found = match says {
            Ok(says) => {
                let moves = moves(price, &says);
                let status = if moves.is_empty() { Status::Same } else { Status::Moved };
                Compared { id: price.id.clone(), status, moves, problem: None }
            }
            Err(problem) => Compared {
                id: price.id.clone(),
                status: Status::NotFound,
                moves: Vec::new(),
                problem: Some(format!("{problem:#}")),
            },
        };
        // Before an announced price holds, the file has the one of today; both are in the book.
        match compared.iter_mut().find(|other| other.id == found.id) {
            None => compared.push(found),
            Some(other) if found.status == Status::Same => *other = found,
            Some(_) => {}
        }
    }
    let (content, published, region) = match published {
        Published::Offer(offer) => (offer.code.clone(), offer.published.clone(), Some(REGION)),
        Published::Page(id, _) => (id.clone(), None, None),
    };
    File { file: name.to_owned(), content, published, region, prices: compared }
}

/// The prices of one unit as prices of `per` units.
fn per_units(mut says: Says, per: f64) -> Says {
    for (_, usd) in &mut says.tiers {
        *usd *= per;
    }
    says
}

fn moves(price: &Price, says: &Says) -> Vec<Move> {
    let mut moves = Vec::new();
    let mut compare = |what, above, was: f64, is: f64| {
        // The product of two decimals is off in its last digits.
        if (was - is).abs() > 1e-9 * was.abs().max(is.abs()) {
            moves.push(Move { what, above, was, is: (is * 1e12).round() / 1e12 });
        }
    };
    if !says.tiers.is_empty() {
        compare(What::Tiers, None, price.tiers.len() as f64, says.tiers.len() as f64);
        for (tier, (above, usd)) in price.tiers.iter().zip(&says.tiers) {
            compare(What::Above, Some(tier.above), tier.above, *above);
            compare(What::Usd, Some(tier.above), tier.usd, *usd);
        }
    }
    for (what, was, is) in [(What::Free, price.free, says.free), (What::Included, price.included, says.included)] {
        is.into_iter().for_each(|is| compare(what, None, was, is));
    }
    moves
}
