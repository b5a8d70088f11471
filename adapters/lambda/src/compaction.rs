//! The schedule: of each lane, days that are over are compacted, and watermarks of shards that have ended are forgotten.
//!
//! A day is written in one transaction with the lane's watermark, which stays where it is: where the lane was folded since it
//! was read, the day is read again. A fold that is under way meanwhile opens the day again, as every fold does.

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use isotherm_core::{Millis, Service};
use tokio::time::{Instant, timeout_at};

use crate::rollups::{Item, Puts, Stop, WATERMARK, Watermark, failed, partition};
use crate::store::Store;

/// A lane that had no record for so long gets none any more: milliseconds of two days.
const SILENCE: u64 = 2 * 24 * 60 * 60 * 1000;
/// How often a lane is begun anew because it is being folded, before it is left to the next time.
const ATTEMPTS: u32 = 5;

impl Store {
    /// Compacts what is over, and forgets what has ended.
    ///
    /// # Errors
    /// When the store fails or the deadline comes: what is not done yet is left to the next time.
    pub(crate) async fn compact(&self, service: &Service, now: Millis, deadline: Instant) -> Result<(), String> {
        let all = async {
            for item in self.watermarks().await? {
                if let Some(AttributeValue::S(lane)) = item.get("sk") {
                    self.compact_lane(service, lane, &item, now).await?;
                }
            }
            Ok(())
        };
        match timeout_at(deadline, all).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Stop::Failed(why))) => Err(why),
            Ok(Err(Stop::Moved)) | Err(_) => Err("the deadline came before everything was compacted".to_owned()),
        }
    }

    async fn compact_lane(&self, service: &Service, lane: &str, item: &Item, now: Millis) -> Result<(), Stop> {
        let mut watermark = Watermark::read(item);
        for _ in 0..ATTEMPTS {
            match self.compact_from(service, lane, watermark, now).await {
                Err(Stop::Moved) => watermark = self.watermark(lane).await?,
                done => return done,
            }
        }
        eprintln!("lane {lane} is being folded: its days are left to the next time");
        Ok(())
    }

    async fn compact_from(&self, service: &Service, lane: &str, watermark: Watermark, now: Millis) -> Result<(), Stop> {
        let mut left = false;
        for tenant in service.tenants() {
            let partition = partition(tenant.as_str(), lane);
            let marks = self.pages_of(lane, &partition, vec![service.marks()]).await?;
            for compaction in service.compactions(&marks, now).map_err(failed)? {
                let stored = self.pages_of(lane, &partition, compaction.ranges()).await?;
                let mut puts = Puts::default();
                for page in compaction.settle(stored).map_err(failed)? {
                    puts.page(&partition, lane, page);
                }
                if puts.fit() {
                    self.write(lane, puts, &watermark, &watermark).await?;
                } else {
                    left = true;
                    eprintln!("lane {lane}: a day of {} needs more than a transaction takes", tenant.as_str());
                }
            }
        }
        if left || watermark.folded_to.saturating_add(SILENCE) > now.0 {
            Ok(())
        } else {
            self.forget(lane, &watermark).await
        }
    }

    async fn forget(&self, lane: &str, watermark: &Watermark) -> Result<(), Stop> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let (condition, values) = watermark.unmoved();
        let delete =
            self.client().delete_item().table_name(&self.rollups).key("pk", text(WATERMARK)).key("sk", text(lane));
        let delete = delete.condition_expression(condition).set_expression_attribute_values(values);
        match delete.send().await {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(DeleteItemError::ConditionalCheckFailedException(_)) => Err(Stop::Moved),
                _ => Err(failed(error)),
            },
        }
    }
}
