//! Reads plain or gzip files line by line. Only one line is in memory, and every error names its line number.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, Result};

/// Opens a file that a trace names. Only the program knows how.
pub(crate) type Open<'o> = &'o dyn Fn(&Path) -> Result<Lines>;

/// The lines of a file.
pub(crate) struct Lines {
    reader: Box<dyn BufRead>,
    name: String,
    number: u64,
    line: String,
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
        Ok(Self { reader, name, number: 0, line: String::new() })
    }

    /// The next line without its end, and the first without a byte order mark; `None` after the last.
    ///
    /// # Errors
    /// Fails if the line can't be read, is not text, or is too long.
    pub(crate) fn next(&mut self) -> Result<Option<&str>> {
        self.line.clear();
        self.number += 1;
        let read = self.reader.by_ref().take(LONGEST).read_line(&mut self.line).with_context(|| self.place())?;
        if read as u64 == LONGEST {
            anyhow::bail!("{}: is longer than a megabyte", self.place());
        }
        let line = if self.number == 1 { self.line.trim_start_matches('\u{feff}') } else { &self.line };
        Ok((read > 0).then(|| line.trim_end_matches(['\n', '\r'])))
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
    }
}
