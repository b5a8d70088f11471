//! The schedule: of each lane, days that are over are compacted, and watermarks of shards that have ended are forgotten.
//!
//! A day is written in one transaction with the lane's watermark, which stays where it is: where the lane was folded since it
//! was read, the day is read again. A fold that is under way meanwhile opens the day again, as every fold does.

use isotherm_core::{Millis, Service, Watermark};
use tokio::time::{Instant, timeout_at};

use crate::rollups::{LIMITS, Stop, failed};
use crate::store::Store;

/// How often a lane is begun anew because it is being folded, before it is left to the next time.
const ATTEMPTS: u32 = 5;

impl Store {
    /// Compacts what is over, and forgets what has ended.
    ///
    /// # Errors
    /// When the store fails or the deadline comes: what is not done yet is left to the next time.
    pub(crate) async fn compact(&self, service: &Service, now: Millis, deadline: Instant) -> Result<(), String> {
        let all = async {
            for (lane, watermark) in self.all_watermarks().await? {
                self.compact_lane(service, &lane, watermark, now).await?;
            }
            Ok(())
        };
        match timeout_at(deadline, all).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Stop::Failed(why))) => Err(why),
            Ok(Err(Stop::Moved)) | Err(_) => Err("the deadline came before everything was compacted".to_owned()),
        }
    }

    async fn compact_lane(
        &self,
        service: &Service,
        lane: &str,
        mut watermark: Watermark,
        now: Millis,
    ) -> Result<(), Stop> {
        for _ in 0..ATTEMPTS {
            match self.compact_from(service, lane, &watermark, now).await {
                Err(Stop::Moved) => watermark = self.watermark(lane).await?,
                done => return done,
            }
        }
        eprintln!("lane {lane} is being folded: its days are left to the next time");
        Ok(())
    }

    async fn compact_from(
        &self,
        service: &Service,
        lane: &str,
        watermark: &Watermark,
        now: Millis,
    ) -> Result<(), Stop> {
        let mut left = false;
        for tenant in service.tenants() {
            let marks = self.pages_of(lane, &tenant, vec![service.marks()]).await?;
            for compaction in service.compactions(&marks, now).map_err(failed)? {
                let stored = self.pages_of(lane, &tenant, compaction.ranges()).await?;
                let pages = compaction.settle(stored).map_err(failed)?;
                if LIMITS.fit(pages.iter()) {
                    let pages = pages.into_iter().map(|page| (tenant.clone(), page)).collect();
                    self.write(lane, pages, watermark, watermark).await?;
                } else {
                    left = true;
                    eprintln!("lane {lane}: a day of {} needs more than a transaction takes", tenant.as_str());
                }
            }
        }
        if !left && watermark.has_ended(now) { self.forget(lane, watermark).await } else { Ok(()) }
    }
}
