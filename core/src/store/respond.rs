//! The replies to clients, made once the host has reported the outcome of its plan.

use serde::Serialize;

use crate::store::answer::{Answer, SDK_RETRY_SECONDS, Slot, Style};
use crate::store::delivery::Delivery;
use crate::store::new_event::NewEvent;
use crate::store::otlp;
use crate::store::plan::{FindOutcome, FindPlan, StoreOutcome, StorePlan};
use crate::vocabulary::counted;
use crate::vocabulary::facts::{Counts, Facts};
use crate::vocabulary::id::{EventId, RequestId};
use crate::vocabulary::refused::Refused;
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::reply::Reply;

/// The outcome for one sent event.
enum Verdict {
    Accepted(EventId),
    Duplicate(EventId),
    Invalid(Rejection),
    Retry(EventId),
    Overloaded(EventId),
    Limited(EventId, Refused),
}

impl StorePlan {
    /// The reply, given one outcome for each of [`StorePlan::events`], in their order. A missing outcome counts as
    /// [`StoreOutcome::Unavailable`].
    pub fn respond(self, outcomes: Vec<StoreOutcome>) -> Reply {
        let Self { events, answer, standing, shared_with, .. } = self;
        let refused = standing.refused.or_else(|| limited(&outcomes));
        let verdict = |slot| Verdict::of(slot, &events, &outcomes);
        let mut reply = match (answer, refused) {
            // Nothing was kept, so the client may send all of it again.
            (answer, Some(refused)) => none_kept(&answer, &Rejection::Limited(refused), events.len()),
            (Answer::One(slot, request_id), None) => verdict(slot).reply(request_id),
            (answer @ Answer::Batch(..), None) if is_overloaded(&outcomes) => {
                none_kept(&answer, &Rejection::Overloaded, events.len())
            }
            (Answer::Batch(slots, _), None) => batch_reply(slots.into_iter().map(verdict)),
            (Answer::Door(style, slots, request_id), None) => {
                door_reply(style, slots.into_iter().map(verdict), request_id)
            }
        };
        reply.headers.extend(standing.headers());
        reply.shared_with(shared_with.as_deref())
    }

    /// What to do with the message that brought these events. `outcomes` are as for [`StorePlan::respond`].
    pub fn deliver(self, outcomes: Vec<StoreOutcome>) -> Delivery {
        self.respond(outcomes).delivery()
    }
}

/// The reply where nothing was kept.
fn none_kept(answer: &Answer, rejection: &Rejection, events: usize) -> Reply {
    let mut reply = answer.again(rejection);
    reply.facts.events.retry = events as u64;
    reply
}

/// Why all events were refused, if they were. The longest wait counts.
fn limited(outcomes: &[StoreOutcome]) -> Option<Refused> {
    let refused = |outcome: &StoreOutcome| match outcome {
        StoreOutcome::Limited(refused) => Some(*refused),
        _ => None,
    };
    let all: Vec<Refused> = outcomes.iter().map(refused).collect::<Option<_>>()?;
    all.into_iter().max_by_key(|refused| refused.retry_after)
}

fn is_overloaded(outcomes: &[StoreOutcome]) -> bool {
    !outcomes.is_empty() && outcomes.iter().all(|outcome| *outcome == StoreOutcome::Overloaded)
}

impl FindPlan {
    /// The reply, given what the host found.
    pub fn respond(self, found: FindOutcome) -> Reply {
        let reply = match found {
            FindOutcome::Found(record) => Reply::of_json(200, counted::record(&record).into()),
            FindOutcome::Absent => Rejection::NoEvent.reply(self.request_id),
            FindOutcome::Unavailable => Rejection::Unavailable.reply(self.request_id),
        };
        reply.for_head(self.is_head)
    }
}

