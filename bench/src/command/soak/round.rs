//! The findings of one round.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::load::Answer;

/// One in this many accepted events is kept with its id.
const EXAMPLE_EVERY: u64 = 10;

/// Number of answers by kind of request and status; status 0 stands for no answer.
pub(crate) type Statuses = BTreeMap<String, BTreeMap<u16, u64>>;

/// A kind of request of good clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Single,
    Batch,
    LookUp,
    Report,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Single => "good: event",
            Self::Batch => "good: batch",
            Self::LookUp => "good: look-up",
            Self::Report => "good: report",
        }
    }
}

/// Events of one type with consecutive numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sent {
    pub event_type: String,
    pub first: u64,
    pub count: u64,
}

/// The findings of one round.
#[derive(Debug, Default)]
pub(crate) struct Round {
    pub accepted: BTreeMap<String, u64>,
    pub unanswered: Vec<Sent>,
    pub examples: Vec<(String, String)>,
    pub latencies: BTreeMap<String, Vec<u32>>,
    pub memory: Vec<(f64, u64)>,
    pub statuses: Statuses,
}

impl Sent {
    pub(crate) fn name(&self, at: u64) -> String {
        format!("{}-{}", self.event_type, self.first + at)
    }

    /// An event shaped like the flights. The same number gives the same event.
    pub(crate) fn event(&self, at: u64) -> Value {
        let number = self.first + at;
        let of = |names: &[&str]| names[number as usize % names.len()].to_owned();
        json!({
            "messageId": self.name(at),
            "userId": format!("N{}", number % 3149),
            "eventType": self.event_type,
            "properties": {
                "carrier": of(&["UA", "B6", "EV", "DL", "AA", "MQ", "US", "9E", "WN", "FL", "VX"]),
                "origin": of(&["EWR", "JFK", "LGA"]),
                "dest": format!("D{}", number % 101),
                "flight": number % 5000,
                "depDelay": number as i64 % 90 - 12,
                "distance": 80 + number % 2500,
            },
        })
    }

    pub(crate) fn batch(&self) -> Bytes {
        let events: Vec<Value> = (0..self.count).map(|at| self.event(at)).collect();
        json!({ "events": events }).to_string().into()
    }

    /// The ids of the accepted events, by place. `None` stands for an event that the answer does not confirm.
    pub(crate) fn taken(&self, answer: &Answer) -> Vec<Option<String>> {
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let id = |result: &Value| result["eventId"].as_str().map(str::to_owned);
        let of_batch = |at: u64| {
            let result = &body["results"][at as usize];
            let is_kept = ["accepted", "duplicate"].contains(&result["status"].as_str().unwrap_or_default());
            is_kept.then(|| id(result)).flatten()
        };
        match answer.status {
            202 => vec![id(&body)],
            200 => (0..self.count).map(of_batch).collect(),
            _ => vec![None; self.count as usize],
        }
    }
}

impl Round {
    pub(crate) fn add_statuses(&mut self, statuses: Statuses) {
        add(&mut self.statuses, statuses);
    }

    pub(crate) fn count(&mut self, kind: Kind, status: u16) {
        *self.statuses.entry(kind.name().to_owned()).or_default().entry(status).or_default() += 1;
    }

    /// Records what an answer says about the events of its request.
    pub(crate) fn learn(&mut self, sent: &Sent, taken: Vec<Option<String>>) {
        for (at, id) in (0..).zip(taken) {
            let Some(id) = id else {
                let event_type = sent.event_type.clone();
                self.unanswered.push(Sent { event_type, first: sent.first + at, count: 1 });
                continue;
            };
            *self.accepted.entry(sent.event_type.clone()).or_default() += 1;
            if (sent.first + at).is_multiple_of(EXAMPLE_EVERY) {
                self.examples.push((sent.name(at), id));
            }
        }
    }
}

/// Adds the counts of `more` to those of `to`.
pub(crate) fn add(to: &mut Statuses, more: Statuses) {
    for (kind, statuses) in more {
        let to = to.entry(kind).or_default();
        statuses.into_iter().for_each(|(status, count)| *to.entry(status).or_default() += count);
    }
}
