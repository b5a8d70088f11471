//! What clients send, and the rules for the answers.

use std::cell::RefCell;
use std::rc::Rc;

use isotherm_core::{Admission, Digest, EventId, Millis, Plan, RETENTION, Reply, Request, Stamp};
use serde_json::{Value, json};

use crate::platform::Platform;
use crate::truth::Kept;
use crate::world::{DAY, HOUR, SECOND, TENANTS, World, key};

/// The bytes that make an event large. An event's limit is 32 KiB.
const LARGE: usize = 30_000;
/// Most repetitions pick one of this many events that were sent last.
const LATELY: u64 = 40;
/// About this many events expire between two deletions of expired events.
const LATELY_EXPIRED: usize = 8;

/// All clients of all tenants.
pub(crate) struct Clients {
    pub(crate) world: Rc<World>,
    sent: RefCell<Vec<Sent>>,
    messages: RefCell<u64>,
}

/// An event as a client sends it.
#[derive(Clone, Debug)]
struct Sent {
    tenant: usize,
    message: Option<u64>,
    at: Millis,
    content: Rc<Value>,
}

/// An event of a request on its way.
struct Asked {
    id: EventId,
    digest: Digest,
}

impl Clients {
    pub(crate) fn new(world: &Rc<World>) -> Self {
        Self { world: Rc::clone(world), sent: RefCell::default(), messages: RefCell::default() }
    }

