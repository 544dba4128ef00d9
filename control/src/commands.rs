//! Cloud-to-device messages as the service sends them, and as devices that ask over HTTPS receive them.
//! - Source: Azure IoT Hub cloud-to-device messages. Only devices have a queue, modules have none.
//! - Invariants: a message that was taken is durable. A lock token completes, rejects or abandons at most one delivery.
//! - Errors: those of `CommandError`; 404001 when there is no such device.
//! - Not here: delivery to live sessions, deadlines (`deliveries`), feedback (`feedback`).

use std::time::Duration;

use bytes::Bytes;
use millrace_control_command::{CommandError, Delivery, Draft as MessageDraft, Input, LockToken, Message, Take};
use millrace_model::{HubError, IdentityName};

use crate::control::Control;
use crate::deliveries::offer;
use crate::events;
use crate::failure::hub_error;
use crate::queues::body_key;
use crate::throttle::Operation;

/// A command that was handed out under a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// What completes, rejects or abandons it.
    pub lock_token: String,
    /// The headers of the answer that carries it, `ETag` with the quoted token included.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
}

impl Control {
    /// A checked message; one without an id is given a random one.
    ///
    /// # Errors
    /// When a field cannot be what it is, or all of them are too large.
    pub fn message(&self, draft: MessageDraft) -> Result<Message, HubError> {
        Ok(Message::new(draft, self.shared.tokens.large())?)
    }

    /// Puts a message into a device's queue and, if the device listens, delivers it.
    ///
    /// # Errors
    /// `QUEUE_DEPTH`; when there is no such device, or the store failed.
    pub async fn send_command(&self, device: &IdentityName, message: &Message) -> Result<(), HubError> {
        self.shared.throttles.pass(Operation::Command).await?;
        check_device(device)?;
        let (control, device, message) = (self.clone(), device.clone(), message.clone());
        self.see_through(async move { control.enqueue(&device, &message).await }).await
    }

    async fn enqueue(&self, device: &IdentityName, message: &Message) -> Result<(), HubError> {
        let _turn = self.shared.queue_turns.turn(device.device_id()).await;
        let session = self.listener(device);
        let step = self
            .change_queue(device, Some(message), |draft| {
                draft.apply(Input::Enqueue(message))?;
                session.map_or(Ok(()), |session| offer(self, draft, session.key))
            })
            .await?;
        match session {
            Some(session) => {
                let own = step.stored.map(|sequence| (sequence, message.clone()));
                self.hand_over(device, session, step.delivered, own).await;
            }
            // Its session may have begun meanwhile, and have seen no queue.
            None => self.deliver_in_turn(device).await,
        }
        Ok(())
    }

    /// Takes the next message of a device's queue, for `lock` or as configured; `None` when there is none.
    ///
    /// # Errors
    /// When the store failed, or too many ask.
    pub async fn receive_command(
        &self,
        device: &IdentityName,
        lock: Option<Duration>,
    ) -> Result<Option<Received>, HubError> {
        self.shared.throttles.pass(Operation::CommandReceive).await?;
        check_device(device)?;
        let (control, device) = (self.clone(), device.clone());
        self.see_through(async move { control.receive(&device, lock).await }).await
    }

    async fn receive(&self, device: &IdentityName, lock: Option<Duration>) -> Result<Option<Received>, HubError> {
        let _turn = self.shared.queue_turns.turn(device.device_id()).await;
        let salt = self.shared.tokens.small();
        let take = Take::by_http(lock.map(|lock| lock.as_secs()), &self.shared.settings.commands, salt);
        let step = self.change_queue(device, None, |draft| draft.apply(Input::Deliver(take))).await?;
        let Some(&delivery) = step.delivered.first() else { return Ok(None) };
        let message = self.body(device, delivery.sequence).await?;
        events::command_delivered();
        Ok(Some(received(device, &message, &delivery)))
    }

    /// The device is done with a message.
    ///
    /// # Errors
    /// `LOCK_LOST` when the lock is over; when the store failed.
    pub async fn complete_command(&self, device: &IdentityName, lock_token: &str) -> Result<(), HubError> {
        self.end_lock(device, lock_token, Input::Complete).await
    }

    /// The device refuses a message.
    ///
    /// # Errors
    /// As [`Self::complete_command`].
    pub async fn reject_command(&self, device: &IdentityName, lock_token: &str) -> Result<(), HubError> {
        self.end_lock(device, lock_token, Input::Reject).await
    }

    /// The device wants a message later.
    ///
    /// # Errors
    /// As [`Self::complete_command`].
    pub async fn abandon_command(&self, device: &IdentityName, lock_token: &str) -> Result<(), HubError> {
        self.end_lock(device, lock_token, Input::Abandon).await
    }

    /// Empties a device's queue; answers how many messages that were.
    ///
    /// # Errors
    /// When there is no such device, or the store failed.
    pub async fn purge_commands(&self, device: &IdentityName) -> Result<u64, HubError> {
        self.shared.throttles.pass(Operation::Command).await?;
        check_device(device)?;
        self.check_known(device).await?;
        let (control, device) = (self.clone(), device.clone());
        self.see_through(async move {
            let _turn = control.shared.queue_turns.turn(device.device_id()).await;
            let step = control.change_queue(&device, None, |draft| draft.apply(Input::Purge)).await?;
            Ok(u64::try_from(step.removed.len()).unwrap_or(u64::MAX))
        })
        .await
    }

    /// How many messages a device's queue holds, those under way included.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn command_count(&self, device: &IdentityName) -> Result<u64, HubError> {
        let (queue, _) = self.read_queue(device).await?;
        Ok(u64::try_from(queue.len()).unwrap_or(u64::MAX))
    }

    /// The message with this number.
    pub(crate) async fn body(&self, device: &IdentityName, sequence: u64) -> Result<Message, HubError> {
        let key = body_key(device.device_id(), sequence);
        let found = self.shared.documents.read(&key).await.map_err(|error| hub_error(&error))?;
        let missing = CommandError::Corrupt { what: "command" };
        let message = found.ok_or(missing).and_then(|document| Message::decode(document.body.into()));
        Ok(message.inspect_err(|error| events::corrupt("command", error))?)
    }

    async fn end_lock(
        &self,
        device: &IdentityName,
        lock_token: &str,
        input: fn(LockToken) -> Input<'static>,
    ) -> Result<(), HubError> {
        check_device(device)?;
        let token: LockToken = lock_token.trim().trim_matches('"').parse()?;
        let (control, device) = (self.clone(), device.clone());
        self.see_through(async move { control.unlock(&device, input(token)).await }).await
    }

    async fn unlock(&self, device: &IdentityName, input: Input<'static>) -> Result<(), HubError> {
        let _turn = self.shared.queue_turns.turn(device.device_id()).await;
        let session = self.listener(device);
        let step = self
            .change_queue(device, None, |draft| {
                draft.apply(input)?;
                session.map_or(Ok(()), |session| offer(self, draft, session.key))
            })
            .await?;
        if let Some(session) = session {
            self.hand_over(device, session, step.delivered, None).await;
        }
        Ok(())
    }
}

fn received(device: &IdentityName, message: &Message, delivery: &Delivery) -> Received {
    Received {
        lock_token: delivery.token.to_string(),
        headers: message.http_headers(device.device_id(), delivery),
        body: message.body().clone(),
    }
}

fn check_device(name: &IdentityName) -> Result<(), HubError> {
    match name.module_id() {
        None => Ok(()),
        Some(_) => Err(HubError::OPERATION.because("modules have no cloud-to-device messages")),
    }
}
