//! An estimate of the number of distinct users: HyperLogLog with 2^14 registers.
//!
//! Its standard error is 1.04 / √2^14 = 0.81 %, so 95 % of estimates are within 1.6 % (P. Flajolet et al.,
//! "HyperLogLog", 2007). The estimator is O. Ertl's improved one ("New cardinality estimation algorithms
//! for HyperLogLog sketches", 2017, algorithm 6). It is accurate from the first user on and depends only on the
//! registers. It uses only operations that IEEE 754 defines to the last bit.
#![allow(
    clippy::indexing_slicing,
    reason = "the places are those that a fold gave out itself: no client and no stored byte says one"
)]

use twox_hash::XxHash3_64;

use crate::codec::{Reader, Writer};

const PRECISION: u32 = 14;
const REGISTERS: usize = 1 << PRECISION;
/// The largest value of a register, for a hash whose other bits are all 0.
const HIGHEST: usize = (64 - PRECISION) as usize + 1;
/// Up to this length, a list of registers is quicker to add to and to merge than the full set.
const FEW: usize = 512;
/// Up to this length, a list takes fewer bytes than 6 bits for every register.
const LISTED: usize = 4096;

/// A user's hash: a register, and the least value that the register must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UserHash(u16, u8);

impl UserHash {
    pub(crate) fn register(self) -> u16 {
        self.0
    }

    pub(crate) fn value(self) -> u8 {
        self.1
    }

    pub(crate) fn of(user_id: &str) -> Self {
        let hash = XxHash3_64::oneshot(user_id.as_bytes());
        let rest = hash << PRECISION | 1 << (PRECISION - 1);
        Self((hash >> (64 - PRECISION)) as u16, rest.leading_zeros() as u8 + 1)
    }
}

/// A set of users that tells only its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HyperLogLog {
    /// The registers that are not 0, sorted; at most [`FEW`].
    Few(Vec<(u16, u8)>),
    /// All registers.
    Many(Box<[u8; REGISTERS]>),
}

impl Default for HyperLogLog {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl HyperLogLog {
    pub(crate) fn add(&mut self, UserHash(register, value): UserHash) {
        match self {
            Self::Many(registers) => {
                let known = &mut registers[usize::from(register)];
                *known = value.max(*known);
            }
            Self::Few(list) => {
                match list.binary_search_by_key(&register, |(known, _)| *known) {
                    Ok(at) => list[at].1 = value.max(list[at].1),
                    Err(at) => list.insert(at, (register, value)),
                }
                if list.len() > FEW {
                    *self = Self::Many(registers(list));
                }
            }
        }
    }