    /// The events of one request, new ones and some that were sent before, with the index of their tenant.
    fn events(&self, count: u64, size: usize) -> (usize, Vec<Value>) {
        let world = &self.world;
        let tenants = world.service().tenants().len() as u64;
        let tenant = world.below(tenants) as usize;
        let (mut events, mut messages) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let Sent { message, content, .. } = self.again(tenant).unwrap_or_else(|| self.new_event(tenant, size));
            // A request has no messageId twice.
            if let Some(message) = message {
                if messages.contains(&message) {
                    continue;
                }
                messages.push(message);
            }
            events.push(Value::clone(&content));
        }
        (tenant, events)
    }

    fn new_event(&self, tenant: usize, size: usize) -> Sent {
        let world = &self.world;
        let user = format!("u{}", world.below(30));
        let event_type = ["view", "buy", "buy more"][world.below(3) as usize];
        let (carrier, n) = (["UA", "AA", "B6", "é"][world.below(4) as usize], world.below(2000) as i64 - 500);
        let properties = json!({ "carrier": carrier, "n": n });
        let mut event = json!({ "userId": user, "eventType": event_type, "properties": properties });
        if size > 0 {
            event["properties"]["pad"] = json!(["x".repeat(size)]);
        }
        // Some events come late.
        let late = [0, world.below(HOUR), world.below(3 * DAY), world.below(40 * DAY)][world.below(4) as usize];
        if !world.one_in(4) {
            event["timestamp"] = json!(world.now().0 - late);
        }
        let message = (!world.one_in(4)).then(|| self.messages.replace_with(|last| *last + 1));
        if let Some(message) = message {
            event["messageId"] = json!(format!("m{message}"));
        }
        let sent = Sent { tenant, message, at: world.now(), content: Rc::new(event) };
        // Large events and those of a flood are not sent again: that would be another flood.
        if message.is_some() && size == 0 {
            self.sent.borrow_mut().push(sent.clone());
        }
        sent
    }

    /// An event that was sent before. It is usually unchanged, and sometimes has other content under its messageId.
    fn again(&self, tenant: usize) -> Option<Sent> {
        let (world, sent) = (&self.world, self.sent.borrow());
        if !world.one_in(4) || sent.is_empty() {
            return None;
        }
        if world.one_in(4)
            && let Some(expired) = self.expired().filter(|expired| expired.tenant == tenant)
        {
            return Some(expired);
        }
        let among = if world.one_in(3) { sent.len() as u64 } else { LATELY.min(sent.len() as u64) };
        let again =
            sent.get(sent.len() - 1 - world.below(among) as usize).filter(|sent| sent.tenant == tenant)?.clone();
        if !world.one_in(3) {
            return Some(again);
        }
        let mut content = Value::clone(&again.content);
        content["properties"]["n"] = json!(world.below(2000));
        Some(Sent { content: Rc::new(content), ..again })
    }

    /// One of the events that have expired lately. They may not be deleted yet.
    fn expired(&self) -> Option<Sent> {
        let (world, sent) = (&self.world, self.sent.borrow());
        // Retention depends on the type, so the caller checks that this event has expired.
        let at = if world.retention().is_empty() { 0 } else { world.below(1 + world.retention().len() as u64) };
        let days = world.retention().get(at as usize).map_or(RETENTION.0 * SECOND, |(_, days)| days * DAY);
        let expired = sent.partition_point(|sent| sent.at.0 + days <= world.now().0);
        let expired = sent.get(..expired)?.last_chunk::<LATELY_EXPIRED>()?;
        // The newest is the least likely to be deleted already, so it is sent half the time.
        let ago = if world.one_in(2) { 0 } else { world.below(LATELY_EXPIRED as u64) };
        expired.iter().rev().nth(ago as usize).cloned()
    }

    /// Sends a few events, one alone or several in a batch.
    pub(crate) async fn send_some<P: Platform>(self: Rc<Self>, platform: Rc<P>) {
        let count = if self.world.one_in(2) { 1 } else { 1 + self.world.below(20) };
        self.send(platform, count, 0).await;
    }

    /// Sends as many events as a request takes.
    pub(crate) async fn send_many<P: Platform>(self: Rc<Self>, platform: Rc<P>) {
        self.send(platform, 500, 0).await;
    }

    /// Sends as many bytes as a request takes.
    pub(crate) async fn send_large<P: Platform>(self: Rc<Self>, platform: Rc<P>) {
        self.send(platform, 34, LARGE).await;
    }

    /// Sends an expired event again while nothing fails: its messageId is free.
    pub(crate) async fn send_expired_again<P: Platform>(self: Rc<Self>, platform: Rc<P>) {
        let (world, now) = (Rc::clone(&self.world), self.world.now());
        let tenants = world.service().tenants();
        let has_expired = |sent: &Sent| {
            let known = tenants.get(sent.tenant).zip(sent.message);
            let id = known.map(|(tenant, message)| EventId::of_message(tenant, &format!("m{message}")));
            let truth = world.truth.borrow();
            let kept = id.map_or(&[][..], |id| truth.of(TENANTS[sent.tenant], id));
            !kept.is_empty() && kept.iter().all(|kept| kept.expires_at <= now)
        };
        let Some(expired) = self.expired().filter(has_expired) else { return };
        let before = world.figures.borrow().events;
        self.post(platform, TENANTS[expired.tenant], vec![Value::clone(&expired.content)]).await;
        if world.figures.borrow().events == before {
            world.violated(format!("m{:?} has expired and is not free", expired.message));
        }
    }

    async fn send<P: Platform>(&self, platform: Rc<P>, count: u64, size: usize) {
        let (tenant, events) = self.events(count, size);
        self.post(platform, TENANTS[tenant], events).await;
    }

    async fn post<P: Platform>(&self, platform: Rc<P>, tenant: &str, events: Vec<Value>) {
        let (path, body) = match &events[..] {
            [event] => ("/events", event.to_string()),
            events => ("/events/batch", json!({ "events": events }).to_string()),
        };
        let headers = [("content-type", "application/json".to_owned()), authorization(tenant)];
        let request = Request { method: "POST", path, query: "", headers: &headers, body: body.as_bytes() };
        let Some(Plan::Store(plan)) = self.admit(&request) else {
            return;
        };
        let began = self.world.now();
        let asked: Vec<_> = plan.events().iter().map(|event| Asked { id: event.id, digest: event.digest }).collect();
        let plan = Rc::new(plan);
        let outcomes = platform.store(Rc::clone(&plan)).await;
        let Some(plan) = Rc::into_inner(plan) else { return };
        self.check_stored(tenant, &asked, plan.respond(outcomes), began);
    }

    pub(crate) fn admit(&self, request: &Request<'_>) -> Option<Plan> {
        self.world.figures.borrow_mut().requests += 1;
        let stamp = Stamp { received_at: self.world.now(), entropy: self.world.bits() };
        match self.world.service().admit(request, stamp) {
            Admission::Plan(plan) => Some(plan),
            Admission::Reply(reply) => {
                let answer = String::from_utf8_lossy(&reply.body).into_owned();
                self.world.violated(format!("{} is answered {}: {answer}", request.path, reply.status));
                None
            }
        }
    }

    fn check_stored(&self, tenant: &str, asked: &[Asked], reply: Reply, began: Millis) {
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        self.world.say(|| format!("{} of {} events of {tenant}", reply.status, asked.len()));
        let results = match (reply.status, asked) {
            (202, _) if body["duplicate"] == true => vec!["duplicate"],
            (202, _) => vec!["accepted"],
            (409, _) => vec!["conflict"],
            (429 | 503, _) => return,
            (200, _) => {
                let results = body["results"].as_array().map_or(&[][..], Vec::as_slice);
                let result = |result: &'static str, code: &Value| if code == "conflict" { "conflict" } else { result };
                let name = |value: &Value| match value["status"].as_str() {
                    Some("accepted") => "accepted",
                    Some("duplicate") => "duplicate",
                    Some("retry") => "retry",
                    _ => result("invalid", &value["code"]),
                };
                results.iter().map(name).collect()
            }
            _ => return self.world.violated(format!("events are answered {}: {body}", reply.status)),
        };
        if results.len() != asked.len() {
            return self.world.violated(format!("{} events have {} results", asked.len(), results.len()));
        }
        for (Asked { id, digest }, result) in asked.iter().zip(results) {
            self.check_result(tenant, *id, *digest, result, began);
        }
    }

    /// Checks that the result a client gets for an event agrees with what the store keeps.
    fn check_result(&self, tenant: &str, id: EventId, digest: Digest, result: &str, began: Millis) {
        let now = self.world.now();
        let kept = self.world.truth.borrow().of(tenant, id).to_vec();
        let is_same = |kept: &Kept| kept.digest == digest;
        // Events that had expired when the request came do not count, deleted or not.
        let mut lasting = kept.iter().filter(|kept| kept.expires_at > began);
        let broken = match result {
            "accepted" if !kept.last().is_some_and(is_same) => "is accepted and not kept",
            "accepted" if kept.iter().any(|kept| kept.kept_at < began && kept.expires_at > now) => "is new once more",
            "accepted" if self.world.truth.borrow_mut().tell(tenant, id) => "is accepted twice",
            "duplicate" if !lasting.any(is_same) => "is not there and is a duplicate",
            "conflict" if lasting.all(is_same) => "is in conflict with nothing",
            "accepted" | "duplicate" | "conflict" | "retry" => return,
            _ => "is refused",
        };
        self.world.violated(format!("{id} of {tenant} {broken}"));
    }

    /// Looks an event up.
    pub(crate) async fn look_up<P: Platform>(self: Rc<Self>, platform: Rc<P>) {
        let world = &self.world;
        let Some(Sent { tenant, message: Some(message), .. }) = ({
            let sent = self.sent.borrow();
            let any = sent.get(world.below(sent.len() as u64) as usize).cloned();
            if world.one_in(3) { self.expired().or(any) } else { any }
        }) else {
            return;
        };
        let Some(known) = world.service().tenants().into_iter().find(|known| known.as_str() == TENANTS[tenant]) else {
            return;
        };
        let id = EventId::of_message(&known, &format!("m{message}"));
        let path = format!("/events/{id}");
        let request =
            Request { method: "GET", path: &path, query: "", headers: &[authorization(known.as_str())], body: &[] };
        let Some(Plan::Find(plan)) = self.admit(&request) else { return };
        let began = world.now();
        let found = platform.find(&plan).await;
        let reply = plan.respond(found);
        let (truth, now) = (world.truth.borrow(), world.now());
        let kept = truth.of(known.as_str(), id);
        world.say(|| format!("{} of a look-up of {id}", reply.status));
        let is_there = kept.iter().any(|kept| kept.kept_at < began && kept.expires_at > now);
        match reply.status {
            200 if !kept.iter().any(|kept| kept.expires_at > began && kept.record.as_bytes() == reply.body) => {
                world.violated(format!("{id} is found and is not there"));
            }
            404 if is_there => world.violated(format!("{id} is kept and not found")),
            200 | 404 | 503 => {}
            status => world.violated(format!("a look-up is answered {status}")),
        }
    }
}

/// The authorization header of a tenant's client.
pub(crate) fn authorization(tenant: &str) -> (&'static str, String) {
    ("authorization", format!("Bearer {}", key(tenant)))
}