impl Verdict {
    #[allow(clippy::indexing_slicing, reason = "a slot's place is that of its event in the same plan")]
    fn of(slot: Slot, events: &[NewEvent], outcomes: &[StoreOutcome]) -> Self {
        let (at, digest, first) = match slot {
            Slot::Rejected(rejection) => return Self::Invalid(rejection),
            Slot::New { at, .. } => (at, events[at].digest, true),
            Slot::Repeated { at, digest } => (at, digest, false),
        };
        let NewEvent { id, digest: planned, .. } = events[at];
        match outcomes.get(at) {
            None | Some(StoreOutcome::Unavailable) => Self::Retry(id),
            Some(StoreOutcome::Overloaded) => Self::Overloaded(id),
            Some(StoreOutcome::Limited(refused)) => Self::Limited(id, *refused),
            Some(StoreOutcome::Stored) if first => Self::Accepted(id),
            Some(StoreOutcome::Stored) if planned == digest => Self::Duplicate(id),
            // Nobody else knows an id that was made for this request, so an equal stored event is its own earlier try.
            Some(StoreOutcome::Existing(kept)) if *kept == digest && matches!(slot, Slot::New { named: false, .. }) => {
                Self::Accepted(id)
            }
            Some(StoreOutcome::Existing(kept)) if *kept == digest => Self::Duplicate(id),
            Some(StoreOutcome::Stored | StoreOutcome::Existing(_)) => Self::Invalid(Rejection::Conflict(id)),
        }
    }

    fn counts(&self) -> Counts {
        let none = Counts::default();
        match self {
            Self::Accepted(_) => Counts { accepted: 1, ..none },
            Self::Duplicate(_) => Counts { duplicate: 1, ..none },
            Self::Invalid(_) => Counts { invalid: 1, ..none },
            Self::Retry(_) | Self::Overloaded(_) | Self::Limited(..) => Counts { retry: 1, ..none },
        }
    }

    /// The answer to a request for this single event.
    fn reply(self, request_id: RequestId) -> Reply {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body {
            event_id: EventId,
            message: &'static str,
            #[serde(skip_serializing_if = "std::ops::Not::not")]
            duplicate: bool,
        }
        let mut facts = Facts { events: self.counts(), ..Facts::default() };
        let kept = |event_id, message, duplicate| Reply::json(202, &Body { event_id, message, duplicate });
        let reply = match self {
            Self::Accepted(id) => kept(id, "event accepted", false),
            Self::Duplicate(id) => kept(id, "event was accepted before", true),
            Self::Invalid(rejection) => {
                facts.first_rejected = Some(first_rejected(0, &rejection));
                rejection.reply(request_id)
            }
            Self::Retry(_) => Rejection::Unavailable.reply(request_id),
            Self::Overloaded(_) => Rejection::Overloaded.reply(request_id),
            Self::Limited(_, refused) => Rejection::Limited(refused).reply(request_id),
        };
        Reply { facts: Facts { code: reply.facts.code, ..facts }, ..reply }
    }
}