    pub(crate) fn merge(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Few(list), other) if list.is_empty() => *self = other,
            (_, Self::Few(list)) => list.into_iter().for_each(|(register, value)| self.add(UserHash(register, value))),
            (Self::Many(registers), Self::Many(others)) => {
                for (register, other) in registers.iter_mut().zip(others.iter()) {
                    *register = (*register).max(*other);
                }
            }
            (Self::Few(list), Self::Many(others)) => {
                let list = std::mem::take(list);
                *self = Self::Many(others);
                list.into_iter().for_each(|(register, value)| self.add(UserHash(register, value)));
            }
        }
    }

    /// Bytes of memory that the set takes, besides the value itself.
    pub(crate) fn memory(&self) -> usize {
        match self {
            // Lists grow by doubling.
            Self::Few(list) => list.len() * 8,
            Self::Many(_) => REGISTERS,
        }
    }

    /// The estimated number of users, rounded.
    pub(crate) fn count(&self) -> u64 {
        let mut with_value = [0_u32; HIGHEST + 1];
        let mut zeros = REGISTERS as u32;
        let mut tally = |value: u8| {
            if value > 0 {
                with_value[usize::from(value).min(HIGHEST)] += 1;
                zeros -= 1;
            }
        };
        match self {
            Self::Few(list) => list.iter().for_each(|(_, value)| tally(*value)),
            Self::Many(registers) => registers.iter().for_each(|value| tally(*value)),
        }
        let registers = REGISTERS as f64;
        let mut z = registers * tau(1.0 - f64::from(with_value[HIGHEST]) / registers);
        for count in with_value[1..HIGHEST].iter().rev() {
            z = 0.5 * (z + f64::from(*count));
        }
        z += registers * sigma(f64::from(zeros) / registers);
        // α∞ = 1 / (2 ln 2)
        (registers * registers / (2.0 * std::f64::consts::LN_2) / z).round() as u64
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        match self {
            Self::Few(list) => write_list(list.iter().copied(), writer),
            Self::Many(registers) => {
                let set = || (0..).zip(registers.iter().copied()).filter(|(_, value)| *value > 0);
                if set().count() <= LISTED {
                    return write_list(set(), writer);
                }
                writer.byte(1);
                // Four registers of 6 bits make three bytes.
                for four in registers.as_chunks::<4>().0 {
                    let bits = four.iter().fold(0_u32, |bits, value| bits << 6 | u32::from(*value));
                    writer.0.extend_from_slice(&bits.to_be_bytes()[1..]);
                }
            }
        }
    }

    /// Writes a set from its registers that are not 0, sorted. There are at most `at_most` of them.
    pub(crate) fn write_new(at_most: usize, set: impl Iterator<Item = (u16, u8)>, writer: &mut Writer) {
        if at_most <= LISTED {
            return write_list(set, writer);
        }
        let list: Vec<_> = set.collect();
        Self::Many(registers(&list)).write(writer);
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.byte()? {
            0 => {
                let list = read_list(reader)?;
                Some(if list.len() > FEW { Self::Many(registers(&list)) } else { Self::Few(list) })
            }
            1 => {
                let packed = reader.take(REGISTERS / 4 * 3)?;
                let mut registers = Box::new([0; REGISTERS]);
                for (four, bytes) in registers.as_chunks_mut::<4>().0.iter_mut().zip(packed.as_chunks::<3>().0) {
                    let bits = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
                    *four = [18, 12, 6, 0].map(|shift| (bits >> shift & 63) as u8);
                }
                Some(Self::Many(registers))
            }
            _ => None,
        }
    }
}

fn registers(list: &[(u16, u8)]) -> Box<[u8; REGISTERS]> {
    let mut registers = Box::new([0; REGISTERS]);
    for (register, value) in list {
        registers[usize::from(*register)] = *value;
    }
    registers
}

fn write_list(list: impl Iterator<Item = (u16, u8)>, writer: &mut Writer) {
    writer.byte(0);
    let mut before = 0;
    writer.each(list, |writer, (register, value)| {
        writer.varied(u64::from(register - before) << 6 | u64::from(value));
        before = register;
    });
}

fn read_list(reader: &mut Reader<'_>) -> Option<Vec<(u16, u8)>> {
    let length = reader.small::<usize>().filter(|length| *length <= LISTED)?;
    let mut list = Vec::with_capacity(length);
    let mut before = 0_u32;
    for at in 0..length {
        let entry: u32 = reader.small()?;
        let gap = entry >> 6;
        before = before.checked_add(gap).filter(|register| *register < REGISTERS as u32)?;
        if gap == 0 && at > 0 {
            return None;
        }
        list.push((before as u16, (entry & 63) as u8));
    }
    Some(list)
}

