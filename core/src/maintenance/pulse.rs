//! Items that come through a stream like events, and show how far its shards are delivered.

use std::collections::BTreeSet;

use crate::vocabulary::time::{Millis, Seconds};

/// The prefix of the keys of pulses. No event's key has it, because no tenant's name is empty.
pub(super) const PULSE: &str = "#pulse-";
/// Pulses for each shard while it isn't known which key leads to which shard. A shard with an eighth of the keys gets
/// none once in 5,000 times, and the next window tries again.
const PULSES_A_SHARD: usize = 16;
const PULSES: usize = 64;
/// How long a pulse is kept, in seconds.
const PULSE_S: u64 = 7 * 24 * 60 * 60;

/// An item to put into the table of events. It is not an event, but comes through the stream as all items do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// The item's key.
    pub key: String,
    /// The time of the pulse, part of the item. Without it a rewritten item would equal the stored one and not enter
    /// the stream.
    pub at: Millis,
    /// When the item may be deleted.
    pub expires_at: Seconds,
}

/// Pulses with the known keys, and with new ones if shards are unknown: so many that each shard probably gets one.
pub(super) fn pulses(keys: Vec<&str>, unknown_shards: usize, Millis(named): Millis, now: Millis) -> Vec<Pulse> {
    let known = keys.into_iter().filter(|key| !key.is_empty()).map(str::to_owned);
    let new = (0..PULSES.min(PULSES_A_SHARD * unknown_shards)).map(|number| format!("{PULSE}{named}-{number}"));
    let keys: BTreeSet<String> = known.chain(new).collect();
    let expires_at = Seconds(now.0 / 1000 + PULSE_S);
    keys.into_iter().map(|key| Pulse { key, at: now, expires_at }).collect()
}
