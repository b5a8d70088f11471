//! Reads text files of any writer: some writers put a byte order mark before the first character.

use std::path::Path;

use anyhow::{Context, Result};

/// The byte order mark in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The bytes without a byte order mark at the beginning.
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK).unwrap_or(bytes)
}

/// The content of a text file, without a byte order mark at the beginning.
///
/// # Errors
/// Fails if the file can't be read or is not UTF-8.
pub(crate) fn read(path: &Path) -> Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mark_is_taken_off_and_only_in_front() {
        assert_eq!(without_mark(b"\xef\xbb\xbfa\xef\xbb\xbf"), b"a\xef\xbb\xbf");
        assert_eq!(without_mark(b"\xef\xbba"), b"\xef\xbba");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t");
        std::fs::write(&file, "\u{feff}{}").unwrap();
        assert_eq!(read(&file).unwrap(), "{}");
        let missing = format!("{:#}", read(&folder.path().join("n")).unwrap_err());
        assert!(missing.starts_with("cannot read "), "{missing}");
    }
}
