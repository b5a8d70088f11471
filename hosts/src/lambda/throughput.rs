//! The throughput of a partition of a DynamoDB table: units per second, plus unused units of the last five minutes.
//!
//! A table has four partitions here, like a new on-demand table. Items are spread over them by the hash of their
//! partition key. Hot partitions don't split, while AWS's do after some minutes. The units of a request are known only
//! when it is done: a request is refused while its partition has nothing left, and later ones wait for its excess.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dynoxide::DynoxideError;
use dynoxide::errors::CancellationReason;
use dynoxide::types::AttributeValue;

use super::queues::md5;
use crate::schedule::seconds;

/// The bytes of an item that one unit writes.
const WRITTEN: usize = 1024;
/// The bytes of an item that one unit reads.
const READ: usize = 4096;
const EXCEEDED: &str = "Throughput exceeds the current throughput of your table or index. DynamoDB is automatically scaling your table or index so please try again shortly.";

/// The limits of the partitions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThroughputSettings {
    pub(crate) partitions: u64,
    /// Units per second and partition, like `read_units`.
    pub(crate) write_units: f64,
    pub(crate) read_units: f64,
    /// How long a partition saves unused units. A new partition has saved them all.
    pub(crate) burst: Duration,
}

impl ThroughputSettings {
    /// AWS's limits, unless the environment says otherwise: `ISOTHERM_WRITE_UNITS`, `ISOTHERM_READ_UNITS` and
    /// `ISOTHERM_BURST_SECONDS`.
    pub(crate) fn of_environment() -> Self {
        let all = Self::default();
        let units = |name| std::env::var(name).ok().and_then(|units| units.parse().ok());
        Self {
            write_units: units("ISOTHERM_WRITE_UNITS").unwrap_or(all.write_units),
            read_units: units("ISOTHERM_READ_UNITS").unwrap_or(all.read_units),
            burst: seconds("ISOTHERM_BURST_SECONDS").unwrap_or(all.burst),
            ..all
        }
    }
}

impl Default for ThroughputSettings {
    fn default() -> Self {
        Self { partitions: 4, write_units: 1000.0, read_units: 3000.0, burst: Duration::from_secs(300) }
    }
}

/// How a request uses an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Access {
    Read,
    Write,
}

/// A partition of a table, for reading or for writing. Both are counted separately.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Partition {
    table: String,
    number: u64,
    access: Access,
}

/// The units that all partitions have left.
#[derive(Clone)]
pub(super) struct Throughput {
    settings: ThroughputSettings,
    left: Arc<Mutex<BTreeMap<Partition, Left>>>,
}

/// The units that a partition had left at a moment. A negative number means that it gave more than it had.
#[derive(Clone, Copy)]
struct Left {
    units: f64,
    at: Instant,
}

impl Throughput {
    pub(super) fn new(settings: ThroughputSettings) -> Self {
        Self { settings, left: Arc::default() }
    }

    /// The partition of this key.
    pub(super) fn partition(&self, table: &str, key: Option<&AttributeValue>, access: Access) -> Partition {
        let hash = md5(&serde_json::to_string(&key).unwrap_or_default());
        let hash = u64::from_str_radix(hash.get(..16).unwrap_or_default(), 16).unwrap_or_default();
        Partition { table: table.to_owned(), number: hash % self.settings.partitions.max(1), access }
    }

    /// Fails if the partition has nothing left.
    pub(super) fn admit(&self, partition: &Partition) -> Result<(), DynoxideError> {
        if self.has_left(partition, Instant::now()) {
            return Ok(());
        }
        Err(DynoxideError::ProvisionedThroughputExceededException(EXCEEDED.to_owned()))
    }

    /// Fails if a partition of the transaction's actions has nothing left.
    pub(super) fn admit_all(&self, partitions: &[Partition]) -> Result<(), DynoxideError> {
        let now = Instant::now();
        let reason = |partition| match self.has_left(partition, now) {
            true => CancellationReason { code: "None".to_owned(), ..CancellationReason::default() },
            false => CancellationReason {
                code: "ThrottlingError".to_owned(),
                message: Some(EXCEEDED.to_owned()),
                ..CancellationReason::default()
            },
        };
        let reasons: Vec<CancellationReason> = partitions.iter().map(reason).collect();
        if reasons.iter().all(|reason| reason.code == "None") {
            return Ok(());
        }
        let codes: Vec<&str> = reasons.iter().map(|reason| &*reason.code).collect();
        let message = format!(
            "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
            codes.join(", ")
        );
        Err(DynoxideError::TransactionCanceledException(message, reasons))
    }

