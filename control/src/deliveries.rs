//! Commands on their way to live sessions, and what time does to queues.
//! - Source: Azure IoT Hub, cloud-to-device messages over MQTT: the acknowledgement completes; what is not acknowledged when the lock or
//!   the connection ends is delivered again.
//! - Invariants: a session gets commands in order, no more than its window before it has taken the first of them. A lock is durable before
//!   its command is handed over.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use millrace_control_command::{CommandError, Delivery, Input, LockToken, Message, Queue, Step, Take};
use millrace_control_store::clock;
use millrace_control_store::documents::{Collection, Scan};
use millrace_control_store::error::RegistryError;
use millrace_model::door::{SessionKey, Subscription, ToDevice};
use millrace_model::{HubError, IdentityName, Timestamp};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::control::Control;
use crate::events;
use crate::failure::hub_error;
use crate::limits::{ROWS_MAX, SETTLE_PAUSE, SETTLED_AT_ONCE, SLEEP_MAX};
use crate::queues::{Draft, body_key};
use crate::sessions::Session;

/// Locks what a session may take. What others held waits again by then and goes first: a command that is sent between the begin of a
/// session and [`Control::session_opened`] does not overtake what the session before it had.
pub(crate) fn offer(control: &Control, draft: &mut Draft<'_>, session: SessionKey) -> Result<(), CommandError> {
    draft.apply(Input::SessionOpened(session))?;
    let take = Take::by_session(session, &control.shared.settings.commands, control.shared.tokens.small());
    draft.apply(Input::Deliver(take))
}

impl Control {
    /// The session of a device, if it listens to commands.
    pub(crate) fn listener(&self, device: &IdentityName) -> Option<Session> {
        let session = self.shared.sessions.find(device)?;
        (session.subscriptions.has(Subscription::Commands) && device.module_id().is_none()).then_some(session)
    }

    /// Delivers what waits, if the device listens.
    pub(crate) async fn deliver(&self, device: &IdentityName) {
        let _turn = self.shared.queue_turns.turn(device.device_id()).await;
        self.deliver_in_turn(device).await;
    }

    /// Likewise. The caller holds the device's turn.
    pub(crate) async fn deliver_in_turn(&self, device: &IdentityName) {
        let Some(session) = self.listener(device) else { return };
        let step = self.change_queue(device, None, |draft| offer(self, draft, session.key)).await;
        self.hand_over_or_retry(device, session, step).await;
    }

    /// Hands over what a step has locked. If there was no step it is tried again soon: nothing else might come for a long time.
    async fn hand_over_or_retry(&self, device: &IdentityName, session: Session, step: Result<Step, HubError>) {
        match step {
            Ok(step) => self.hand_over(device, session, step.delivered, None).await,
            // It is in the log.
            Err(_) => self.retry_soon(device),
        }
    }

    /// Lets [`Self::settle`] look at the queue in a moment.
    fn retry_soon(&self, device: &IdentityName) {
        let soon = clock::now().0.saturating_add(SETTLE_PAUSE);
        self.shared.deadlines.set(device.device_id(), Some(Timestamp(soon)));
    }

    /// A session has begun: no other holds anything, whatever locks say; and what waits is delivered.
    pub(crate) async fn session_opened(&self, device: &IdentityName, session: Session) {
        let _turn = self.shared.queue_turns.turn(device.device_id()).await;
        let listens = self.listener(device).is_some_and(|listener| listener.key == session.key);
        let step = self
            .change_queue(device, None, |draft| {
                draft.apply(Input::SessionOpened(session.key))?;
                if listens { offer(self, draft, session.key) } else { Ok(()) }
            })
            .await;
        self.hand_over_or_retry(device, session, step).await;
    }

    /// A session has ended: what it held waits again.
    pub(crate) async fn session_closed(&self, device: &IdentityName, session: SessionKey) {
        if device.module_id().is_some() || !self.shared.deadlines.contains(device.device_id()) {
            return;
        }
        let _turn = self.shared.queue_turns.turn(device.device_id()).await;
        // A failure is in the log; then the locks end at their time.
        drop(self.change_queue(device, None, |draft| draft.apply(Input::SessionEnded(session))).await);
    }

    /// The device has taken a command; what waits behind it follows.
    pub(crate) async fn command_taken(&self, device: &IdentityName, session: Session, lock: u64) {
        let _turn = self.shared.queue_turns.turn(device.device_id()).await;
        let listens = self.listener(device).is_some_and(|listener| listener.key == session.key);
        let step = self
            .change_queue(device, None, |draft| {
                // A lock that has run out is not completed: the message is delivered again.
                draft.apply(Input::Complete(LockToken(lock))).ok();
                if listens { offer(self, draft, session.key) } else { Ok(()) }
            })
            .await;
        self.hand_over_or_retry(device, session, step).await;
    }

