//! The schedule: of each lane, days that are over are compacted, and watermarks of shards that have ended are forgotten.
//!
//! A day is written in one transaction with the lane's watermark, which stays where it is: where the lane was folded since it
//! was read, the day is read again. A fold that is under way meanwhile opens the day again, as every fold does.

use std::collections::BTreeSet;

use anyhow::Result;
use isotherm_core::{Merged, Millis, Service, Tenant, Watermark};

use crate::rollups::LIMITS;
use crate::store::Store;

/// How often lanes that are being folded are begun anew, before they are left to the next time.
const ATTEMPTS: u32 = 5;

impl Store {
    /// Compacts what is over, and forgets what has ended. What is not done when the store fails or time is up is left to the
    /// next time.
    pub(crate) async fn compact(&self, service: &Service, now: Millis) -> Result<()> {
        for _ in 0..ATTEMPTS {
            let (mut is_done, listed) = (true, self.tenants().await?);
            for (lane, watermark) in self.lanes().await?.watermarks() {
                // With keys or without. Those with keys may have pages from before there was a list.
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

    /// `false` when the lane is being folded. A tenant whose days can't be compacted is left to the next time, and the others go on.
    async fn compact_lane(
        &self,
        service: &Service,
        lane: &str,
        watermark: &Watermark,
        tenants: &BTreeSet<Tenant>,
        now: Millis,
    ) -> bool {
        let mut forgets = watermark.has_ended(now);
        for tenant in tenants {
            match self.compact_tenant(service, lane, watermark, tenant, now).await {
                Ok(true) => {}
                Ok(false) => return false,
                Err(error) => {
                    eprintln!("lane {lane}: days of {} cannot be compacted: {error:#}", tenant.as_str());
                    forgets = false;
                }
            }
        }
        if !forgets {
            return true;
        }
        self.write(lane, Vec::new(), Vec::new(), watermark, None).await.unwrap_or_else(|error| {
            eprintln!("lane {lane} cannot be forgotten: {error:#}");
            true
        })
    }

    /// `false` when the lane is being folded.
    async fn compact_tenant(
        &self,
        service: &Service,
        lane: &str,
        watermark: &Watermark,
        tenant: &Tenant,
        now: Millis,
    ) -> Result<bool> {
        let marks = self.pages_of(lane, tenant, &[service.marks()]).await?;
        for compaction in service.compactions(&marks, now) {
            let stored = self.pages_of(lane, tenant, &compaction.ranges()).await?;
            let Merged { pages, damaged, .. } = compaction.settle(stored, LIMITS);
            for page in damaged {
                eprintln!("lane {lane}: reports of {} are incomplete: {page}", tenant.as_str());
            }
            let pages = pages.into_iter().map(|page| (tenant.clone(), page)).collect();
            if !self.write(lane, pages, Vec::new(), watermark, Some(watermark)).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
