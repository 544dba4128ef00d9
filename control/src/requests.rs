//! What sessions ask, carried out one after the other in the lane of their device.
//! - Source: Azure IoT Hub, MQTT sessions: subscriptions outlive connections unless the client asks for a clean session.
//! - Invariants: a subscription is durable before it is answered. A newer session ends the older one. Every request that has an answer is
//!   answered or its session ended.
//! - Not here: twins (`twins`), methods (`methods`), commands (`deliveries`).

use std::sync::Arc;

use millrace_control_store::clock;
use millrace_control_store::documents::{ApplyError, Batch, Collection, Document, DocumentKey, Precondition, Write};
use millrace_control_twin::Twin;
use millrace_model::IdentityName;
use millrace_model::door::{EndReason, Refusal, Request, SessionKey, Subscription, Subscriptions, ToDevice};

use crate::control::Control;
use crate::events;
use crate::lanes::Asked;
use crate::sessions::Session;

/// First byte of a stored session.
const FORMAT: u8 = 1;

/// What is kept of an identity that connects.
struct Kept {
    session: Option<Document>,
    twin: Option<Document>,
    has_queue: bool,
}

impl Control {
    pub(crate) async fn carry_out(&self, asked: Asked) {
        let Asked { from, name, request } = asked;
        events::request();
        match request {
            Request::Refresh => self.refresh_for(from).await,
            Request::Open { clean, model_id } => {
                if let Err(refusal) = self.open(from, &name, clean, model_id.as_deref()).await {
                    self.tell_stranger(from, ToDevice::Refused(refusal)).await;
                }
            }
            Request::Close => self.close(from, &name).await,
            // All that follows comes from a live session, or from one that has been replaced meanwhile, to which nobody listens.
            request => {
                if let Some(session) = self.shared.sessions.touch(&name, from, clock::now()) {
                    self.carry_out_live(&name, session, request).await;
                }
            }
        }
    }

    async fn carry_out_live(&self, name: &Arc<IdentityName>, session: Session, request: Request) {
        match request {
            Request::Subscribe { added, token } => {
                let subscriptions = session.subscriptions.with(added);
                self.listen(name, session, subscriptions, token).await;
            }
            Request::Unsubscribe { removed, token } => {
                let subscriptions = session.subscriptions.without(removed);
                self.listen(name, session, subscriptions, token).await;
            }
            Request::ReadTwin { request_id } => self.answer_twin(name, session.key, request_id).await,
            Request::PatchReported { request_id, if_version, patch } => {
                self.answer_report(name, session.key, request_id, if_version, &patch).await;
            }
            Request::MethodAnswered { call, status, payload } => {
                self.shared.calls.answered(session.key, call, status, payload);
            }
            Request::CommandTaken { lock } => self.command_taken(name, session, lock).await,
            Request::Refresh | Request::Open { .. } | Request::Close => {}
        }
    }

    async fn open(
        &self,
        key: SessionKey,
        name: &Arc<IdentityName>,
        is_clean: bool,
        model_id: Option<&str>,
    ) -> Result<(), Refusal> {
        let kept = self.kept(name).await?;
        let subscriptions = self.resumed(name, is_clean, kept.session.as_ref()).await?;
        self.note_model(name, model_id, kept.twin.as_ref()).await?;
        let now = clock::now();
        let session = Session { key, subscriptions, is_clean, since: now, active: now };
        if let Some(older) = self.shared.sessions.open(name, session).filter(|older| older.key != key) {
            self.shared.calls.session_ended(older.key);
            self.tell_stranger(older.key, ToDevice::End(EndReason::TakenOver)).await;
        }
        let opened = ToDevice::Opened { is_present: !subscriptions.is_empty(), subscriptions };
        if !self.tell(name, key, opened).await {
            self.shared.sessions.close(name, key, now);
            return Ok(());
        }
        if subscriptions.has(Subscription::Methods) {
            self.shared.calls.arrived(name);
        }
        // A queue that came about since it was looked for has a deadline by now, or was noted by another node, or its command's sender
        // sees this session.
        let device_id = name.device_id();
        if kept.has_queue || self.shared.deadlines.contains(device_id) || self.shared.noted.contains(device_id) {
            self.session_opened(name, session).await;
        }
        Ok(())
    }

