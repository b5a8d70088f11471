//! The encoding of what is stored: variable-length integers and texts. Unreadable bytes give `None`, never a panic.

/// Appends values to bytes.
#[derive(Debug, Default)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

#[allow(clippy::indexing_slicing, reason = "the places are in bytes that this writer has just put there")]
impl Writer {
    #[inline]
    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// Writes 7 bits per byte, the lowest first. The top bit of a byte says that more follow.
    #[inline]
    pub(crate) fn unsigned(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    #[inline]
    pub(crate) fn length(&mut self, length: usize) {
        self.unsigned(length as u64);
    }

    /// Zigzag encoding: small magnitudes take few bytes, whatever their sign.
    #[inline]
    pub(crate) fn signed(&mut self, value: i64) {
        self.varied((value << 1 ^ value >> 63) as u64);
    }

    /// Writes the same bytes as [`Writer::unsigned`] without branches, which are mispredicted if lengths vary.
    #[inline]
    pub(crate) fn varied(&mut self, value: u64) {
        if value >> 21 != 0 {
            return self.unsigned(value);
        }
        let (groups, length) = groups(value as u32);
        let end = self.0.len() + length as usize;
        self.0.extend_from_slice(&groups.to_le_bytes());
        self.0.truncate(end);
    }

    /// Writes the number of pairs, at most `at_most`, and then each pair: a signed integer and an unsigned one.
    #[inline]
    pub(crate) fn pairs(&mut self, at_most: usize, pairs: impl Iterator<Item = (i32, u64)>) {
        let start = self.0.len();
        let mut at = start + 1;
        self.0.resize(at + at_most * PAIR, 0);
        let bytes = self.0.as_mut_slice();
        let mut length = 0;
        for (signed, unsigned) in pairs {
            let Some(room) = bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) else { break };
            at += pair(room, signed, unsigned);
            length += 1;
        }
        self.0.truncate(at);
        self.put_length(start, length);
    }

    /// Writes the number of items, and then what `write` writes of each.
    #[inline]
    pub(crate) fn each<T>(&mut self, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        let start = self.0.len();
        self.byte(0);
        let mut length = 0;
        for item in items {
            write(self, item);
            length += 1;
        }
        self.put_length(start, length);
    }

    /// Writes a signed integer that may take more than 64 bits.
    #[inline]
    pub(crate) fn signed_wide(&mut self, value: i128) {
        match i64::try_from(value) {
            Ok(value) => self.signed(value),
            Err(_) => self.signed_widest(value),
        }
    }

