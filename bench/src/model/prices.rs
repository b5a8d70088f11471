//! The price book: prices as data, with tiers, free tiers, dates and sources.

pub(crate) mod at;
pub(crate) mod check;
pub(crate) mod offer;
mod page;
mod says;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use self::at::{At, Page};

/// The price book that is built into the program.
const BOOK: &str = include_str!("../../prices.toml");

/// All prices, and the day when they were compared with their sources.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Book {
    checked: String,
    #[serde(default, rename = "page")]
    pages: Vec<Page>,
    #[serde(rename = "price")]
    prices: Vec<Price>,
}

/// One price within its period.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Price {
    /// The id under which usage is counted.
    pub id: String,
    /// The platform: `lambda`, `workers`, `spin` or `native`.
    pub platform: String,
    /// What is paid for.
    pub item: String,
    /// What is counted.
    pub unit: String,
    /// The number of units that a tier's price is for.
    pub per: f64,
    /// Tiers in the order of `above`; the first one is above 0.
    pub tiers: Vec<Tier>,
    /// Units per month that are free in the free tier.
    #[serde(default)]
    pub free: f64,
    /// Units per month that the platform's plan includes. The plan has a price of its own.
    #[serde(default)]
    pub included: f64,
    /// The free tier ends after this many months; `None` if it never ends.
    pub free_months: Option<u32>,
    /// The size of one unit for amounts that are rounded up one by one: bytes of a request or an item, ms of a
    /// duration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round_up_to: Option<f64>,
    /// The number of which a month's units beyond the free ones are rounded up to a multiple; `None` if they are billed as
    /// they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<f64>,
    /// Factors on the number of units under a condition, such as `transactional`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub times: BTreeMap<String, f64>,
    /// The machine, if the price is a node's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// A note for the reader of the price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Whether the provider publishes no price. Then there are no tiers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unpublished: bool,
    /// The first day of the price, such as `2026-11-01`.
    pub from: String,
    /// The last day of the price; `None` if no end is announced.
    pub until: Option<String>,
    /// The address of the source.
    pub source: String,
    /// Where the price stands in what the provider publishes; `None` if nothing that can be read has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<At>,
}

/// What a node has.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Machine {
    /// Its vCPUs.
    pub vcpus: f64,
    /// CPU credits that it earns an hour; 0 if it is not burstable. A credit is a minute of a vCPU.
    #[serde(default)]
    pub credits: f64,
    /// The id of the price of vCPU-hours beyond its credits, if it is burstable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surplus: Option<String>,
}

/// The price of the units above a monthly number of units.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tier {
    /// Units per month.
    pub above: f64,
    /// USD for [`Price::per`] units.
    pub usd: f64,
}

impl Book {
    /// The price book that is built into the program.
    ///
    /// # Errors
    /// Never fails: a test reads it.
    pub(crate) fn own() -> Result<Self> {
        Self::parse(BOOK).context("the program's own price book")
    }

    /// A price book from its text, TOML like bench/prices.toml.
    ///
    /// # Errors
    /// Fails if the text is not a valid price book.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let book: Self = toml::from_str(text)?;
        date(&book.checked)?;
        for (at, price) in book.prices.iter().enumerate() {
            let place = price.at.as_ref().map_or(Ok(()), |place| place.check(&book.pages));
            price.check().and(place).with_context(|| format!("the price {}", price.id))?;
            let surplus = price.machine.as_ref().and_then(|machine| machine.surplus.as_ref());
            if let Some(surplus) = surplus.filter(|id| !book.prices.iter().any(|other| other.id == **id)) {
                bail!("the price {}: there is no price {surplus:?}, its surplus", price.id);
            }
            let (from, until) = price.days()?;
            for other in book.prices[..at].iter().filter(|other| other.id == price.id) {
                let (first, last) = other.days()?;
                ensure!(until < first || last < from, "the price {} is there twice for the same days", price.id);
            }
        }
        Ok(book)
    }

    /// The day on which the prices were compared with their sources.
    ///
    /// # Errors
    /// Never fails for a book that was read.
    pub(crate) fn checked(&self) -> Result<Date> {
        date(&self.checked)
    }

    /// The pages that prices point to.
    pub(crate) fn pages(&self) -> &[Page] {
        &self.pages
    }

    /// All prices, in the order of the file.
    pub(crate) fn prices(&self) -> &[Price] {
        &self.prices
    }

    /// Replaces all tiers of a price with the user's own price, in USD for [`Price::per`] units.
    ///
    /// # Errors
    /// Fails if the book has no such price.
    pub(crate) fn set(&mut self, id: &str, usd: f64) -> Result<()> {
        let mut known = false;
        for price in self.prices.iter_mut().filter(|price| price.id == id) {
            price.tiers = vec![Tier { above: 0.0, usd }];
            price.unpublished = false;
            known = true;
        }
        ensure!(known, "there is no price {id:?}: `isotherm prices` lists all");
        Ok(())
    }

    /// The price that holds on a day.
    ///
    /// # Errors
    /// Fails if no price holds on that day.
    pub(crate) fn price(&self, id: &str, day: Date) -> Result<&Price> {
        for price in self.prices.iter().filter(|price| price.id == id) {
            if price.holds_on(day)? {
                return Ok(price);
            }
        }
        bail!("the price book has no price {id:?} for {day}")
    }
}

