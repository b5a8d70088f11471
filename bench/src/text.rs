//! Text files as their writers leave them: some put a byte order mark before the first character.

use std::path::Path;

use anyhow::{Context, Result};

/// What a byte order mark is in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The bytes without the byte order mark before them.
pub(crate) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(MARK).unwrap_or(bytes)
}

/// A text file, without the byte order mark before it.
///
/// # Errors
/// Where it can't be read, or is no UTF-8.
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
