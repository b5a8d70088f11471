//! `name=value,name=value`: the options after the name of a trace or a policy.

use anyhow::{Context, Result, bail, ensure};

use crate::model::simulate::draw::Sourced;
use crate::model::simulate::time::Micros;

/// Options that are taken one by one. Any option left over is unknown.
#[derive(Debug)]
pub(crate) struct Options<'t> {
    left: Vec<(&'t str, &'t str)>,
}

impl<'t> Options<'t> {
    pub(crate) fn parse(text: &'t str) -> Result<Self> {
        let mut left: Vec<(&str, &str)> = Vec::new();
        for option in text.split(',').filter(|option| !option.is_empty()) {
            let pair = option.split_once('=');
            let (name, value) = pair.with_context(|| format!("{option:?} is no option, such as name=value"))?;
            ensure!(left.iter().all(|(other, _)| *other != name), "{name} is given twice");
            left.push((name, value));
        }
        Ok(Self { left })
    }

    fn take(&mut self, name: &str) -> Option<&'t str> {
        let place = self.left.iter().position(|(other, _)| *other == name)?;
        Some(self.left.remove(place).1)
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.take(name).map(str::to_owned)
    }

    pub(crate) fn time(&mut self, name: &str) -> Result<Option<Micros>> {
        self.take(name).map(|text| Micros::parse(text).with_context(|| name.to_owned())).transpose()
    }

    /// A length of time other than 0.
    pub(crate) fn period(&mut self, name: &str) -> Result<Option<Micros>> {
        let time = self.time(name)?;
        ensure!(time != Some(Micros::ZERO), "{name}: must be above 0");
        Ok(time)
    }

    pub(crate) fn draw(&mut self, name: &str) -> Result<Option<Sourced>> {
        self.take(name).map(|text| Sourced::parse(text).with_context(|| name.to_owned())).transpose()
    }

    pub(crate) fn number(&mut self, name: &str, low: f64, high: f64) -> Result<Option<f64>> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| (low..=high).contains(number));
        number.with_context(|| format!("{name}: {text:?} is not between {low} and {high}")).map(Some)
    }

    pub(crate) fn count(&mut self, name: &str, low: u32, high: u32) -> Result<Option<u32>> {
        self.take(name).map(|text| count(name, text, low, high)).transpose()
    }

    /// A range such as `5` or `2..10`.
    pub(crate) fn range(&mut self, name: &str, low: u32, high: u32) -> Result<Option<(u32, u32)>> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let (least, most) = text.split_once("..").unwrap_or((text, text));
        let (least, most) = (count(name, least, low, high)?, count(name, most, low, high)?);
        ensure!(least <= most && most > 0, "{name}: {text:?} must end above 0, and not before it begins");
        Ok(Some((least, most)))
    }

    /// Fails if an option was not taken.
    pub(crate) fn finish(self, of: &str) -> Result<()> {
        match self.left.first() {
            Some((name, _)) => bail!("{of} has no option {name:?}"),
            None => Ok(()),
        }
    }
}

fn count(name: &str, text: &str, low: u32, high: u32) -> Result<u32> {
    let count = text.parse().ok().filter(|count| (low..=high).contains(count));
    count.with_context(|| format!("{name}: {text:?} is not a whole number between {low} and {high}"))
}
