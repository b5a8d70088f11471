//! Where a price stands in what its provider publishes.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::page::Template;

/// Where a price stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum At {
    /// In an offer file of AWS.
    Offer(Product),
    /// On a page of Cloudflare.
    Page(Place),
}

/// One product of an offer file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Product {
    /// The file's `offerCode`.
    pub offer: String,
    /// The product's usage type, exactly as in the file.
    pub usagetype: String,
    /// The usage type of the product that has the free units as a tier of 0 USD: this one or one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<String>,
    /// Other attributes that the product must have; `productFamily` is one of them.
    #[serde(flatten)]
    pub attributes: BTreeMap<String, String>,
}

/// A place on a page.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// The page's id in the price book.
    pub page: String,
    /// Words with holes for the numbers.
    pub text: Vec<String>,
}

impl At {
    /// # Errors
    /// Fails if a template can't be read, or the page is unknown.
    pub(crate) fn check(&self, pages: &[Page]) -> Result<()> {
        let Self::Page(place) = self else { return Ok(()) };
        ensure!(pages.iter().any(|page| page.id == place.page), "there is no [[page]] {:?}", place.page);
        place.text.iter().try_for_each(|text| Template::parse(text).map(drop))
    }
}

/// A page of Cloudflare's documentation.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    /// Its address below `https://developers.cloudflare.com/`.
    pub id: String,
    /// Words by which a saved copy is recognized.
    pub known_by: String,
}