fn batch_reply(verdicts: impl Iterator<Item = Verdict>) -> Reply {
    #[derive(Serialize)]
    struct Body {
        accepted: usize,
        duplicate: usize,
        invalid: usize,
        retry: usize,
        results: Vec<EventResult>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct EventResult {
        index: usize,
        status: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        event_id: Option<EventId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    }
    let mut body = Body { accepted: 0, duplicate: 0, invalid: 0, retry: 0, results: Vec::new() };
    let mut facts = Facts::default();
    for (index, verdict) in verdicts.enumerate() {
        let (status, count, event_id, rejection) = match verdict {
            Verdict::Accepted(id) => ("accepted", &mut body.accepted, Some(id), None),
            Verdict::Duplicate(id) => ("duplicate", &mut body.duplicate, Some(id), None),
            Verdict::Invalid(rejection) => ("invalid", &mut body.invalid, None, Some(rejection)),
            Verdict::Retry(id) | Verdict::Overloaded(id) | Verdict::Limited(id, _) => {
                ("retry", &mut body.retry, Some(id), None)
            }
        };
        *count += 1;
        if let Some(rejection) = &rejection {
            *facts.rejected.entry(rejection.code()).or_default() += 1;
            facts.first_rejected.get_or_insert_with(|| first_rejected(index, rejection));
        }
        body.results.push(EventResult {
            index,
            status,
            event_id,
            code: rejection.as_ref().map(Rejection::code),
            message: rejection.as_ref().map(Rejection::message),
        });
    }
    let Body { accepted, duplicate, invalid, retry, .. } = body;
    let count = |events| events as u64;
    facts.events =
        Counts { accepted: count(accepted), duplicate: count(duplicate), invalid: count(invalid), retry: count(retry) };
    Reply { facts, ..Reply::json(200, &body) }
}

/// The place and the code, for the operator. The message may quote what the client sent.
fn first_rejected(index: usize, rejection: &Rejection) -> String {
    format!("event {index}: {}", rejection.code())
}

/// The answer to another protocol's client. Such a client sends all of a request again or nothing, so the answer is that
/// of its worst event: first one that the store did not take, then one that was wrong if all were. Of those that the store
/// did not take, the one whose wait is longest decides, unless the store did not answer.
fn door_reply(style: Style, verdicts: impl Iterator<Item = Verdict>, request_id: RequestId) -> Reply {
    #[derive(Serialize)]
    struct Body {
        success: bool,
        accepted: usize,
        duplicate: usize,
        invalid: usize,
        #[serde(skip_serializing_if = "Vec::is_empty")]
        results: Vec<Problem>,
    }
    #[derive(Serialize)]
    struct Problem {
        index: usize,
        code: &'static str,
        message: String,
    }
    let mut body = Body { success: true, accepted: 0, duplicate: 0, invalid: 0, results: Vec::new() };
    let (mut first_wrong, mut not_kept, mut longest_limit) = (None, None, None);
    let mut facts = Facts::default();
    for (index, verdict) in verdicts.enumerate() {
        match verdict {
            Verdict::Accepted(_) => body.accepted += 1,
            // These clients give each event a new id, and may add fields when they send it again. So other content
            // under the same id is a duplicate.
            Verdict::Duplicate(_) | Verdict::Invalid(Rejection::Conflict(_)) => body.duplicate += 1,
            Verdict::Invalid(rejection) => {
                body.invalid += 1;
                *facts.rejected.entry(rejection.code()).or_default() += 1;
                facts.first_rejected.get_or_insert_with(|| first_rejected(index, &rejection));
                body.results.push(Problem { index, code: rejection.code(), message: rejection.message() });
                first_wrong = first_wrong.or(Some(rejection));
            }
            Verdict::Overloaded(_) => {
                facts.events.retry += 1;
                not_kept = not_kept.or(Some(Rejection::Overloaded));
            }
            Verdict::Limited(_, refused) => {
                facts.events.retry += 1;
                let known = longest_limit.filter(|known: &Refused| known.retry_after >= refused.retry_after);
                longest_limit = known.or(Some(refused));
            }
            Verdict::Retry(_) => {
                facts.events.retry += 1;
                not_kept = Some(Rejection::Unavailable);
            }
        }
    }
    let count = |events| events as u64;
    let Body { accepted, duplicate, invalid, .. } = body;
    facts.events = Counts {
        accepted: count(accepted),
        duplicate: count(duplicate),
        invalid: count(invalid),
        retry: facts.events.retry,
    };
    let longest_limit = longest_limit.filter(|limit| not_kept.is_none() || limit.retry_after > SDK_RETRY_SECONDS);
    let refusal = match not_kept {
        Some(Rejection::Unavailable) => not_kept,
        _ => longest_limit.map(Rejection::Limited).or(not_kept),
    };
    let mut reply = match (refusal, style, first_wrong) {
        (Some(rejection), ..) => style.again(&rejection, request_id),
        (None, Style::Otlp, first) => Reply::of_json(200, otlp::json(body.invalid, first.as_ref())),
        (None, Style::OtlpProtobuf, first) => otlp::protobuf(body.invalid, first.as_ref()),
        (None, _, Some(rejection)) if body.accepted + body.duplicate == 0 => {
            Rejection::BadRequest(Box::new(rejection)).reply(request_id)
        }
        _ => Reply::json(200, &body),
    };
    facts.code = reply.facts.code;
    reply.facts = facts;
    reply
}
