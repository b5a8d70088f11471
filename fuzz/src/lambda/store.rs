//! Replaces the adapter's `store`, and so DynamoDB: events and pages in maps.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use isotherm_core::{
    Digest, KeyRange, NewEvent, Pulse, Service, StoreOutcome, StorePlan, StreamBatch, Tenant, TooMuch, Unpacker,
    Watermark, WriteLimits,
};
use isotherm_fuzz::Pages;
use tokio::time::Instant;

pub(crate) const PAUSE: Duration = Duration::ZERO;
const LIMITS: WriteLimits = WriteLimits { pages: 99, bytes: 3_500_000 };

/// The adapter's own constant.
pub(crate) const EVENT: &str = "e";

/// What the functions keep.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) bucket: Option<String>,
    /// Digests by tenant and id.
    pub(crate) events: RefCell<BTreeMap<(String, String), Digest>>,
    /// Pages by tenant.
    pub(crate) pages: RefCell<BTreeMap<String, Pages>>,
    pub(crate) letters: RefCell<Vec<String>>,
    pub(crate) stored: RefCell<Option<Watermark>>,
    pub(crate) unpacker: RefCell<Unpacker>,
}

impl Store {
    /// Keeps a plan's events.
    pub(crate) async fn keep(&self, plan: &StorePlan, _entropy: u128, _deadline: Instant) -> Vec<StoreOutcome> {
        let mut kept = self.events.borrow_mut();
        let keep = |event: &NewEvent| {
            let key = (plan.tenant().as_str().to_owned(), event.id.to_string());
            match kept.get(&key) {
                Some(digest) => StoreOutcome::Existing(*digest),
                None => {
                    kept.insert(key, event.digest);
                    StoreOutcome::Stored
                }
            }
        };
        plan.events().iter().map(keep).collect()
    }

    /// Reads no shapes: there are none.
    pub(crate) async fn learn_shapes<'e>(&self, packed: impl IntoIterator<Item = &'e [u8]>) -> Result<()> {
        let _unknown = self.unpacker().unknown(packed);
        Ok(())
    }

    pub(crate) fn unpacker(&self) -> RefMut<'_, Unpacker> {
        self.unpacker.borrow_mut()
    }

    /// Folds a batch.
    pub(crate) async fn fold(
        &self,
        service: &Service,
        _stream: &str,
        batch: &mut StreamBatch<'_>,
        watermark: &mut Watermark,
    ) -> Result<Option<Vec<Pulse>>> {
        if let Some(stored) = self.stored.borrow().clone() {
            *watermark = stored;
        }
        let mut at_most = usize::MAX;
        while let Some(step) = service.step(batch, watermark, at_most, LIMITS) {
            let mut pages = self.pages.borrow_mut();
            let read = |(tenant, ranges): (&Tenant, &[KeyRange])| {
                pages.get(tenant.as_str()).map(|pages| pages.read(ranges)).unwrap_or_default()
            };
            let stored = step.ranges().map(read).collect();
            match step.merge(stored) {
                Ok(write) => {
                    assert!(write.damaged.is_empty(), "what is written can be read: {:?}", write.damaged);
                    for (tenant, page) in write.pages {
                        pages.entry(tenant.as_str().to_owned()).or_default().write([page]);
                    }
                    self.letters.borrow_mut().extend(write.letters);
                    self.stored.replace(Some(write.watermark.clone()));
                    *watermark = write.watermark;
                }
                Err(TooMuch { at_most: fewer }) => at_most = fewer,
            }
        }
        Ok(Some(Vec::new()))
    }

    /// Does nothing: [`Self::fold`] never returns pulses.
    pub(crate) async fn pulse(&self, _pulses: Vec<Pulse>) {}
}
