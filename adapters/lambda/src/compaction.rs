//! The schedule: compacts past days of each lane, and forgets watermarks of shards that have ended.
//!
//! One transaction writes a day on the condition that the lane's watermark has not moved since it was read, just before
//! the day. If a fold has moved it, the day is left to a later turn. A later fold into the day opens it again, as every
//! fold does.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;
use isotherm_core::{CompactionTurn, Folded, Merged, Millis, Service, StoredPage};

use crate::rollups::LIMITS;
use crate::store::Store;
use crate::watch;

impl Store {
    /// Compacts past days and forgets ended shards. What is not done when the store fails or time is up is left to
    /// the next run.
    pub(crate) async fn compact(&self, service: &Service, now: Millis) -> Result<()> {
        // Lanes are read before tenants: a fold that adds a tenant in between moves the watermark, so its lane is not
        // forgotten. Each day reads its watermark again, because a run takes long where there are many.
        let lanes = self.lanes().await?;
        let mut round = service.compaction_round(&lanes, self.tenants().await?, now);
        loop {
            while let Some((lane, watermark)) = round.forget() {
                if let Err(error) = self.write(&lane, Vec::new(), Vec::new(), &watermark, None).await {
                    eprintln!("lane {lane} cannot be forgotten: {error:#}");
                }
            }
            let Some(mut turn) = round.take() else { return Ok(()) };
            if let Err(error) = self.compact_days(service, &mut turn, now).await {
                eprintln!("lane {}: days of {} cannot be compacted: {error:#}", turn.lane, turn.tenant.as_str());
                turn.fail();
            }
            round.end(turn);
        }
    }

    async fn compact_days(&self, service: &Service, turn: &mut CompactionTurn, now: Millis) -> Result<()> {
        let (lane, tenant) = (turn.lane.clone(), turn.tenant.clone());
        let manifests = turn.manifests();
        let meet = |manifest| turn.meet(&service.compactions(&[manifest], now));
        self.each_page_of(&lane, &tenant, &manifests, meet).await?;
        for day in turn.days() {
            let Some(watermark) = &self.watermark(&lane).await? else { return Ok(()) };
            // A fold may have happened since the manifest was read.
            let manifests = self.pages_of(&lane, &tenant, &[day]).await?;
            for compaction in service.compactions(&manifests, now) {
                let budget = Mutex::new(compaction.budget());
                let takes = |page: &StoredPage| budget.lock().unwrap_or_else(PoisonError::into_inner).takes_page(page);
                let stored = self.pages_of_while(&lane, &tenant, &compaction.ranges(), &takes).await?;
                let merged = compaction.merge(stored, LIMITS);
                Folded::damage(&merged).iter().for_each(|damage| watch::folded(service, damage));
                let Merged { pages, damaged, .. } = merged;
                for page in damaged {
                    eprintln!("lane {lane}: reports of {} are incomplete: {page}", tenant.as_str());
                }
                let pages = pages.into_iter().map(|page| (tenant.clone(), page)).collect();
                if !self.write(&lane, pages, Vec::new(), watermark, Some(watermark)).await? {
                    turn.lose_race();
                }
            }
        }
        Ok(())
    }
}
