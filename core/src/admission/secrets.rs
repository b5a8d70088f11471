//! Secrets that the configuration names, and that the platform's own store of secrets holds.

use crate::admission::access::Access;
use crate::admission::privacy::Privacy;
use crate::admission::signature::SECRET_BYTES;
use crate::admission::webhooks::Sender;

/// What stands before a secret's name, in capitals, in the name of the variable that holds it.
const VARIABLE: &str = "ISOTHERM_SECRET_";
const MOST_CHARACTERS: usize = 40;

/// The names of the secrets that the host has not given yet. Until then the service is closed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets(Vec<String>);

impl Secrets {
    /// The secrets that the configuration names.
    pub(crate) fn named(access: &Access, privacy: &Privacy) -> Result<Self, String> {
        let mut names: Vec<String> = privacy.secret.iter().cloned().collect();
        if let Access::Keys(keys) = access {
            names.extend(keys.issuers.iter().filter_map(|issuer| issuer.secret.clone()));
            names.extend(keys.senders.iter().flat_map(Sender::secrets).cloned());
        }
        names.sort_unstable();
        names.dedup();
        let is_name = |name: &String| {
            let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            (1..=MOST_CHARACTERS).contains(&name.len()) && name.chars().all(allowed)
        };
        if !names.iter().all(is_name) {
            return Err(format!("a secret's name must be 1 to {MOST_CHARACTERS} of a-z 0-9 _; it is no secret itself"));
        }
        Ok(Self(names))
    }

    pub(crate) fn are_missing(&self) -> bool {
        !self.0.is_empty()
    }

    /// The variables that hold the missing secrets.
    pub(crate) fn variables(&self) -> Vec<String> {
        self.0.iter().map(|name| secret_variable(name)).collect()
    }

    /// Takes in the secrets. `of` gives what a variable holds. An error names the first variable that holds none, or a
    /// short one.
    pub(crate) fn give(
        &mut self,
        access: &mut Access,
        privacy: &mut Privacy,
        of: impl Fn(&str) -> Option<String>,
    ) -> Result<(), String> {
        for name in std::mem::take(&mut self.0) {
            let variable = secret_variable(&name);
            let secret = of(&variable).ok_or_else(|| format!("there is no secret {variable}"))?;
            if secret.len() < SECRET_BYTES {
                return Err(format!("the secret {variable} has {} bytes; it needs {SECRET_BYTES}", secret.len()));
            }
            if privacy.secret.as_ref() == Some(&name) {
                privacy.give_secret(&secret);
            }
            if let Access::Keys(keys) = access {
                let issuers = keys.issuers.iter_mut().filter(|issuer| issuer.secret.as_ref() == Some(&name));
                issuers.for_each(|issuer| issuer.give_secret(&secret));
                let senders = keys.senders.iter_mut();
                let given = senders.map(|sender| sender.give_secret(&name, &secret));
                given.collect::<Result<(), _>>().map_err(|problem| format!("the secret {variable} {problem}"))?;
            }
        }
        Ok(())
    }
}

/// The variable of the platform that holds the secret with this name.
pub fn secret_variable(name: &str) -> String {
    format!("{VARIABLE}{}", name.to_ascii_uppercase())
}
