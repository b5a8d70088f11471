//! The replies to clients, made once the host has reported the outcome of its plan.

use serde::Serialize;

use crate::store::answer::{Answer, Slot, Style};
use crate::store::delivery::Delivery;
use crate::store::otlp;
use crate::store::plan::{FindOutcome, FindPlan, NewEvent, StoreOutcome, StorePlan};
use crate::vocabulary::id::{EventId, RequestId};
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::reply::Reply;

/// The outcome for one sent event.
enum Verdict {
    Accepted(EventId),
    Duplicate(EventId),
    Invalid(Rejection),
    Retry(EventId),
    Overloaded(EventId),
}

impl StorePlan {
    /// The reply, given one outcome for each of [`StorePlan::events`], in their order. A missing outcome counts as
    /// [`StoreOutcome::Unavailable`].
    pub fn respond(self, outcomes: Vec<StoreOutcome>) -> Reply {
        let Self { events, answer, shared_with, .. } = self;
        let verdict = |slot| Verdict::of(slot, &events, &outcomes);
        let reply = match answer {
            Answer::One(slot, request_id) => verdict(slot).reply(request_id),
            // Nothing in the batch was kept, so the client may send all of it again.
            Answer::Batch(_, request_id) if is_overloaded(&outcomes) => Rejection::Overloaded.reply(request_id),
            Answer::Batch(slots, _) => batch_reply(slots.into_iter().map(verdict)),
            Answer::Door(style, slots, request_id) => door_reply(style, slots.into_iter().map(verdict), request_id),
        };
        reply.shared_with(shared_with.as_deref())
    }

    /// What to do with the message that brought these events. `outcomes` are as for [`StorePlan::respond`].
    pub fn deliver(self, outcomes: Vec<StoreOutcome>) -> Delivery {
        let Self { events, answer, .. } = self;
        let slots = match answer {
            Answer::One(slot, _) => vec![slot],
            Answer::Batch(slots, _) | Answer::Door(_, slots, _) => slots,
        };
        let mut rejected = String::new();
        for (index, slot) in slots.into_iter().enumerate() {
            match Verdict::of(slot, &events, &outcomes) {
                Verdict::Accepted(_) | Verdict::Duplicate(_) => {}
                Verdict::Retry(_) | Verdict::Overloaded(_) => return Delivery::Retry,
                Verdict::Invalid(rejection) if rejected.is_empty() => {
                    rejected = format!("event {index}: {}", rejection.message())
                }
                Verdict::Invalid(_) => {}
            }
        }
        if rejected.is_empty() { Delivery::Done } else { Delivery::Rejected(rejected) }
    }
}

fn is_overloaded(outcomes: &[StoreOutcome]) -> bool {
    !outcomes.is_empty() && outcomes.iter().all(|outcome| *outcome == StoreOutcome::Overloaded)
}

impl FindPlan {
    /// The reply, given what the host found.
    pub fn respond(self, found: FindOutcome) -> Reply {
        let reply = match found {
            FindOutcome::Found(record) => Reply::of_json(200, record.into_bytes()),
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
        let (event_id, message, duplicate) = match self {
            Self::Accepted(id) => (id, "event accepted", false),
            Self::Duplicate(id) => (id, "event was accepted before", true),
            Self::Invalid(rejection) => return rejection.reply(request_id),
            Self::Retry(_) => return Rejection::Unavailable.reply(request_id),
            Self::Overloaded(_) => return Rejection::Overloaded.reply(request_id),
        };
        Reply::json(202, &Body { event_id, message, duplicate })
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
    for (index, verdict) in verdicts.enumerate() {
        let (status, count, event_id, rejection) = match verdict {
            Verdict::Accepted(id) => ("accepted", &mut body.accepted, Some(id), None),
            Verdict::Duplicate(id) => ("duplicate", &mut body.duplicate, Some(id), None),
            Verdict::Invalid(rejection) => ("invalid", &mut body.invalid, None, Some(rejection)),
            Verdict::Retry(id) | Verdict::Overloaded(id) => ("retry", &mut body.retry, Some(id), None),
        };
        *count += 1;
        body.results.push(EventResult {
            index,
            status,
            event_id,
            code: rejection.as_ref().map(Rejection::code),
            message: rejection.as_ref().map(Rejection::message),
        });
    }
    Reply::json(200, &body)
}

/// The answer to another protocol's client. Such a client sends all of a request again or nothing, so the answer is that
/// of its worst event: first one that the store did not take, then one that was wrong if all were.
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
    let (mut first, mut retry) = (None, None);
    for (index, verdict) in verdicts.enumerate() {
        match verdict {
            Verdict::Accepted(_) => body.accepted += 1,
            // These clients name an event anew for each event, so the same name with other content is the same event:
            // they add to it when they send it again.
            Verdict::Duplicate(_) | Verdict::Invalid(Rejection::Conflict(_)) => body.duplicate += 1,
            Verdict::Invalid(rejection) => {
                body.invalid += 1;
                body.results.push(Problem { index, code: rejection.code(), message: rejection.message() });
                first = first.or(Some(rejection));
            }
            Verdict::Overloaded(_) => retry = retry.or(Some(Rejection::Overloaded)),
            Verdict::Retry(_) => retry = Some(Rejection::Unavailable),
        }
    }
    if let Some(rejection) = retry {
        let reply = match style {
            Style::NoTooMany => rejection.unavailable(request_id),
            _ => rejection.reply(request_id),
        };
        return reply.resetting_at(request_id.received_at());
    }
    match (style, first) {
        (Style::Otlp, first) => Reply::of_json(200, otlp::json(body.invalid, first.as_ref())),
        (Style::OtlpProtobuf, first) => otlp::protobuf(body.invalid, first.as_ref()),
        (_, Some(rejection)) if body.accepted + body.duplicate == 0 => {
            Rejection::BadRequest(Box::new(rejection)).reply(request_id)
        }
        _ => Reply::json(200, &body),
    }
}
