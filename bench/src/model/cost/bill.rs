//! Bills: usage times prices.

use anyhow::Result;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Serialize;

use crate::model::cost::usage::{Service, Usage};
use crate::model::prices::{Book, Price};

/// One line of a bill: a service's usage of one price.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Line {
    /// The service.
    pub service: Service,
    /// The price's id.
    pub price: String,
    /// What is paid for.
    pub item: String,
    /// The unit that is counted.
    pub unit: String,
    /// Units per month.
    pub units: f64,
    /// USD per month; `None` if no price is published.
    pub usd: Option<f64>,
}

/// The cost of a month.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Bill {
    /// The lines, in the order of an event's path.
    pub lines: Vec<Line>,
    /// Notes on the prices in the bill.
    pub notes: Vec<String>,
}

impl Bill {
    /// Prices the usage. Tiers and free units of a price count once, and are spread over the services that use it.
    pub(crate) fn of(usage: &Usage, services: &[Service], rates: &Rates<'_>) -> Result<Self> {
        let mut bill = Self { lines: Vec::new(), notes: Vec::new() };
        for (service, id, units) in usage.iter().filter(|(service, ..)| services.contains(service)) {
            let price = match rates.price(id) {
                Ok(price) => price,
                Err(_) if rates.book.prices().iter().any(|price| price.id == id) => {
                    bill.note(format!("{id} has no price on {}", rates.on));
                    bill.lines.push(Line::new(service, id, id, "", units, None));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let whole = usage.units(id);
            let share = if whole > 0.0 { units / whole } else { 0.0 };
            let usd = (!price.unpublished).then(|| share * price.usd(whole, rates.free_tier));
            bill.lines.push(Line::new(service, id, &price.item, &price.unit, units, usd));
            bill.note_of(price, rates.free_tier);
        }
        Ok(bill)
    }

    fn note_of(&mut self, price: &Price, free_tier: bool) {
        if let Some(note) = &price.note {
            self.note(format!("{}: {note}", price.item));
        }
        if let Some(months) = price.free_months.filter(|_| free_tier) {
            self.note(format!("{}: its free tier ends after {months} months", price.item));
        }
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// The sum of all lines with a price, in USD per month.
    pub(crate) fn usd(&self) -> f64 {
        self.lines.iter().filter_map(|line| line.usd).sum()
    }

    /// The ids of the unpublished prices.
    pub(crate) fn unpriced(&self) -> Vec<&str> {
        self.lines.iter().filter(|line| line.usd.is_none()).map(|line| line.price.as_str()).collect()
    }
}

impl Line {
    fn new(service: Service, price: &str, item: &str, unit: &str, units: f64, usd: Option<f64>) -> Self {
        Self { service, price: price.to_owned(), item: item.to_owned(), unit: unit.to_owned(), units, usd }
    }
}

/// The prices of a day and the rules for applying them.
pub(crate) struct Rates<'b> {
    pub book: &'b Book,
    pub on: Date,
    pub free_tier: bool,
}

impl Rates<'_> {
    /// The price that holds on the day.
    ///
    /// # Errors
    /// Fails if there is none.
    pub(crate) fn price(&self, id: &str) -> Result<&Price> {
        self.book.price(id, self.on)
    }

    /// Converts an amount to units, as [`Price::units_of`] does.
    pub(crate) fn units_of(&self, id: &str, amount: f64) -> Result<f64> {
        Ok(self.price(id)?.units_of(amount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bill(usage: &Usage, on: &str, free_tier: bool) -> Bill {
        let (book, all) = (Book::own().unwrap(), [Service::Function, Service::Aggregation, Service::Logs]);
        Bill::of(usage, &all, &Rates { book: &book, on: on.parse().unwrap(), free_tier }).unwrap()
    }

    #[test]
    fn a_free_tier_counts_once_for_all_services() {
        let mut usage = Usage::default();
        usage.add(Service::Function, "lambda-request", 3e6);
        usage.add(Service::Aggregation, "lambda-request", 1e6);
        usage.add(Service::Egress, "aws-egress", 1e6);
        let usd =
            |free_tier| bill(&usage, "2026-11-20", free_tier).lines.iter().map(|line| line.usd).collect::<Vec<_>>();
        let cents = |usd: Vec<Option<f64>>| usd.iter().map(|usd| (usd.unwrap() * 100.0).round()).collect::<Vec<_>>();
        assert_eq!(cents(usd(true)), [45.0, 15.0]);
        assert_eq!(cents(usd(false)), [60.0, 20.0]);
    }

    #[test]
    fn what_has_no_price_is_said_and_not_added() {
        let mut usage = Usage::default();
        usage.add(Service::Function, "akamai-request", 3e6);
        usage.add(Service::Logs, "workers-logs", 30e6);
        let before = bill(&usage, "2026-11-20", true);
        assert_eq!((before.usd(), before.unpriced()), (6.0, vec!["akamai-request"]));
        let after = bill(&usage, "2026-12-01", true);
        assert_eq!((after.usd(), after.unpriced()), (0.0, vec!["akamai-request", "workers-logs"]));
        assert!(after.notes.contains(&"workers-logs has no price on 2026-12-01".to_owned()), "{:?}", after.notes);
    }
}
