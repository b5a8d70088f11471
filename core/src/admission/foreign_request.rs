//! A request of another protocol's client: its tenant, and its events. [`crate::doors`] knows the protocols.

use std::borrow::Cow;

use crate::admission::access::Credential;
use crate::admission::config::Config;
use crate::admission::event::Event;
use crate::admission::intake::Intake;
use crate::admission::request::Request;
use crate::admission::scope::Caller;
use crate::admission::webhooks::Sender;
use crate::admission::{body, cors};
use crate::doors::Dialect;
use crate::store::answer::{Answer, Slot, Style};
use crate::store::plan::Admission;
use crate::vocabulary::id::RequestId;
use crate::vocabulary::limits::Limits;
use crate::vocabulary::rejection::Rejection;
use crate::vocabulary::tenant::Tenant;
use crate::vocabulary::time::Stamp;

const LIMITS: Limits = Limits::CONTRACT;

/// A request of another protocol's client whose head is valid.
#[derive(Debug)]
pub(crate) struct ForeignRequest<'a> {
    config: &'a Config,
    dialect: Dialect,
    from: From<'a>,
    /// The content type, without its parameters.
    essence: Cow<'a, str>,
}

/// What says which tenant a request belongs to.
#[derive(Debug)]
pub(crate) enum From<'a> {
    /// Its head says so.
    Caller(Caller<'a>),
    /// Its body does, by a key.
    KeyInBody,
    /// Its path names this sender, who must have signed the body.
    Sender(&'a Sender),
}

const ONE_TYPE: &str = "one content type";

impl<'a> ForeignRequest<'a> {
    pub(crate) fn of(
        config: &'a Config,
        dialect: Dialect,
        from: From<'a>,
        head: &'a Request<'_>,
    ) -> Result<Self, Rejection> {
        let media_type = body::media_type(head);
        let essence = media_type.filter(|(essence, is_utf8)| *is_utf8 || dialect.takes_any_charset(essence));
        let essence = essence.map(|(essence, _)| essence);
        // A repeated or non-UTF-8 content type is refused.
        let refused = essence.as_ref().map_or(Some(ONE_TYPE), |essence| dialect.refuses(essence));
        let essence = match (essence, refused) {
            (Some(essence), None) => essence,
            (_, taken) => return Err(body::unsupported(head, taken.unwrap_or(ONE_TYPE))),
        };
        let request = Self { config, dialect, from, essence };
        if body::announces_more(head, request.body_bytes()) { Err(request.too_large()) } else { Ok(request) }
    }

    /// How many bytes the body may have, as sent. Little is read for someone who is not known yet.
    pub(crate) fn body_bytes(&self) -> usize {
        if self.is_known() { LIMITS.body_bytes } else { LIMITS.keyless_bytes }
    }

    /// `true` if the head tells who sends the request.
    pub(crate) fn is_known(&self) -> bool {
        matches!(self.from, From::Caller(_))
    }

    /// The tenant of the caller, if the head tells.
    pub(crate) fn tenant(&self) -> Option<&Tenant> {
        if let From::Caller(caller) = &self.from { Some(&caller.tenant) } else { None }
    }

    /// How its answer looks.
    pub(crate) fn style(&self) -> Style {
        self.dialect.style(&self.essence)
    }

    fn too_large(&self) -> Rejection {
        self.dialect.rejection(match self.from {
            From::Caller(_) => Rejection::BodyTooLarge,
            From::KeyInBody | From::Sender(_) => Rejection::KeylessBodyTooLarge,
        })
    }

    /// Decides on the request, with this body. `shared_with` is as for a [`crate::Door`].
    pub(crate) fn admit(
        self,
        head: &Request<'_>,
        body: &[u8],
        stamp: Stamp,
        shared_with: &mut Option<&str>,
    ) -> Result<Admission, Rejection> {
        if body.len() > self.body_bytes() {
            return Err(self.too_large());
        }
        let dialect = self.dialect;
        self.read(head, body, stamp, shared_with).map_err(|rejection| dialect.rejection(rejection))
    }

    fn read(
        self,
        head: &Request<'_>,
        body: &[u8],
        stamp: Stamp,
        shared_with: &mut Option<&str>,
    ) -> Result<Admission, Rejection> {
        let body = body::inflated(head, body)?;
        let json = self.dialect.json(head, &self.essence, &body)?;
        let text = body::text(&json)?;
        let style = self.style();
        let caller = match self.from {
            From::Caller(caller) => caller,
            From::Sender(sender) => sender.authorize(head, &body)?,
            From::KeyInBody => {
                let key = self.dialect.key(text);
                let credential = key.as_deref().map_or(Credential::Authorization(None), Credential::Published);
                cors::writer(self.config, head, credential, stamp, shared_with)?
            }
        };
        let events = self.dialect.events(head, &self.essence, text, caller.key)?;
        match events.len() {
            0 if !self.dialect.may_be_empty() => return Err(Rejection::NoEvents),
            count if count > LIMITS.batch_events => return Err(Rejection::TooManyEvents),
            _ => {}
        }
        let mut intake = Intake::new(self.config, caller, head, stamp);
        let privacy = &self.config.privacy;
        let mut slot = |foreign| intake.take(Event::of_foreign(foreign, stamp.received_at, privacy)?);
        let slots = events.into_iter().map(|event| event.and_then(&mut slot).unwrap_or_else(Slot::Rejected)).collect();
        Ok(intake.plan(Answer::Door(style, slots, RequestId::of(stamp))))
    }
}
