//! Comparing short texts without a call.
#![allow(
    clippy::indexing_slicing,
    reason = "the places are those that a fold gave out itself: no client and no stored byte says one"
)]

/// Up to 8 bytes as one number. Texts of the same length are equal if their numbers are.
pub(crate) fn word(bytes: &[u8]) -> u64 {
    match bytes {
        [] => 0,
        [first, ..] if bytes.len() < 4 => {
            u64::from(*first) << 16 | u64::from(bytes[bytes.len() / 2]) << 8 | u64::from(bytes[bytes.len() - 1])
        }
        // Two 4-byte words, which may overlap.
        _ => {
            let half = |half: Option<&[u8; 4]>| u64::from(half.map_or(0, |half| u32::from_le_bytes(*half)));
            half(bytes.first_chunk()) << 32 | half(bytes.last_chunk())
        }
    }
}

/// Whether two texts are equal. Most texts here are short, and a call would take longer than comparing them.
#[inline]
pub(crate) fn is_same_text(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    match one.len() {
        0..=8 => word(one) == word(other),
        9..=16 => one.first_chunk::<8>() == other.first_chunk() && one.last_chunk::<8>() == other.last_chunk(),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_same_if_every_byte_is() {
        let text = "abcdefghijklmnopqrst";
        for length in 0..text.len() {
            let one = &text[..length];
            assert!(is_same_text(one, one));
            assert!(!is_same_text(one, &text[..length + 1]));
            for at in 0..length {
                let mut other = one.to_owned();
                other.replace_range(at..=at, "-");
                assert!(!is_same_text(one, &other), "{one} {other}");
            }
        }
    }
}