    #[cold]
    fn signed_widest(&mut self, value: i128) {
        let mut zigzag = (value << 1 ^ value >> 127) as u128;
        while zigzag > u128::from(u64::MAX) {
            self.byte(zigzag as u8 | 0x80);
            zigzag >>= 7;
        }
        self.unsigned(zigzag as u64);
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Writes the length of what `write` writes, and then the bytes.
    #[inline]
    pub(crate) fn nested(&mut self, write: impl FnOnce(&mut Self)) {
        let start = self.0.len();
        self.byte(0);
        write(self);
        self.put_length(start, self.0.len() - start - 1);
    }

    /// Puts a length into the one byte reserved for it. Longer lengths are rare and move the bytes behind it.
    #[inline]
    fn put_length(&mut self, at: usize, length: usize) {
        if length < 0x80 {
            self.0[at] = length as u8;
        } else {
            self.put_long_length(at, length);
        }
    }

    #[inline(never)]
    fn put_long_length(&mut self, mut at: usize, mut length: usize) {
        while length >= 0x80 {
            self.0[at] = length as u8 | 0x80;
            length >>= 7;
            at += 1;
            self.0.insert(at, 0);
        }
        self.0[at] = length as u8;
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.length(bytes.len());
        self.0.extend_from_slice(bytes);
    }
}

/// The most bytes that a pair takes.
const PAIR: usize = 5 + 10;

/// Writes a pair, and returns how many bytes it took: mostly four at most. The length varies from pair to pair, so a
/// branch on it would be mispredicted. Instead four bytes are always written, and the next pair overwrites the excess.
#[inline]
#[allow(clippy::indexing_slicing, reason = "four bytes are fewer than a pair's")]
fn pair(bytes: &mut [u8; PAIR], signed: i32, unsigned: u64) -> usize {
    let zigzag = (signed << 1 ^ signed >> 31) as u32;
    if zigzag >> 21 != 0 || unsigned >> 7 != 0 {
        return long_pair(bytes, zigzag, unsigned);
    }
    let (groups, length) = groups(zigzag);
    let four = groups | (unsigned as u32) << (8 * length);
    bytes[..4].copy_from_slice(&four.to_le_bytes());
    1 + length as usize
}

/// The bytes of an integer below 2^21, and how many there are.
#[inline]
fn groups(value: u32) -> (u32, u32) {
    let (is_two, is_three) = (u32::from(value >> 7 != 0), u32::from(value >> 14 != 0));
    // Each addition moves the groups above by one bit.
    let two_groups = value + (value & !0x7f);
    let groups = two_groups + (two_groups & !0x7fff);
    (groups | is_two << 7 | is_three << 15, 1 + is_two + is_three)
}

#[inline(never)]
#[allow(clippy::indexing_slicing, reason = "the groups of both integers are at most the bytes of a pair")]
fn long_pair(bytes: &mut [u8; PAIR], zigzag: u32, unsigned: u64) -> usize {
    let mut length = 0;
    for mut value in [u64::from(zigzag), unsigned] {
        while value >= 0x80 {
            bytes[length] = value as u8 | 0x80;
            value >>= 7;
            length += 1;
        }
        bytes[length] = value as u8;
        length += 1;
    }
    length
}

/// Reads values from bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    pub(crate) fn unsigned(&mut self) -> Option<u128> {
        let mut value = 0;
        for shift in (0..128).step_by(7) {
            let byte = self.byte()?;
            value |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// Reads an integer of up to 64 bits. Most are small: counts, gaps, lengths.
    pub(crate) fn small<T: TryFrom<u64>>(&mut self) -> Option<T> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return T::try_from(value).ok();
            }
        }
        None
    }

    pub(crate) fn signed_wide(&mut self) -> Option<i128> {
        let value = self.unsigned()?;
        Some((value >> 1) as i128 ^ -((value & 1) as i128))
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.small()?;
        self.take(length)
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back_at_every_size() {
        for value in [
            0,
            1,
            -1,
            63,
            64,
            -64,
            -65,
            8191,
            8192,
            1 << 20,
            1 << 26,
            (1 << 27) - 1,
            1 << 27,
            i128::from(u64::MAX),
            i128::MAX,
            i128::MIN,
        ] {
            let mut writer = Writer::default();
            writer.signed_wide(value);
            let mut reader = Reader(&writer.0);
            assert_eq!(reader.signed_wide(), Some(value));
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn what_breaks_off_is_none() {
        let mut writer = Writer::default();
        writer.text("carrier");
        for length in 0..writer.0.len() {
            assert_eq!(Reader(&writer.0[..length]).text(), None);
        }
        assert_eq!(Reader(&[0xff; 32]).unsigned(), None);
        assert_eq!(Reader(&[0xff; 32]).small::<u64>(), None);
    }

    #[test]
    fn pairs_are_what_their_parts_are() {
        let gaps = [0, 1, -1, 63, -64, 64, 8191, -8193, 1 << 19, -(1 << 20), 1 << 20, i32::MAX, i32::MIN];
        let counts = [0, 1, 127, 128, 1 << 14, 1 << 32, u64::MAX];
        let pairs = || gaps.iter().flat_map(|gap| counts.iter().map(|count| (*gap, *count)));
        let (mut writer, mut expected) = (Writer(vec![7]), Writer(vec![7]));
        writer.pairs(pairs().count(), pairs());
        expected.length(pairs().count());
        for (gap, count) in pairs() {
            expected.signed(gap.into());
            expected.unsigned(count);
        }
        assert_eq!(writer.0, expected.0);
    }
}
