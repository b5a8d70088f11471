//! The price book: prices as data, with tiers, free tiers, dates and sources.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// The price book that is built into the program.
const BOOK: &str = include_str!("../../prices.toml");

/// All prices, and the day when they were compared with their sources.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Book {
    checked: String,
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
            price.check().with_context(|| format!("the price {}", price.id))?;
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
        let (from, until) = self.days()?;
        ensure!(from <= until, "it ends before it begins");
        Ok(())
    }
}

fn date(text: &str) -> Result<Date> {
    text.parse().with_context(|| format!("{text:?} is no day, such as 2026-11-01"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICE: &str = r#"
        checked = "2026-11-01"
        [[price]]
        id = "x"
        platform = "lambda"
        item = "x"
        unit = "request"
        per = 10
        tiers = [{ above = 0, usd = 2.0 }, { above = 100, usd = 1.0 }]
        free = 20
        from = "2026-11-01"
        until = "2026-11-30"
        source = "a page"
    "#;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn tiers_and_free_units_add_up() {
        let book = Book::parse(PRICE).unwrap();
        let price = book.price("x", day("2026-11-30")).unwrap();
        for (units, free_tier, usd) in [
            (0.0, true, 0.0),
            (20.0, true, 0.0),
            (30.0, true, 2.0),
            (30.0, false, 6.0),
            (150.0, true, 21.0),
            (150.0, false, 25.0),
        ] {
            assert_eq!(price.usd(units, free_tier), usd, "{units} units");
        }
    }

    #[test]
    fn begun_units_are_whole() {
        let book = Book::own().unwrap();
        let on = day("2026-11-20");
        for (id, amount, units) in [
            // The sum is rounded once: 251 + 101 would be 352.
            ("lambda-duration-x86", 250.06 + 100.77, 351.0),
            ("lambda-duration-arm", 200.0, 200.0),
            ("lambda-duration-x86", 0.1 + 0.2 + 2.7, 3.0),
            ("dynamodb-write", 1024.0, 1.0),
            ("dynamodb-write", 1025.0, 2.0),
            ("dynamodb-read", 0.0, 1.0),
            ("dynamodb-read", 8193.0, 3.0),
            ("http-api-request", 600_000.0, 2.0),
            ("sqs-request", 65_537.0, 2.0),
            ("queues-operation", 63_900.0, 1.0),
            ("queues-operation", 65_536.0, 2.0),
            ("rest-api-request", 600_000.0, 1.0),
        ] {
            assert_eq!(book.price(id, on).unwrap().units_of(amount), units, "{amount} of {id}");
        }
        let times = |id, condition| book.price(id, on).unwrap().times(condition);
        assert_eq!((times("dynamodb-write", "transactional"), times("dynamodb-read", "eventual")), (2.0, 0.5));
        assert_eq!(times("s3-put", "transactional"), 1.0);
    }

    #[test]
    fn a_month_s_units_are_whole_where_the_provider_rounds_them() {
        let book = Book::own().unwrap();
        let usd = |id, units, free| book.price(id, day("2026-11-20")).unwrap().usd(units, free);
        for (id, units, cents) in [
            ("r2-class-a", 1_000_001.0, 900.0),
            ("r2-storage", 1.2, 3.0),
            ("durable-objects-request", 1_000_001.0, 15.0),
        ] {
            assert!((usd(id, units, false) * 100.0 - cents).abs() < 1e-9, "{units} of {id}: {}", usd(id, units, false));
        }
        assert_eq!(usd("r2-class-a", 1_000_001.0, true), 4.5);
        assert_eq!(usd("r2-class-a", 0.0, false), 0.0);
        // What the plan includes comes first: 400,000 GB-s.
        assert_eq!([399_999.0, 400_001.0].map(|units| usd("durable-objects-duration", units, false)), [0.0, 12.5]);
    }

    #[test]
    fn a_price_of_one_s_own_takes_the_place() {
        let mut book = Book::own().unwrap();
        book.set("akamai-request", 0.4).unwrap();
        let price = book.price("akamai-request", day("2026-11-20")).unwrap();
        assert_eq!((price.unpublished, price.usd(3e6, true)), (false, 1.2));
        let error = book.set("x", 1.0).unwrap_err().to_string();
        assert_eq!(error, r#"there is no price "x": `isotherm prices` lists all"#);
    }

    #[test]
    fn a_price_holds_between_its_days() {
        let book = Book::parse(PRICE).unwrap();
        assert!(book.price("x", day("2026-10-31")).is_err());
        let error = book.price("x", day("2026-12-01")).unwrap_err().to_string();
        assert_eq!(error, r#"the price book has no price "x" for 2026-12-01"#);
    }

    #[test]
    fn what_is_no_price_book_is_refused() {
        for (wrong, problem) in [
            (PRICE.replace("above = 0,", "above = 1,"), "the first tier must be above 0"),
            (PRICE.replace("above = 100,", "above = 0,"), "in the order of above"),
            (PRICE.replace("2026-11-30", "2026-10-30"), "ends before it begins"),
            (PRICE.replace("\"2026-11-30\"", "\"soon\""), "is no day"),
            (PRICE.replace("per = 10", "per = 0"), "per must be above 0"),
            (PRICE.replace("per = 10", "per = 10\nround_up_to = 0"), "round_up_to must be above 0"),
            (PRICE.replace("per = 10", "per = 10\nwhole = 0"), "whole must be above 0"),
            (PRICE.replace("per = 10", "per = 10\nunpublished = true"), "has no tiers"),
            (format!("{PRICE}{}", PRICE.replace(r#"checked = "2026-11-01""#, "")), "twice for the same days"),
        ] {
            let error = format!("{:#}", Book::parse(&wrong).unwrap_err());
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn the_program_s_own_book_is_one() {
        let book = Book::own().unwrap();
        assert!(book.prices().len() > 30 && book.checked().is_ok());
        assert!(book.prices().iter().all(|price| price.source.starts_with("https://")));
    }
}
