//! Reads numbers out of a saved page, HTML or Markdown, by the words around them.

use std::fmt::Write as _;

use anyhow::{Context, Result, bail, ensure};
use regex_lite::Regex;

use super::says::Says;

/// A number: `0.30`, `400,000` or `10 million`.
const NUMBER: &str = r"[0-9][0-9.,]*(?:\s*(?:thousand|million|billion)\b)?";

/// A template of a page's text, such as `{included} million, + {usd}/million`.
#[derive(Debug)]
pub(crate) struct Template {
    pattern: Regex,
    /// The name of each hole that is compared, and what its number is multiplied by.
    holes: Vec<(Hole, f64)>,
}

/// What stands in a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hole {
    Usd,
    Free,
    Included,
}

impl Template {
    /// Reads a template. bench/prices.toml says what may stand in it.
    ///
    /// # Errors
    /// Fails if a hole is unknown or not closed.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut pattern = String::from("(?is)");
        let mut holes = Vec::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            rest = &rest[next.len_utf8()..];
            match next {
                '{' => {
                    let (hole, after) =
                        rest.split_once('}').with_context(|| format!("{text:?} has a {{ without a }}"))?;
                    rest = after;
                    match hole_of(hole).with_context(|| format!("in {text:?}"))? {
                        None => write!(pattern, r"\$?\s*{NUMBER}")?,
                        Some((Hole::Usd, times)) => {
                            write!(pattern, r"\$\s*([0-9][0-9.,]*)")?;
                            holes.push((Hole::Usd, times));
                        }
                        Some(found) => {
                            write!(pattern, "({NUMBER})")?;
                            holes.push(found);
                        }
                    }
                }
                '…' => pattern.push_str(".{0,60}?"),
                _ if next.is_whitespace() => pattern.push_str(r"\s*"),
                _ if next.is_alphanumeric() => pattern.push(next),
                _ => write!(pattern, r"\s*{}\s*", regex_lite::escape(next.encode_utf8(&mut [0; 4])))?,
            }
        }
        ensure!(!holes.is_empty(), "{text:?} has no hole such as {{usd}}");
        Ok(Self { pattern: Regex::new(&pattern)?, holes })
    }

    /// Adds what the page says here; `false` if the words do not stand there.
    fn read(&self, page: &str, says: &mut Says) -> bool {
        let Some(found) = self.pattern.captures(page) else { return false };
        for (at, (hole, times)) in self.holes.iter().enumerate() {
            let Some(number) = found.get(at + 1).and_then(|found| number(found.as_str())) else { return false };
            match hole {
                Hole::Usd => says.tiers = vec![(0.0, number * times)],
                Hole::Free => says.free = Some(number * times),
                Hole::Included => says.included = Some(number * times),
            }
        }
        true
    }
}

/// What is in a hole, and its factor; `None` if it may be any number.
fn hole_of(text: &str) -> Result<Option<(Hole, f64)>> {
    if text.is_empty() {
        return Ok(None);
    }
    let (name, times) = match text.split_once('*') {
        Some((name, times)) => (name, times.parse().with_context(|| format!("{times:?} is no number"))?),
        None => (text, 1.0),
    };
    let hole = match name {
        "usd" => Hole::Usd,
        "free" => Hole::Free,
        "included" => Hole::Included,
        _ => bail!("{{{text}}} is unknown: write {{usd}}, {{free}}, {{included}} or {{}}"),
    };
    Ok(Some((hole, times)))
}

fn number(text: &str) -> Option<f64> {
    let text = text.to_lowercase();
    let (digits, times) = [("thousand", 1e3), ("million", 1e6), ("billion", 1e9)]
        .into_iter()
        .find_map(|(word, times)| Some((text.strip_suffix(word)?, times)))
        .unwrap_or((&text, 1.0));
    let digits = digits.trim().trim_end_matches(['.', ',']).replace(',', "");
    Some(digits.parse::<f64>().ok()? * times)
}

/// What the page says by these templates, in USD for the price's own number of units.
///
/// # Errors
/// Fails with the template whose words do not stand on the page.
pub(crate) fn says(page: &str, texts: &[String]) -> Result<Says> {
    let mut says = Says::default();
    for text in texts {
        ensure!(Template::parse(text)?.read(page, &mut says), "the page has no text like {text:?}");
    }
    Ok(says)
}

/// The text of a page without markup, with single spaces.
///
/// # Errors
/// Never fails: the expressions are constants.
pub(crate) fn plain(page: &str) -> Result<String> {
    let mut text = page.to_owned();
    for (markup, left) in [
        (r"(?is)<(script|style)\b.*?</(script|style)>", " "),
        // A link's text stays, its address goes.
        (r"\]\([^)\s]*\)", " "),
        (r"(?s)</?[a-zA-Z!][^<>]*>", " "),
        (r"[\\|*`\[\]]", " "),
        (r"-{3,}", " "),
        (r"&(nbsp|#160|#xA0);", " "),
        (r"&(dollar|#36|#x24);", "$$"),
        (r"&(amp|#38|#x26);", "&"),
        (r"&(mdash|#8212|#x2014);", "—"),
        (r"\s+", " "),
    ] {
        text = Regex::new(markup)?.replace_all(&text, left).into_owned();
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(page: &str, template: &str, usd: Option<f64>, included: Option<f64>) {
        let says = says(&plain(page).unwrap(), &[template.to_owned()]).unwrap();
        assert_eq!((says.tiers.first().map(|tier| tier.1), says.included), (usd, included), "{}", plain(page).unwrap());
    }

    #[test]
    fn markdown_and_html_say_the_same() {
        let template = "Standard {included} included per month + {usd} per additional million";
        for page in [
            "| **Standard** | 10 million included per month <br /> +$0.30 per additional million |",
            "| **Standard** | 10 million included per month   \n\\+$0.30 per additional million |",
            "<tr><td><strong>Standard</strong></td><td>10 million included per month<br>+&#36;0.30 per additional million</td>",
            "Standard 10,000,000 included\n per month + $ 0.30 per additional million",
        ] {
            check(page, template, Some(0.3), Some(10e6));
        }
    }

    #[test]
    fn holes_have_factors_and_gaps() {
        check("| 25 GiB-hours/month |", "{included*3600} GiB-hours/month", None, Some(90_000.0));
        let row = "Rows written <sup>1,2</sup> | 100,000 / day | First 50 million / month included + $1.00 / million";
        check(
            row,
            "Rows written … {} / day First {included} / month included + {usd} / million",
            Some(1.0),
            Some(50e6),
        );
        check("costs $1,000.", "costs {usd}", Some(1000.0), None);
        check("<script>let a = \"costs $1\"</script>costs $2", "costs {usd}", Some(2.0), None);
    }

    #[test]
    fn words_that_are_gone_are_named() {
        let error = says("free for all", &["costs {usd}".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, r#"the page has no text like "costs {usd}""#);
        for (template, problem) in [
            ("costs {euro}", "{euro} is unknown"),
            ("costs {usd", "has a { without a }"),
            ("costs", "has no hole"),
            ("{usd*x}", "\"x\" is no number"),
        ] {
            let error = format!("{:#}", Template::parse(template).unwrap_err());
            assert!(error.contains(problem), "{error}");
        }
    }
}
