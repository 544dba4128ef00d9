//! What happens to a queue, one input at a time. Table of what ends a lock:
//! - done: leaves, Success. Rejected: leaves, Rejected. Purged: leaves, Purged.
//! - abandoned: waits again, counts. Out of time: waits again, counts if so configured. Released, session over: waits again.
//! - Whatever waits leaves when it has been out often enough (DeliveryCountExceeded) or its time is over (Expired).

use millrace_model::Timestamp;

use super::{Delivery, Entry, Holder, Input, Lock, LockToken, Queue, Step, Take};
use crate::config::{CommandConfig, after};
use crate::error::CommandError;
use crate::feedback::{Outcome, OutcomeStatus};
use crate::limits::{DEPTH_MAX, LOCK_SECONDS};
use crate::message::Message;

pub(super) fn step(
    queue: Queue,
    input: Input<'_>,
    config: &CommandConfig,
    now: Timestamp,
) -> Result<Step, CommandError> {
    let mut step = Step { queue, stored: None, delivered: Vec::new(), removed: Vec::new(), outcomes: Vec::new() };
    if matches!(input, Input::Purge) {
        step.purge(now);
        return Ok(step);
    }
    step.end_old_locks(config, now);
    step.give_up(config, now);
    match input {
        Input::Enqueue(message) => step.enqueue(message, config, now)?,
        Input::Deliver(take) => step.deliver(&take, now),
        Input::Complete(token) => step.take_out(token, OutcomeStatus::Success, now)?,
        Input::Reject(token) => step.take_out(token, OutcomeStatus::Rejected, now)?,
        Input::Abandon(token) => step.unlock(token, 1)?,
        Input::Release(token) => step.unlock(token, 0)?,
        Input::SessionEnded(ended) => step.unlock_where(|holder| holder == Holder::Session(ended)),
        Input::SessionOpened(opened) => {
            step.unlock_where(|holder| holder != Holder::Http && holder != Holder::Session(opened));
        }
        Input::Purge | Input::Settle => {}
    }
    step.give_up(config, now);
    Ok(step)
}

impl Step {
    /// Locks whose time is over.
    fn end_old_locks(&mut self, config: &CommandConfig, now: Timestamp) {
        for entry in &mut self.queue.entries {
            if entry.lock.is_some_and(|lock| lock.until <= now) {
                entry.lock = None;
                entry.delivery_count = entry.delivery_count.saturating_add(config.lock_expiry_counts.into());
            }
        }
    }

    /// Waiting messages that nobody will get any more.
    fn give_up(&mut self, config: &CommandConfig, now: Timestamp) {
        let reason = |entry: &Entry| {
            if entry.lock.is_some() {
                None
            } else if entry.delivery_count >= config.delivery_count_max {
                Some((OutcomeStatus::DeliveryCountExceeded, now))
            } else {
                (entry.expiry <= now).then_some((OutcomeStatus::Expired, entry.expiry))
            }
        };
        self.remove_where(reason);
    }

    fn enqueue(&mut self, message: &Message, config: &CommandConfig, now: Timestamp) -> Result<(), CommandError> {
        if self.queue.entries.len() >= config.depth_max.min(DEPTH_MAX) {
            return Err(CommandError::QueueFull);
        }
        let entry = Entry {
            sequence: self.queue.next_sequence,
            message_id: message.message_id().into(),
            correlation_id: message.correlation_id().map(Into::into),
            ack: message.ack(),
            enqueued: now,
            expiry: config.expiry(message.expiry(), now),
            delivery_count: 0,
            bytes: u32::try_from(message.body().len()).unwrap_or(u32::MAX),
            lock: None,
        };
        self.queue.next_sequence = entry.sequence.saturating_add(1);
        if entry.expiry <= now {
            self.outcomes.extend(outcome(entry, OutcomeStatus::Expired, now));
        } else {
            self.stored = Some(entry.sequence);
            self.queue.entries.push(entry);
        }
        Ok(())
    }

    /// Locks the first messages that wait, in order.
    fn deliver(&mut self, take: &Take, now: Timestamp) {
        let is_held = |entry: &&Entry| entry.lock.is_some_and(|lock| lock.holder == take.holder);
        let held = self.queue.entries.iter().filter(is_held).count();
        let count = take.count.min(take.window.saturating_sub(held));
        let until = after(now, take.lock_seconds.clamp(*LOCK_SECONDS.start(), *LOCK_SECONDS.end()));
        let waiting = self.queue.entries.iter_mut().filter(|entry| entry.lock.is_none());
        for entry in waiting.take(count) {
            let token = LockToken::new(self.queue.next_lock, take.salt);
            self.queue.next_lock = self.queue.next_lock.wrapping_add(1);
            entry.lock = Some(Lock { token, until, holder: take.holder });
            self.delivered.push(Delivery {
                sequence: entry.sequence,
                token,
                enqueued: entry.enqueued,
                expiry: entry.expiry,
                delivery_count: entry.delivery_count,
                bytes: entry.bytes,
            });
        }
    }

    fn take_out(&mut self, token: LockToken, status: OutcomeStatus, now: Timestamp) -> Result<(), CommandError> {
        let sequence = self.locked(token)?.sequence;
        self.remove_where(|entry| (entry.sequence == sequence).then_some((status, now)));
        Ok(())
    }

    fn unlock(&mut self, token: LockToken, counts: u32) -> Result<(), CommandError> {
        let entry = self.locked(token)?;
        entry.lock = None;
        entry.delivery_count = entry.delivery_count.saturating_add(counts);
        Ok(())
    }

    fn unlock_where(&mut self, is_over: impl Fn(Holder) -> bool) {
        for entry in &mut self.queue.entries {
            entry.lock = entry.lock.filter(|lock| !is_over(lock.holder));
        }
    }

    fn purge(&mut self, now: Timestamp) {
        self.remove_where(|_| Some((OutcomeStatus::Purged, now)));
    }

    fn locked(&mut self, token: LockToken) -> Result<&mut Entry, CommandError> {
        let is_it = |entry: &&mut Entry| entry.lock.is_some_and(|lock| lock.token == token);
        self.queue.entries.iter_mut().find(is_it).ok_or(CommandError::LockLost)
    }

    /// The one way out of the queue: entries for which there is a reason leave, and their senders hear of it if they asked.
    fn remove_where(&mut self, reason: impl Fn(&Entry) -> Option<(OutcomeStatus, Timestamp)>) {
        for entry in self.queue.entries.extract_if(.., |entry| reason(entry).is_some()) {
            if let Some((status, at)) = reason(&entry) {
                self.removed.push(entry.sequence);
                self.outcomes.extend(outcome(entry, status, at));
            }
        }
    }
}

fn outcome(entry: Entry, status: OutcomeStatus, at: Timestamp) -> Option<Outcome> {
    let is_wanted = entry.ack.asks_for(status == OutcomeStatus::Success);
    is_wanted.then_some(Outcome { message_id: entry.message_id, correlation_id: entry.correlation_id, status, at })
}
