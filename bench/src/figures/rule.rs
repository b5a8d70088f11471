//! The rules that fail a comparison of two runs: `warm_p99>10%`, `lambda.cold_init_p50>5%`, `any>10%`.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result};
use isotherm_hosts::Platform;

use crate::figures::changes::{Change, Verdict};

/// One rule of `--fail-if`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    platform: Option<Platform>,
    /// `None` stands for any figure.
    figure: Option<String>,
    /// The limit as a share: 0.1 is 10 %.
    worse_by: f64,
}

impl FromStr for Rule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let expected = || format!("{text:?} is no rule such as warm_p99>10% or lambda.cold_init_p50>5%");
        let (name, percent) = text.split_once('>').with_context(expected)?;
        let percent: f64 =
            percent.trim().strip_suffix('%').and_then(|number| number.trim().parse().ok()).with_context(expected)?;
        anyhow::ensure!(percent >= 0.0 && percent.is_finite(), "{}: the percentage is 0 or more", expected());
        let name = name.trim();
        let of_platform = Platform::ALL
            .iter()
            .find_map(|platform| Some((*platform, name.strip_prefix(platform.name())?.strip_prefix('.')?)));
        let (platform, figure) = of_platform.map_or((None, name), |(platform, figure)| (Some(platform), figure));
        anyhow::ensure!(!figure.is_empty(), expected());
        Ok(Self { platform, figure: (figure != "any").then(|| figure.to_owned()), worse_by: percent / 100.0 })
    }
}

impl Rule {
    /// True if the change is of this rule's figure, is beyond noise, and is worse than the limit.
    pub(crate) fn hits(&self, change: &Change) -> bool {
        change.verdict == Verdict::Worse && change.worse_by() > self.worse_by && self.names(change)
    }

    fn names(&self, Change { platform, figure, .. }: &Change) -> bool {
        self.platform.is_none_or(|own| own == *platform) && self.figure.as_ref().is_none_or(|own| own == figure)
    }

    /// Checks that the rule matches a figure. A rule that matches none would let everything pass.
    ///
    /// # Errors
    /// Fails if the rule names none of these figures.
    pub(crate) fn check(&self, changes: &[Change]) -> Result<()> {
        anyhow::ensure!(
            changes.iter().any(|change| self.names(change)),
            "--fail-if {self}: the results have no such figure; `isotherm diff --all` lists those they have"
        );
        Ok(())
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(platform) = self.platform {
            write!(f, "{platform}.")?;
        }
        write!(f, "{}>{}%", self.figure.as_deref().unwrap_or("any"), self.worse_by * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let rule = |text: &str| text.parse::<Rule>().ok();
        let warm = Rule { platform: None, figure: Some("warm_p99".to_owned()), worse_by: 0.1 };
        assert_eq!(rule("warm_p99>10%"), Some(warm.clone()));
        assert_eq!(rule(" spin.warm_p99 > 10 %"), Some(Rule { platform: Some(Platform::Spin), ..warm }));
        let report = Some("report:by day_p50".to_owned());
        assert_eq!(rule("report:by day_p50>0%"), Some(Rule { platform: None, figure: report, worse_by: 0.0 }));
        assert_eq!(rule("any>2.5%").map(|rule| rule.figure), Some(None));
        for wrong in ["", "warm_p99", "warm_p99>10", "warm_p99>-1%", "lambda.>5%", ">5%", "a>x%"] {
            assert_eq!(rule(wrong), None, "{wrong:?}");
        }
    }
}
