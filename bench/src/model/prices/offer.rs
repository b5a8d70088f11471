//! Reads an offer file of AWS's price list. EC2's has 480 MB for one region, so what no price points to is skipped while it
//! is read.

use std::collections::BTreeMap;
use std::fmt::{Formatter, Result as FmtResult};
use std::io::Read;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;

use super::at::Product;
use super::says::Says;

/// The region whose prices the book has.
pub(crate) const REGION: &str = "us-east-1";

/// What is kept of an offer file.
#[derive(Debug, Default)]
pub(crate) struct Offer {
    /// The service, such as `AmazonDynamoDB`.
    pub code: String,
    /// When AWS published the file.
    pub published: Option<String>,
    products: BTreeMap<String, Kept>,
}

/// A product of the region that a price may point to.
#[derive(Debug)]
struct Kept {
    attributes: BTreeMap<String, String>,
    ranges: Vec<Range>,
}

/// The price of one unit in a range of units a month.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Range {
    begin: f64,
    end: f64,
    usd: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawProduct {
    #[serde(default)]
    product_family: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawTerm {
    #[serde(default)]
    effective_date: String,
    price_dimensions: BTreeMap<String, RawRange>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRange {
    begin_range: Option<String>,
    end_range: Option<String>,
    price_per_unit: BTreeMap<String, String>,
}

impl Offer {
    /// Reads a file, and keeps the products of [`REGION`] that have one of these usage types.
    ///
    /// # Errors
    /// Fails with line and column if it is not whole JSON, and if it is no offer file.
    pub(crate) fn read(reader: impl Read, wanted: &[&Product]) -> Result<Self> {
        let mut offer = Self::default();
        let mut json = serde_json::Deserializer::from_reader(reader);
        Whole { offer: &mut offer, wanted }.deserialize(&mut json).map_err(|error| {
            let problem = match error.classify() {
                Category::Eof => "ends too early, save it again",
                Category::Io => "cannot be read to its end, save it again",
                Category::Syntax | Category::Data => "is no offer file",
            };
            anyhow!("{problem}: {error}")
        })?;
        json.end().context("something follows the end of the JSON")?;
        ensure!(!offer.code.is_empty(), "is JSON, but no offer file: it has no `offerCode`");
        Ok(offer)
    }

    /// What the file says of a product.
    ///
    /// # Errors
    /// Fails if there is no such product, or several whose prices differ.
    pub(crate) fn says(&self, product: &Product) -> Result<Says> {
        let mut ranges = self.ranges(&product.usagetype, &product.attributes)?;
        let mut says = Says::default();
        // AWS writes free units as a first tier of 0 USD.
        if ranges.len() > 1 && ranges[0].usd == 0.0 {
            ranges.remove(0);
            says.free = Some(ranges[0].begin);
            ranges[0].begin = 0.0;
        }
        if let Some(usagetype) = &product.free {
            let free = self.ranges(usagetype, &BTreeMap::new())?;
            let ends = free.iter().filter(|range| range.usd == 0.0).map(|range| range.end);
            says.free = Some(ends.fold(0.0, f64::max));
        }
        says.tiers = ranges.iter().map(|range| (range.begin, range.usd)).collect();
        Ok(says)
    }

    fn ranges(&self, usagetype: &str, attributes: &BTreeMap<String, String>) -> Result<Vec<Range>> {
        let has = |kept: &Kept, name: &str, value: &str| kept.attributes.get(name).is_some_and(|found| found == value);
        let fits = |kept: &&Kept| {
            has(kept, "usagetype", usagetype) && attributes.iter().all(|(name, value)| has(kept, name, value))
        };
        let mut found =
            self.products.values().filter(fits).map(|kept| &kept.ranges).filter(|ranges| !ranges.is_empty());
        let with: String = attributes.iter().map(|(name, value)| format!(", {name} {value:?}")).collect();
        let first =
            found.next().with_context(|| format!("no product in {REGION} has usagetype {usagetype:?}{with}"))?;
        if found.any(|other| other != first) {
            bail!("several products in {REGION} have usagetype {usagetype:?}{with}, and their prices differ");
        }
        Ok(first.clone())
    }
}

/// The ranges of a product's newest term, in their order.
fn ranges(terms: BTreeMap<String, RawTerm>) -> Result<Vec<Range>, String> {
    let Some(newest) = terms.into_values().max_by(|one, two| one.effective_date.cmp(&two.effective_date)) else {
        return Ok(Vec::new());
    };
    let number = |text: &str| text.parse::<f64>().map_err(|_| format!("{text:?} is no number"));
    let mut ranges = Vec::new();
    for raw in newest.price_dimensions.into_values() {
        let usd = raw.price_per_unit.get("USD").ok_or("a price is not in USD")?;
        let begin = raw.begin_range.as_deref().map_or(Ok(0.0), number)?;
        let end = raw.end_range.as_deref().map_or(Ok(f64::INFINITY), number)?;
        ranges.push(Range { begin, end, usd: number(usd)? });
    }
    ranges.sort_by(|one, two| one.begin.total_cmp(&two.begin));
    Ok(ranges)
}

/// The whole file.
struct Whole<'a> {
    offer: &'a mut Offer,
    wanted: &'a [&'a Product],
}