impl Price {
    /// The cost of a month's units in USD. The included and the free units come first.
    pub(crate) fn usd(&self, units: f64, free_tier: bool) -> f64 {
        let free = self.included + if free_tier { self.free } else { 0.0 };
        let units = match self.whole {
            Some(whole) if units > free => free + ((units - free) / whole).ceil() * whole,
            _ => units,
        };
        let of_tier = |(at, tier): (usize, &Tier)| {
            let until = self.tiers.get(at + 1).map_or(f64::INFINITY, |next| next.above);
            (units.min(until) - tier.above.max(free)).max(0.0) * tier.usd / self.per
        };
        self.tiers.iter().enumerate().map(of_tier).sum()
    }

    /// The units of one request, item or invocation of `amount` bytes or ms. A part of a unit counts as a whole one,
    /// and there is at least one.
    ///
    /// Providers round the amount that is billed together. For an invocation that is the sum of init and duration.
    pub(crate) fn units_of(&self, amount: f64) -> f64 {
        // Sums of decimals are off in their last digits and must not begin another unit.
        let exact = |units: f64| (units * 1e9).round() / 1e9;
        self.round_up_to.map_or(1.0, |unit| exact(amount / unit).ceil().max(1.0))
    }

    /// The factor on the number of units under this condition; 1 if the book has none.
    pub(crate) fn times(&self, condition: &str) -> f64 {
        self.times.get(condition).copied().unwrap_or(1.0)
    }

    /// Whether the price holds on this day.
    ///
    /// # Errors
    /// Never fails for a price of a book that was read.
    pub(crate) fn holds_on(&self, day: Date) -> Result<bool> {
        let (from, until) = self.days()?;
        Ok((from..=until).contains(&day))
    }

    /// Tells if the price holds on this day or later.
    ///
    /// # Errors
    /// Never fails for a price of a book that was read.
    pub(crate) fn holds_from(&self, day: Date) -> Result<bool> {
        Ok(self.days()?.1 >= day)
    }

    fn days(&self) -> Result<(Date, Date)> {
        Ok((date(&self.from)?, self.until.as_deref().map_or(Ok(Date::MAX), date)?))
    }

    fn check(&self) -> Result<()> {
        ensure!(self.per > 0.0, "per must be above 0");
        ensure!(self.whole.is_none_or(|whole| whole > 0.0), "whole must be above 0");
        ensure!(self.free >= 0.0 && self.included >= 0.0, "free and included must not be below 0");
        ensure!(self.round_up_to.is_none_or(|unit| unit > 0.0), "round_up_to must be above 0");
        if self.unpublished {
            ensure!(self.tiers.is_empty(), "an unpublished price has no tiers");
        } else {
            ensure!(self.tiers.first().is_some_and(|tier| tier.above == 0.0), "the first tier must be above 0");
        }
        ensure!(self.tiers.is_sorted_by(|one, two| one.above < two.above), "tiers must be in the order of above");
        ensure!(self.tiers.iter().all(|tier| tier.usd >= 0.0), "a price is below 0");
        if let Some(machine) = &self.machine {
            ensure!(machine.vcpus > 0.0, "a machine has vCPUs");
            ensure!((machine.credits > 0.0) == machine.surplus.is_some(), "credits and surplus belong together");
        }
        let (from, until) = self.days()?;
        ensure!(from <= until, "it ends before it begins");
        Ok(())
    }
}

fn date(text: &str) -> Result<Date> {
    text.parse().with_context(|| format!("{text:?} is no day, such as 2026-11-01"))
}

#[cfg(test)]
mod tests;
