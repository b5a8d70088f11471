//! digest
use serde::{Deserialize, Serialize};
/// 128 bits
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest(#[serde(with = "hex")] u128);
impl Digest {
    /// The digest as a store keeps it.
    pub fn to_bytes(self) -> [u8; 16] { self.0.to_be_bytes() }
    /// The digest that [`Digest::to_bytes`] gave.
    pub fn from_bytes(bytes: [u8; 16]) -> Self { Self(u128::from_be_bytes(bytes)) }
}
mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de};
    pub(super) fn serialize<S: Serializer>(bits: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{bits:032x}"))
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(de::Error::custom)
    }
}