/// Ertl's σ, the contribution of registers that are still 0.
fn sigma(x: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut y, mut z) = (x, 1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

/// Ertl's τ, the contribution of registers at their highest value.
fn tau(x: f64) -> f64 {
    if x == 0.0 || x == 1.0 {
        return 0.0;
    }
    let (mut x, mut y, mut z) = (x, 1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(users: impl IntoIterator<Item = u32>) -> HyperLogLog {
        let mut set = HyperLogLog::default();
        for user in users {
            set.add(UserHash::of(&format!("user-{user}")));
        }
        set
    }

    fn bytes(users: &HyperLogLog) -> Vec<u8> {
        let mut writer = Writer::default();
        users.write(&mut writer);
        writer.0
    }

    #[test]
    fn a_few_users_are_counted_exactly_and_take_few_bytes() {
        for count in [0, 1, 2, 3, 10] {
            assert_eq!(of(0..count).count(), u64::from(count));
        }
        assert!(bytes(&of(0..3)).len() < 16);
    }

    #[test]
    fn estimates_are_within_two_percent_at_95_percent() {
        for count in [100_u32, 1000, 5000, 50_000] {
            let runs = 60;
            let far = (0..runs).filter(|run| {
                let found = of((0..count).map(|user| run * 1_000_000 + user)).count() as f64;
                (found / f64::from(count) - 1.0).abs() > 0.02
            });
            assert!(far.count() <= runs as usize / 20, "{count}");
        }
    }

    #[test]
    fn registers_keep_their_highest_value() {
        let full = HyperLogLog::Many(Box::new([HIGHEST as u8; REGISTERS]));
        assert_eq!(HyperLogLog::read(&mut Reader(&bytes(&full))), Some(full.clone()));
        assert_eq!(full.count(), u64::MAX);
        // One less than the highest value gives an estimate: m α∞ 2^50.
        let registers = REGISTERS as f64;
        let expected = registers / (2.0 * std::f64::consts::LN_2) * 2_f64.powi(50);
        let found = HyperLogLog::Many(Box::new([50; REGISTERS])).count() as f64;
        assert!((found / expected - 1.0).abs() < 1e-9, "{found} is not {expected}");
    }

    #[test]
    fn sigma_and_tau_are_their_series() {
        for at in 0..100 {
            let x = f64::from(at) / 100.0;
            let terms = (1..60).map(|k| x.powf(2_f64.powi(k)) * 2_f64.powi(k - 1));
            let expected = x + terms.sum::<f64>();
            assert!((sigma(x) - expected).abs() <= expected * 1e-12, "sigma of {x}");
            let terms = (1..60).map(|k| (1.0 - x.powf(2_f64.powi(-k))).powi(2) * 2_f64.powi(-k));
            let expected = (1.0 - x - terms.sum::<f64>()) / 3.0;
            assert!((tau(x) - expected).abs() < 1e-12, "tau of {x}");
        }
        assert_eq!((sigma(1.0), tau(1.0)), (f64::INFINITY, 0.0));
    }

    #[test]
    fn a_sorted_set_is_written_as_the_users_that_it_is_of() {
        for count in [1, 600, 4000, 6000] {
            let users = of(0..count);
            let set = match &users {
                HyperLogLog::Few(list) => list.clone(),
                HyperLogLog::Many(all) => (0..).zip(all.iter().copied()).filter(|(_, value)| *value > 0).collect(),
            };
            let mut writer = Writer::default();
            HyperLogLog::write_new(set.len(), set.iter().copied(), &mut writer);
            assert_eq!(writer.0, bytes(&users));
        }
    }

    proptest! {
        #[test]
        fn order_and_grouping_change_no_byte(
            users in prop::collection::vec(0_u32..20_000, 0..9000), cut in 0_usize..9000,
        ) {
            let whole = of(users.iter().copied());
            prop_assert_eq!(bytes(&whole), bytes(&of(users.iter().rev().copied())));
            let (one, two) = users.split_at(cut.min(users.len()));
            let (mut left, mut right) = (of(one.iter().copied()), of(two.iter().copied()));
            let first = left.clone();
            left.merge(right.clone());
            right.merge(first);
            prop_assert_eq!(&left, &whole);
            prop_assert_eq!(&right, &whole);
            prop_assert_eq!(HyperLogLog::read(&mut Reader(&bytes(&whole))), Some(whole));
        }
    }
}