    /// Hands locked commands over, in order. The caller holds the device's turn. `own` is a message that need not be read.
    pub(crate) async fn hand_over(
        &self,
        device: &IdentityName,
        session: Session,
        delivered: Vec<Delivery>,
        own: Option<(u64, Message)>,
    ) {
        if delivered.is_empty() {
            return;
        }
        let known = own.as_ref().map(|(sequence, _)| *sequence);
        // What cannot be read is given back below, and tried again soon.
        let read = self.bodies(device, &delivered, known).await;
        let is_unread = read.is_err();
        let mut messages = read.unwrap_or_default();
        messages.extend(own);
        let mut kept_back = Vec::new();
        for delivery in delivered {
            let message = messages.remove(&delivery.sequence).filter(|_| kept_back.is_empty());
            let Some(message) = message else {
                kept_back.push(delivery.token);
                continue;
            };
            let command = ToDevice::Command {
                lock: delivery.token.0,
                bag: message.mqtt_bag(device.device_id()).into(),
                body: message.body().clone(),
            };
            if self.tell(device, session.key, command).await {
                events::command_delivered();
            } else {
                kept_back.push(delivery.token);
            }
        }
        self.release(device, &kept_back).await;
        if is_unread {
            self.retry_soon(device);
        }
    }

    /// Gives back what could not be handed over.
    async fn release(&self, device: &IdentityName, tokens: &[LockToken]) {
        if tokens.is_empty() {
            return;
        }
        let released = self.change_queue(device, None, |draft| {
            for &token in tokens {
                // A lock that is over needs not be given back.
                draft.apply(Input::Release(token)).ok();
            }
            Ok(())
        });
        // A failure is in the log; then the locks end at their time.
        drop(released.await);
    }

    async fn bodies(
        &self,
        device: &IdentityName,
        delivered: &[Delivery],
        known: Option<u64>,
    ) -> Result<HashMap<u64, Message>, HubError> {
        let wanted = delivered.iter().map(|delivery| delivery.sequence).filter(|&sequence| Some(sequence) != known);
        let keys: Vec<_> = wanted.map(|sequence| body_key(device.device_id(), sequence)).collect();
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let found = self.shared.documents.read_many(&keys).await.map_err(|error| hub_error(&error))?;
        let decoded = found.into_iter().filter_map(|document| {
            let sequence = document.key.name.parse().ok()?;
            let message = Message::decode(document.body.into());
            Some((sequence, message.inspect_err(|error| events::corrupt("command", error)).ok()?))
        });
        Ok(decoded.collect())
    }

    /// Reads the deadlines of all queues.
    pub(crate) async fn load_deadlines(&self) -> Result<(), RegistryError> {
        let mut scan = Scan { collection: Collection::CommandQueue, owner: None, after: None, count: ROWS_MAX };
        loop {
            let page = self.shared.documents.scan(&scan).await?;
            let Some(last) = page.last() else { return Ok(()) };
            scan.after = Some((last.key.owner.clone(), last.key.name.clone()));
            for document in page {
                match Queue::decode(&document.body) {
                    Ok(queue) => self.shared.deadlines.set(&document.key.owner, queue.next_deadline()),
                    Err(error) => events::corrupt("command queue", &error),
                }
            }
        }
    }

    /// Lets queues do what their time has come for.
    pub(crate) async fn keep_deadlines(&self) {
        loop {
            let now = clock::now();
            let due = self.shared.deadlines.due(now, SETTLED_AT_ONCE);
            if due.is_empty() {
                let next = self.shared.deadlines.next().map_or(SLEEP_MAX, |next| until(next, now));
                tokio::select! {
                    () = sleep(next) => {}
                    () = self.shared.deadlines.changed() => {}
                }
                continue;
            }
            // Together, so that the store needs one commit for many of them.
            let mut settling = JoinSet::new();
            for device_id in due {
                let control = self.clone();
                settling.spawn(async move { control.settle(&device_id).await });
            }
            settling.join_all().await;
        }
    }

    /// Ends locks and messages whose time is over, and delivers what waits now.
    async fn settle(&self, device_id: &Arc<str>) {
        let Ok(device) = IdentityName::new(device_id, None) else {
            return self.shared.deadlines.set(device_id, None);
        };
        let _turn = self.shared.queue_turns.turn(device.device_id()).await;
        let session = self.listener(&device);
        let step = self
            .change_queue(&device, None, |draft| {
                draft.apply(Input::Settle)?;
                session.map_or(Ok(()), |session| offer(self, draft, session.key))
            })
            .await;
        match step {
            Ok(step) => {
                if let Some(session) = session {
                    self.hand_over(&device, session, step.delivered, None).await;
                }
            }
            Err(error) if error.status == 404 => self.shared.deadlines.set(device_id, None),
            Err(_) => {
                let later = clock::now().0.saturating_add(SETTLE_PAUSE);
                self.shared.deadlines.set(device_id, Some(Timestamp(later)));
            }
        }
    }
}

/// How long to sleep for a time to come: at most a while, because clocks are set.
fn until(time: Timestamp, now: Timestamp) -> Duration {
    let milliseconds = u64::try_from(time.0.saturating_sub(now.0)).unwrap_or_default();
    Duration::from_millis(milliseconds.max(1)).min(SLEEP_MAX)
}