    /// Subtracts the units that a request has used.
    pub(super) fn take(&self, partition: &Partition, units: f64) {
        self.take_at(partition, units, Instant::now());
    }

    fn has_left(&self, partition: &Partition, now: Instant) -> bool {
        self.take_at(partition, 0.0, now) > 0.0
    }

    /// Subtracts units at this time, and returns what is left.
    fn take_at(&self, partition: &Partition, units: f64, now: Instant) -> f64 {
        let ThroughputSettings { write_units, read_units, burst, .. } = self.settings;
        let a_second = if partition.access == Access::Read { read_units } else { write_units };
        let most = a_second * burst.as_secs_f64().max(1.0);
        let mut all = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let left = all.entry(partition.clone()).or_insert(Left { units: most, at: now });
        let since = now.saturating_duration_since(left.at).as_secs_f64();
        *left = Left { units: (left.units + since * a_second).min(most) - units, at: now };
        left.units
    }
}

/// The units to write an item of this size.
pub(super) fn write_units(bytes: usize) -> f64 {
    bytes.div_ceil(WRITTEN).max(1) as f64
}

/// The units to read items of this total size. An eventually consistent read needs half as many.
pub(super) fn read_units(bytes: usize, is_consistent: Option<bool>) -> f64 {
    let units = bytes.div_ceil(READ).max(1) as f64;
    if is_consistent == Some(true) { units } else { units / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throughput() -> Throughput {
        let settings = ThroughputSettings { write_units: 10.0, read_units: 30.0, ..ThroughputSettings::default() };
        Throughput::new(ThroughputSettings { burst: Duration::from_secs(3), ..settings })
    }

    fn write(number: u64) -> Partition {
        Partition { table: "t".to_owned(), number, access: Access::Write }
    }

    #[test]
    fn a_partition_gives_what_it_saved_and_then_so_much_a_second() {
        let (throughput, start) = (throughput(), Instant::now());
        let after = |seconds: f64| start + Duration::from_secs_f64(seconds);
        let writes_until_empty = |at: f64| {
            (0..100)
                .take_while(|_| {
                    let is_let_in = throughput.has_left(&write(1), after(at));
                    if is_let_in {
                        throughput.take_at(&write(1), 1.0, after(at));
                    }
                    is_let_in
                })
                .count()
        };
        assert_eq!([0.0, 0.5, 1.5, 10.0].map(writes_until_empty), [30, 5, 10, 30]);
        // Other partitions, and reads, have their own units.
        let read = Partition { access: Access::Read, ..write(1) };
        assert!(throughput.has_left(&write(2), after(10.0)) && throughput.has_left(&read, after(10.0)));
        // Later requests wait for what one request overdrew.
        assert_eq!(throughput.take_at(&write(1), 25.0, after(11.0)), -15.0);
        assert!(!throughput.has_left(&write(1), after(12.0)) && throughput.has_left(&write(1), after(12.6)));
    }

    #[test]
    fn units_are_whole_steps_of_an_item() {
        assert_eq!([0, 1, 1024, 1025].map(write_units), [1.0, 1.0, 1.0, 2.0]);
        assert_eq!([0, 4096, 4097].map(|bytes| read_units(bytes, Some(true))), [1.0, 1.0, 2.0]);
        assert_eq!(read_units(4097, None), 1.0);
    }

    #[test]
    fn keys_are_spread_over_the_partitions() {
        let throughput = throughput();
        let partition = |key: u64| {
            let key = AttributeValue::S(format!("tenant#{key}"));
            throughput.partition("t", Some(&key), Access::Write)
        };
        let mut counts = BTreeMap::new();
        (0..400).for_each(|key| *counts.entry(partition(key).number).or_insert(0) += 1);
        assert!(counts.len() == 4 && counts.values().all(|count| *count > 60), "{counts:?}");
        assert_eq!(partition(1), partition(1));
    }

    #[test]
    fn a_transaction_is_refused_for_the_partitions_that_have_nothing_left() {
        let throughput = throughput();
        throughput.take(&write(1), 1000.0);
        throughput.admit_all(&[write(2), write(3)]).unwrap();
        let refused = throughput.admit_all(&[write(2), write(1)]).unwrap_err().to_json();
        let refused: serde_json::Value = serde_json::from_str(&refused).unwrap();
        let codes = [0, 1].map(|at| refused["CancellationReasons"][at]["Code"].clone());
        assert_eq!(codes, ["None", "ThrottlingError"]);
        let refused = throughput.admit(&write(1)).unwrap_err();
        assert!(refused.status_code() == 400 && refused.to_json().contains("ProvisionedThroughputExceededException"));
    }
}