/// The member `products`.
struct Products<'a>(Whole<'a>);

/// The member `terms`.
struct Terms<'a>(&'a mut Offer);

/// The member `OnDemand` of `terms`.
struct OnDemand<'a>(&'a mut Offer);

/// Makes a seed of a visitor of maps.
macro_rules! map_seed {
    ($seed:ident) => {
        impl<'de> DeserializeSeed<'de> for $seed<'_> {
            type Value = ();

            fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
                deserializer.deserialize_map(self)
            }
        }
    };
}

map_seed!(Whole);
map_seed!(Products);
map_seed!(Terms);
map_seed!(OnDemand);

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str("an offer file")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let Whole { offer, wanted } = self;
        let mut had_products = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "offerCode" => offer.code = map.next_value()?,
                "publicationDate" => offer.published = Some(map.next_value()?),
                "products" => {
                    map.next_value_seed(Products(Whole { offer, wanted }))?;
                    had_products = true;
                }
                "terms" if !had_products => return Err(M::Error::custom("`terms` stand before `products`")),
                "terms" => map.next_value_seed(Terms(offer))?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Products<'_> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str("products by SKU")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some((sku, product)) = map.next_entry::<String, RawProduct>()? {
            let mut attributes = product.attributes;
            let is_here = ["regionCode", "fromRegionCode"].iter().all(|name| match attributes.get(*name) {
                // Free units are of all regions together.
                Some(region) => matches!(region.as_str(), REGION | "" | "global"),
                None => true,
            });
            let usagetype = attributes.get("usagetype").map(String::as_str).unwrap_or_default();
            let is_wanted =
                |product: &&Product| product.usagetype == usagetype || product.free.as_deref() == Some(usagetype);
            if is_here && self.0.wanted.iter().any(is_wanted) {
                attributes.extend(product.product_family.map(|family| ("productFamily".to_owned(), family)));
                self.0.offer.products.insert(sku, Kept { attributes, ranges: Vec::new() });
            }
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Terms<'_> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str("terms by their kind")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(kind) = map.next_key::<String>()? {
            if kind == "OnDemand" {
                map.next_value_seed(OnDemand(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for OnDemand<'_> {
    type Value = ();

    fn expecting(&self, f: &mut Formatter<'_>) -> FmtResult {
        f.write_str("terms by SKU")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(sku) = map.next_key::<String>()? {
            let Some(kept) = self.0.products.get_mut(&sku) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            kept.ranges =
                ranges(map.next_value()?).map_err(|problem| M::Error::custom(format!("SKU {sku}: {problem}")))?;
        }
        Ok(())
    }
}