    async fn kept(&self, name: &IdentityName) -> Result<Kept, Refusal> {
        let keys = [Collection::Session, Collection::Twin, Collection::CommandQueue]
            .map(|collection| DocumentKey::of(collection, name));
        let found = self.shared.documents.read_many(&keys).await.map_err(|error| {
            events::store_failed(&error);
            Refusal::Unavailable
        })?;
        let mut kept = Kept { session: None, twin: None, has_queue: false };
        for document in found {
            match document.key.collection {
                Collection::Session => kept.session = Some(document),
                Collection::Twin => kept.twin = Some(document),
                _ => kept.has_queue = true,
            }
        }
        Ok(kept)
    }

    /// What the session listens to from the start.
    async fn resumed(
        &self,
        name: &IdentityName,
        is_clean: bool,
        stored: Option<&Document>,
    ) -> Result<Subscriptions, Refusal> {
        let Some(stored) = stored else { return Ok(Subscriptions::default()) };
        if !is_clean {
            return Ok(decoded(&stored.body));
        }
        let removal = Write::remove(DocumentKey::of(Collection::Session, name), Precondition::Any);
        let batch = Batch { identity: None, writes: vec![removal] };
        self.shared.documents.apply(batch).await.map_err(|error| refusal(&error))?;
        Ok(Subscriptions::default())
    }

    /// Notes the model that the device announces, if it is another one than before.
    async fn note_model(
        &self,
        name: &IdentityName,
        model_id: Option<&str>,
        stored: Option<&Document>,
    ) -> Result<(), Refusal> {
        let known = stored.map(|document| Twin::decode(&document.body)).transpose();
        // A twin that cannot be read is no reason to keep its device out.
        let Ok(known) = known.inspect_err(|error| events::corrupt("twin", error)) else { return Ok(()) };
        if known.as_ref().and_then(Twin::model_id) == model_id {
            return Ok(());
        }
        self.announce_model(name, model_id).await.map_err(|error| match error.status {
            404 => Refusal::Unauthorized,
            _ => Refusal::Unavailable,
        })
    }

    async fn close(&self, key: SessionKey, name: &Arc<IdentityName>) {
        let closed = self.shared.sessions.close(name, key, clock::now());
        // In this order: a call that is noted after this finds the session gone.
        self.shared.calls.session_ended(key);
        if closed.is_some() {
            self.session_closed(name, key).await;
        }
    }

    /// Changes what a session listens to: first in the store, then in the table, then the answer.
    async fn listen(&self, name: &Arc<IdentityName>, session: Session, subscriptions: Subscriptions, token: u32) {
        let changed = subscriptions != session.subscriptions;
        if changed && !session.is_clean && !self.keep_subscriptions(name, session.key, subscriptions).await {
            return;
        }
        self.shared.sessions.listen(name, session.key, subscriptions);
        self.tell(name, session.key, ToDevice::Subscribed { token, subscriptions }).await;
        if subscriptions.has(Subscription::Methods) {
            self.shared.calls.arrived(name);
        }
        if subscriptions.has(Subscription::Commands) && !session.subscriptions.has(Subscription::Commands) {
            self.deliver(name).await;
        }
    }

    /// Whether they are durable; if not, the session is told to end, because there is no answer for "later".
    async fn keep_subscriptions(&self, name: &IdentityName, key: SessionKey, subscriptions: Subscriptions) -> bool {
        let document = DocumentKey::of(Collection::Session, name);
        let write = if subscriptions.is_empty() {
            Write::remove(document, Precondition::Any)
        } else {
            Write::put(document, Precondition::Any, encoded(subscriptions))
        };
        let batch = Batch { identity: Some(name.clone()), writes: vec![write] };
        let Err(error) = self.shared.documents.apply(batch).await else { return true };
        refusal(&error);
        self.tell(name, key, ToDevice::End(EndReason::Unavailable)).await;
        false
    }
}

fn encoded(subscriptions: Subscriptions) -> Vec<u8> {
    let [set, at_least_once] = subscriptions.to_bytes();
    vec![FORMAT, set, at_least_once]
}

/// What was stored; nothing for a form that this program does not know, so that the client is told that its session is not there.
fn decoded(body: &[u8]) -> Subscriptions {
    match body {
        &[FORMAT, set, at_least_once] => Subscriptions::from_bytes([set, at_least_once]),
        _ => Subscriptions::default(),
    }
}

fn refusal(error: &ApplyError) -> Refusal {
    match error {
        ApplyError::NoIdentity => Refusal::Unauthorized,
        ApplyError::Store(error) => {
            events::store_failed(error);
            Refusal::Unavailable
        }
        _ => Refusal::Unavailable,
    }
}
