//! Cursors. The next page of rows starts after the last row, whatever is counted in the meantime.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::codec::{Reader, Writer};
use crate::formats;
use crate::reports::kind::Kind;
use crate::rollups::number::Number;

/// Every cursor has fewer characters than this. The longest one holds a name of 200 bytes.
pub(crate) const CURSOR_LENGTH: usize = 400;

/// The last row of a page.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LastRow {
    /// In a time series: when its interval starts, in seconds since 1970, and its group.
    Interval(i64, String),
    /// In a top report: the figure that rows are ranked by, and the row's value.
    Value(Option<Number>, String),
}

impl LastRow {
    /// This row as a cursor of the query with this fingerprint.
    pub(crate) fn to_cursor(&self, fingerprint: u64) -> String {
        let mut writer = Writer(vec![formats::CURSOR]);
        writer.0.extend_from_slice(&fingerprint.to_le_bytes());
        match self {
            Self::Interval(start, group) => {
                writer.signed(*start);
                writer.text(group);
            }
            Self::Value(figure, value) => {
                writer.byte(u8::from(figure.is_some()));
                figure.iter().for_each(|figure| figure.write(&mut writer));
                writer.text(value);
            }
        }
        URL_SAFE_NO_PAD.encode(writer.0)
    }

    /// The last row that a cursor holds; `None` if the cursor does not belong to this query.
    pub(crate) fn of_cursor(cursor: &str, kind: Kind, fingerprint: u64) -> Option<Self> {
        if cursor.len() > CURSOR_LENGTH {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let mut reader = Reader(&bytes);
        reader.byte().filter(|version| *version == formats::CURSOR)?;
        if *reader.take(8)? != fingerprint.to_le_bytes() {
            return None;
        }
        let row = match kind {
            Kind::Timeseries => Self::Interval(i64::try_from(reader.signed_wide()?).ok()?, reader.text()?.to_owned()),
            Kind::Top => {
                let figure = match reader.byte()? {
                    0 => None,
                    _ => Some(Number::read(&mut reader)?),
                };
                Self::Value(figure, reader.text()?.to_owned())
            }
            Kind::Summary => return None,
        };
        reader.is_empty().then_some(row)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn cursors_come_back_and_belong_to_one_query() {
        let name = "é".repeat(100);
        let rows = [
            (Kind::Timeseries, LastRow::Interval(-1, name.clone())),
            (Kind::Timeseries, LastRow::Interval(1 << 40, String::new())),
            (Kind::Top, LastRow::Value(None, name.clone())),
            (Kind::Top, LastRow::Value(Some(Number::Integer(i128::MAX)), name)),
            (Kind::Top, LastRow::Value(Some(Number::Float(-0.5)), String::new())),
        ];
        for (kind, row) in rows {
            let cursor = row.to_cursor(u64::MAX);
            assert!(cursor.len() < CURSOR_LENGTH);
            assert_eq!(LastRow::of_cursor(&cursor, kind, u64::MAX), Some(row));
            assert_eq!(LastRow::of_cursor(&cursor, kind, 0), None);
            assert_eq!(LastRow::of_cursor(&cursor, Kind::Summary, u64::MAX), None);
            assert_eq!(LastRow::of_cursor(&format!("{cursor}AA"), kind, u64::MAX), None);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_cursor_or_none(bytes in prop::collection::vec(any::<u8>(), 0..40), text in ".{0,30}") {
            let bytes = [&[formats::CURSOR][..], &0_u64.to_le_bytes(), &bytes].concat();
            for kind in [Kind::Timeseries, Kind::Top] {
                for cursor in [&URL_SAFE_NO_PAD.encode(&bytes), &text] {
                    let _ = LastRow::of_cursor(cursor, kind, 0);
                }
            }
        }
    }
}
