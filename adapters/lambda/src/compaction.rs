//! The schedule: compacts past days of each lane, and forgets watermarks of shards that have ended.
//!
//! One transaction writes a day on the condition that the lane's watermark has not moved since it was read, just before
//! the day. If a fold has moved it, the other days and tenants go on, and the day is tried again after them. A later fold
//! into the day opens it again, as every fold does.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use isotherm_core::{Compaction, Folded, Merged, Millis, Service, StoredPage, Tenant, Watermark};

use crate::rollups::LIMITS;
use crate::store::Store;
use crate::watch;

/// How often compaction starts over because lanes are being folded, before it is left to the next run.
const ATTEMPTS: u32 = 5;

impl Store {
    /// Compacts past days and forgets ended shards. What is not done when the store fails or time is up is left to
    /// the next run.
    pub(crate) async fn compact(&self, service: &Service, now: Millis) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let (mut is_done, listed) = (true, self.tenants().await?);
            // A run takes long where there are many lanes and tenants, so these watermarks only say which lanes exist.
            for (lane, watermark) in self.lanes().await?.watermarks() {
                // All tenants, with keys or without. Tenants with keys may have pages from before the list of tenants
                // existed.
                let of_lane =
                    listed.iter().filter(|(of, _)| of == lane).filter_map(|(_, name)| Tenant::parse(name.clone()).ok());
                let tenants: BTreeSet<Tenant> = of_lane.chain(service.tenants()).collect();
                is_done &= self.compact_lane(service, lane, watermark, &tenants, now).await;
            }
            if is_done {
                break;
            }
        }
        Ok(())
    }

    /// Returns `false` if a fold came between, so that a day is left. A tenant whose days can't be compacted is left to
    /// the next run; the others go on.
    async fn compact_lane(
        &self,
        service: &Service,
        lane: &str,
        watermark: &Watermark,
        tenants: &BTreeSet<Tenant>,
        now: Millis,
    ) -> bool {
        let (mut is_done, mut forgets) = (true, watermark.has_ended(now));
        for tenant in tenants {
            match self.compact_tenant(service, lane, tenant, now).await {
                Ok(is_tenant_done) => is_done &= is_tenant_done,
                Err(error) => {
                    eprintln!("lane {lane}: days of {} cannot be compacted: {error:#}", tenant.as_str());
                    forgets = false;
                }
            }
        }
        if !is_done || !forgets {
            return is_done;
        }
        self.write(lane, Vec::new(), Vec::new(), watermark, None).await.unwrap_or_else(|error| {
            eprintln!("lane {lane} cannot be forgotten: {error:#}");
            true
        })
    }

    /// Returns `false` if a fold came between, so that a day is left.
    async fn compact_tenant(&self, service: &Service, lane: &str, tenant: &Tenant, now: Millis) -> Result<bool> {
        let (mut is_done, mut days) = (true, Vec::new());
        self.each_page_of(lane, tenant, &service.manifests(), |manifest| {
            days.extend(service.compactions(&[manifest], now).iter().map(Compaction::manifest));
        })
        .await?;
        for day in days {
            let Some(watermark) = &self.watermark(lane).await? else { return Ok(is_done) };
            // A fold may have happened since the manifest was read.
            let manifests = self.pages_of(lane, tenant, &[day]).await?;
            for compaction in service.compactions(&manifests, now) {
                let budget = Mutex::new(compaction.budget());
                let takes = |page: &StoredPage| budget.lock().unwrap_or_else(PoisonError::into_inner).takes_page(page);
                let stored = self.pages_of_while(lane, tenant, &compaction.ranges(), &takes).await?;
                let merged = compaction.merge(stored, LIMITS);
                Folded::damage(&merged).iter().for_each(|damage| watch::folded(service, damage));
                let Merged { pages, damaged, .. } = merged;
                for page in damaged {
                    eprintln!("lane {lane}: reports of {} are incomplete: {page}", tenant.as_str());
                }
                let pages = pages.into_iter().map(|page| (tenant.clone(), page)).collect();
                is_done &= self.write(lane, pages, Vec::new(), watermark, Some(watermark)).await?;
            }
        }
        Ok(is_done)
    }
}
