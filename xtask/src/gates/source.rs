//! Splits Rust source as far as the gates need it: code without comments and literals, and the literals.

/// One line of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// The line's code. A text literal is `""` in it, and comments are removed.
    pub(super) code: String,
    /// The text literals that begin on this line.
    pub(super) texts: Vec<String>,
}

/// The lines of a file before its unit tests, which by convention end the file.
pub(super) fn lines(source: &str) -> Vec<Line> {
    let source = source.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let mut lines = vec![Line::default()];
    let mut rest = source.chars().peekable();
    let mut before = ' ';
    while let Some(char) = rest.next() {
        match char {
            '\n' => lines.push(Line::default()),
            '/' if rest.peek() == Some(&'/') => while rest.next_if(|next| *next != '\n').is_some() {},
            '/' if rest.peek() == Some(&'*') => skip_comment(&mut rest, &mut lines),
            '"' => take_text(&mut rest, 0, false, &mut lines),
            'r' if matches!(rest.peek(), Some('"' | '#')) && !is_word(before) => {
                let mut hashes = 0;
                while rest.next_if_eq(&'#').is_some() {
                    hashes += 1;
                }
                // `r#type` is a name, not a literal.
                if rest.next_if_eq(&'"').is_some() {
                    take_text(&mut rest, hashes, true, &mut lines);
                }
            }
            // 'x' and '\n' are literals, 'a is a lifetime.
            '\'' => {
                let mut ahead = rest.clone();
                let (first, second) = (ahead.next(), ahead.next());
                if first == Some('\\') || second == Some('\'') {
                    let mut escaped = false;
                    while let Some(next) = rest.next_if(|next| *next != '\n') {
                        if next == '\'' && !escaped {
                            break;
                        }
                        escaped = next == '\\' && !escaped;
                    }
                }
            }
            _ => {
                if let Some(line) = lines.last_mut() {
                    line.code.push(char);
                }
            }
        }
        before = char;
    }
    lines
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

fn skip_comment(rest: &mut Chars<'_>, lines: &mut Vec<Line>) {
    let mut depth = 1;
    rest.next();
    while depth > 0 {
        match rest.next() {
            None => return,
            Some('\n') => lines.push(Line::default()),
            Some('/') if rest.next_if_eq(&'*').is_some() => depth += 1,
            Some('*') if rest.next_if_eq(&'/').is_some() => depth -= 1,
            Some(_) => {}
        }
    }
}

fn take_text(rest: &mut Chars<'_>, hashes: usize, raw: bool, lines: &mut Vec<Line>) {
    let mut text = String::new();
    let mut new_lines = 0;
    while let Some(char) = rest.next() {
        let mut ahead = rest.clone();
        if char == '"' && (0..hashes).all(|_| ahead.next() == Some('#')) {
            *rest = ahead;
            break;
        }
        new_lines += usize::from(char == '\n');
        text.push(char);
        if char == '\\' && !raw {
            text.extend(rest.next());
        }
    }
    if let Some(line) = lines.last_mut() {
        line.code.push_str("\"\"");
        line.texts.push(text);
    }
    lines.extend((0..new_lines).map(|_| Line::default()));
}

/// Whether `code` has `name` as a whole word or words: `MyValue` does not have `Value`.
pub(super) fn names(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + name.len()..].chars().next();
        // If the name itself begins or ends with a sign, anything may stand beside that sign.
        let runs_on = |beside: Option<char>, edge: bool| edge && beside.is_some_and(is_word);
        !runs_on(before, name.starts_with(is_word)) && !runs_on(after, name.ends_with(is_word))
    })
}

fn is_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, code: &[&str], texts: &[&str]) {
        let lines = lines(source);
        assert_eq!(lines.iter().map(|line| line.code.trim()).collect::<Vec<_>>(), code);
        assert_eq!(lines.iter().flat_map(|line| &line.texts).collect::<Vec<_>>(), texts);
    }

    #[test]
    fn comments_and_texts_are_not_code() {
        check("a(); // async fn\nb();", &["a();", "b();"], &[]);
        check("a /* std::fs /* nested */\n still */ b", &["a", "b"], &[]);
        check("a(\"std::fs \\\" // no comment\") b", &["a(\"\") b"], &["std::fs \\\" // no comment"]);
        check("a(r#\"one\n\"two\"#);\nb", &["a(\"\"", ");", "b"], &["one\n\"two"]);
    }

    #[test]
    fn quotes_are_literals_or_lifetimes() {
        check("a('\"', '\\'', b'/') b", &["a(, , b) b"], &[]);
        check("fn a<'a>(b: &'a str) \"c\"", &["fn a<a>(b: &a str) \"\""], &["c"]);
    }

    #[test]
    fn unit_tests_are_not_read() {
        check("a\n#[cfg(test)]\nmod tests { b }", &["a", ""], &[]);
    }

    #[test]
    fn names_are_whole_words() {
        assert!(names("use serde_json::Value;", "Value"));
        assert!(!names("use crate::MyValue;", "Value"));
        assert!(names("x.now()", ".now("));
    }
}
