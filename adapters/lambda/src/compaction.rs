//! The schedule: of each lane, days that are over are compacted, and watermarks of shards that have ended are forgotten.
//!
//! A day is written in one transaction with the lane's watermark, which stays where it is: where the lane was folded since it
//! was read, the day is read again. A fold that is under way meanwhile opens the day again, as every fold does.

use isotherm_core::{Millis, Service, Watermark};
use tokio::time::Instant;

use crate::rollups::{LIMITS, Stop, failed, until};
use crate::store::Store;

/// How often a lane is begun anew because it is being folded, before it is left to the next time.
const ATTEMPTS: u32 = 5;

impl Store {
    /// Compacts what is over, and forgets what has ended. What is not done when the store fails or the deadline comes is left
    /// to the next time.
    pub(crate) async fn compact(&self, service: &Service, now: Millis, deadline: Instant) -> Result<(), Stop> {
        until(deadline, async {
            for (lane, mut watermark) in self.all_watermarks().await? {
                for _ in 0..ATTEMPTS {
                    match self.compact_lane(service, &lane, &watermark, now).await {
                        Err(Stop::Moved) => watermark = self.watermark(&lane).await?,
                        Err(stop) => return Err(stop),
                        Ok(()) => break,
                    }
                }
            }
            Ok(())
        })
        .await
    }

    async fn compact_lane(
        &self,
        service: &Service,
        lane: &str,
        watermark: &Watermark,
        now: Millis,
    ) -> Result<(), Stop> {
        let mut forgets = watermark.has_ended(now);
        for tenant in service.tenants() {
            let marks = self.pages_of(lane, &tenant, vec![service.marks()]).await?;
            for compaction in service.compactions(&marks, now).map_err(failed)? {
                let stored = self.pages_of(lane, &tenant, compaction.ranges()).await?;
                let pages = compaction.settle(stored).map_err(failed)?;
                if LIMITS.fit(pages.iter()) {
                    let pages = pages.into_iter().map(|page| (tenant.clone(), page)).collect();
                    self.write(lane, pages, watermark, Some(watermark)).await?;
                } else {
                    forgets = false;
                    eprintln!("lane {lane}: a day of {} needs more than a transaction takes", tenant.as_str());
                }
            }
        }
        if forgets { self.write(lane, Vec::new(), watermark, None).await } else { Ok(()) }
    }
}
