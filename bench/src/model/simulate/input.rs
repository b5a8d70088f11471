//! Reads plain or gzip files line by line. Only one line is in memory, and every error names its line number.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};

/// Opens a file that a trace names. Only the program knows how.
pub(crate) type Open<'o> = &'o dyn Fn(&Path) -> Result<Lines>;

/// The lines of a file.
pub(crate) struct Lines {
    reader: Box<dyn BufRead>,
    name: String,
    number: u64,
    line: Vec<u8>,
    /// True if the last line was too long. Its rest is still to be read.
    is_cut: bool,
}

/// Longer lines are refused. A row of the widest format has 1,440 counts and at most about 20,000 bytes.
const LONGEST: u64 = 1 << 20;

impl Lines {
    /// Reads the lines of `reader`, plain or gzip, which its first two bytes tell; `name` is for messages.
    ///
    /// # Errors
    /// Fails if nothing can be read.
    pub(crate) fn new(reader: impl Read + 'static, name: String) -> Result<Self> {
        let mut plain = BufReader::with_capacity(1 << 16, reader);
        let is_gzip = plain.fill_buf().with_context(|| format!("cannot read {name}"))?.starts_with(&[0x1f, 0x8b]);
        let reader: Box<dyn BufRead> = if is_gzip {
            Box::new(BufReader::with_capacity(1 << 16, flate2::bufread::MultiGzDecoder::new(plain)))
        } else {
            Box::new(plain)
        };
        Ok(Self { reader, name, number: 0, line: Vec::new(), is_cut: false })
    }

    /// The next line without its end, and the first without a byte order mark; `None` after the last.
    ///
    /// # Errors
    /// Fails if the line can't be read, is not text, or is too long.
    pub(crate) fn next(&mut self) -> Result<Option<&str>> {
        if !self.advance()? {
            return Ok(None);
        }
        self.text().map(Some).map_err(|error| anyhow!("{}: {error}", self.place()))
    }

    /// Like [`Self::next`], but a line that is not text or is too long is an error of that line alone: the next call goes
    /// on behind it.
    ///
    /// # Errors
    /// Fails if the file can't be read.
    pub(crate) fn next_or_bad(&mut self) -> Result<Option<Result<&str>>> {
        Ok(if self.advance()? { Some(self.text()) } else { None })
    }

    /// Reads the next line, of a long one only the beginning; `false` after the last.
    fn advance(&mut self) -> Result<bool> {
        if self.is_cut {
            self.reader.skip_until(b'\n').with_context(|| self.place())?;
        }
        self.line.clear();
        self.number += 1;
        self.reader.by_ref().take(LONGEST).read_until(b'\n', &mut self.line).with_context(|| self.place())?;
        self.is_cut = self.is_too_long() && !self.line.ends_with(b"\n");
        Ok(!self.line.is_empty())
    }

    fn is_too_long(&self) -> bool {
        self.line.len() as u64 == LONGEST
    }

    /// The text of the line that was read.
    fn text(&self) -> Result<&str> {
        ensure!(!self.is_too_long(), "is longer than a megabyte");
        let line = std::str::from_utf8(&self.line).map_err(|_not_text| anyhow!("is not UTF-8"))?;
        let line = if self.number == 1 { line.trim_start_matches('\u{feff}') } else { line };
        Ok(line.trim_end_matches(['\n', '\r']))
    }

    /// The name of the file, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The file and the number of the last line read, as `file:12`.
    pub(crate) fn place(&self) -> String {
        format!("{}:{}", self.name, self.number)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use super::*;

    /// The lines of a text, as if they came from `mine.csv`.
    pub(crate) fn lines(text: &str) -> Lines {
        Lines::new(std::io::Cursor::new(text.to_owned().into_bytes()), "mine.csv".to_owned()).unwrap()
    }

    pub(crate) fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn plain_and_packed_lines_are_the_same_and_numbered() {
        let packed = Lines::new(std::io::Cursor::new(gzip("a\r\n\nb")), "mine.csv".to_owned()).unwrap();
        for mut lines in [lines("a\r\n\nb"), lines("\u{feff}a\n\nb"), packed] {
            assert_eq!(lines.next().unwrap(), Some("a"));
            assert_eq!(lines.next().unwrap(), Some(""));
            assert_eq!(lines.next().unwrap(), Some("b"));
            assert_eq!(lines.place(), "mine.csv:3");
            assert_eq!(lines.next().unwrap(), None);
        }
    }

    #[test]
    fn a_line_that_is_no_text_or_too_long_is_named_and_may_be_passed_over() {
        let long = vec![b'x'; 3 * LONGEST as usize];
        let full = vec![b'x'; LONGEST as usize - 1];
        let bytes = [&b"a\n\xff\n"[..], &long[..], b"\nb\n", &full[..], b"\nc\n", &long[..]].concat();
        let open = |bytes: &[u8]| Lines::new(std::io::Cursor::new(bytes.to_vec()), "mine.log".to_owned()).unwrap();
        let mut lines = open(&bytes);
        let mut all = Vec::new();
        while let Some(line) = lines.next_or_bad().unwrap() {
            all.push(line.map(str::to_owned).map_err(|error| error.to_string()));
        }
        let expected = [
            Ok("a"),
            Err("is not UTF-8"),
            Err("is longer than a megabyte"),
            Ok("b"),
            Err("is longer than a megabyte"),
            Ok("c"),
            Err("is longer than a megabyte"),
        ];
        assert_eq!(all, expected.map(|line| line.map(str::to_owned).map_err(str::to_owned)));
        assert!(lines.line.capacity() as u64 <= 2 * LONGEST, "{}", lines.line.capacity());
        for (from, expect) in [(2, "mine.log:1: is not UTF-8"), (4, "mine.log:1: is longer than a megabyte")] {
            assert_eq!(open(&bytes[from..]).next().unwrap_err().to_string(), expect);
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let mut cut = gzip("a,b,c\n");
        cut.truncate(cut.len() - 6);
        let mut lines = Lines::new(std::io::Cursor::new(cut), "cut.gz".to_owned()).unwrap();
        let mut read = || lines.next().map(|line| line.is_some());
        let error = loop {
            match read() {
                Ok(true) => {}
                Ok(false) => panic!("a file that is cut off was read to its end"),
                Err(error) => break format!("{error:#}"),
            }
        };
        assert!(error.starts_with("cut.gz:"), "{error}");
        // What is wrong with the file is no bad line.
        let mut cut = gzip("a,b,c\n");
        cut.truncate(cut.len() - 6);
        let mut lines = Lines::new(std::io::Cursor::new(cut), "cut.gz".to_owned()).unwrap();
        while let Ok(line) = lines.next_or_bad().map(|line| line.map(|line| line.is_ok())) {
            assert_eq!(line, Some(true));
        }
    }
}
