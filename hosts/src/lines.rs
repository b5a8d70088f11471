//! Writes each line to a standard stream with one call, so that lines of a server at the same time don't mix.
//!
//! `println!` and `eprintln!` write the parts of a line and its end separately.

use std::io::Write;

/// Writes a line to standard output.
pub fn print(line: &str) {
    write(std::io::stdout().lock(), line);
}

/// Writes a line to standard error.
pub fn print_error(line: &str) {
    write(std::io::stderr().lock(), line);
}

/// Formats a line and writes it to standard error.
#[cfg(any(feature = "lambda", feature = "spin"))]
macro_rules! log {
    ($($part:tt)*) => { $crate::lines::print_error(&format!($($part)*)) };
}
#[cfg(any(feature = "lambda", feature = "spin"))]
pub(crate) use log;

fn write(mut to: impl Write, line: &str) {
    // An error means that nobody reads the stream any more, which is no reason to stop.
    let _closed = to.write_all(format!("{line}\n").as_bytes()).and_then(|()| to.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_write() {
        struct Calls(Vec<Vec<u8>>);
        impl Write for &mut Calls {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.push(bytes.to_vec());
                Ok(bytes.len())
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut calls = Calls(Vec::new());
        write(&mut calls, "a line");
        assert_eq!(calls.0, [b"a line\n"]);
    }
}
