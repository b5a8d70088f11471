//! Reads events as core does. Every command that reads events uses this module, so that none has rules of its own.

use anyhow::{Context, Result, anyhow, bail};
use isotherm_core::{Admission, Config, Millis, NewEvent, Plan, Request, Service, Stamp};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::load::{AUTHORIZED, CONFIG};

/// 9999-12-31T23:59:59.999Z. With a clock at this time no timestamp is too far in the future.
const LATEST: Millis = Millis(253_402_300_799_999);

/// Core's rules for events that arrive at one time.
pub(crate) struct Contract {
    service: Service,
    received_at: Millis,
}

#[derive(Deserialize)]
struct Refused {
    message: String,
}

#[derive(Deserialize)]
struct Timed<'a> {
    #[serde(borrow, default)]
    timestamp: Option<&'a RawValue>,
}

impl Contract {
    /// The rules for events that arrive at `received_at`, which bounds their timestamps.
    ///
    /// # Errors
    /// Fails if core refuses this program's own configuration.
    pub(crate) fn at(received_at: Millis) -> Result<Self> {
        let config = Config::parse(CONFIG).context("the program's own configuration")?;
        Ok(Self { service: Service::new(config), received_at })
    }

    /// The rules for timestamps of any time.
    ///
    /// # Errors
    /// Fails as [`Contract::at`] does.
    pub(crate) fn at_any_time() -> Result<Self> {
        Self::at(LATEST)
    }

    /// The service that reads the events.
    pub(crate) fn service(&self) -> &Service {
        &self.service
    }

    /// One event in the form that core keeps. `entropy` makes the id of an event without a messageId.
    ///
    /// # Errors
    /// Core's reason, if the text is not a valid event.
    pub(crate) fn event(&self, json: &[u8], entropy: u128) -> Result<NewEvent> {
        let headers = [("authorization", AUTHORIZED.to_owned()), ("content-type", "application/json".to_owned())];
        let request = Request { method: "POST", path: "/events", query: "", headers: &headers, body: json };
        match self.service.admit(&request, Stamp { received_at: self.received_at, entropy }) {
            Admission::Plan(Plan::Store(plan)) => plan.events().first().cloned().context("is no event"),
            Admission::Plan(_) => bail!("is no event"),
            Admission::Reply(reply) => Err(match serde_json::from_slice::<Refused>(&reply.body) {
                Ok(refused) => anyhow!(refused.message),
                Err(_other) => anyhow!("is refused with status {}", reply.status),
            }),
        }
    }

    /// The timestamp of an event. The other members may be anything.
    ///
    /// # Errors
    /// Fails if the text is not a JSON object with a timestamp that core accepts.
    pub(crate) fn time(&self, json: &str) -> Result<Millis> {
        let timed: Timed<'_> = serde_json::from_str(json)?;
        let timestamp = timed.timestamp.context("missing field `timestamp`")?;
        let event = format!(r#"{{"userId":"u","eventType":"t","properties":{{}},"timestamp":{timestamp}}}"#);
        Ok(self.event(event.as_bytes(), 0)?.occurred_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_the_contract_takes_them() {
        let contract = Contract::at_any_time().unwrap();
        let time = |timestamp: &str| contract.time(&format!(r#"{{"x":1,"timestamp": {timestamp} }}"#));
        for same in ["1357035300000", "\"2013-01-01T10:15:00Z\"", "\"2013-01-01t05:15:00.0004-05:00\""] {
            assert_eq!(time(same).unwrap(), Millis(1_357_035_300_000), "{same}");
        }
        assert_eq!(time("\"2999-01-01T00:00:00Z\"").unwrap(), Millis(32_472_144_000_000));
        for (wrong, expected) in
            [("null", "missing field"), ("true", "timestamp"), ("\"soon\"", "RFC 3339"), ("-1", "timestamp")]
        {
            let error = format!("{:#}", time(wrong).unwrap_err());
            assert!(error.contains(expected), "{wrong}: {error}");
        }
        assert!(contract.time("{}").is_err() && contract.time("[1]").is_err());
    }

    #[test]
    fn what_is_no_event_has_cores_reason() {
        let contract = Contract::at(Millis(1_357_035_300_000)).unwrap();
        let read = |json: &str| contract.event(json.as_bytes(), 1);
        let event = read(r#"{"userId":"u","eventType":"t","properties":{}}"#).unwrap();
        assert_eq!(event.occurred_at, Millis(1_357_035_300_000));
        assert_eq!(read(r#"{"userId":"u"}"#).unwrap_err().to_string(), "eventType is required");
    }
}
