//! The command queue of one device: which messages wait, which are locked, and for whom. Bodies are kept apart, by sequence number.
//! - Source: Azure IoT Hub, life cycle of a cloud-to-device message.
//! - Shape: enqueued -> locked -> completed or dead-lettered; abandoned, released or out of time -> enqueued again, in its old place.
//! - Invariants: at most one lock on a message at a time; a token ends at most one lock; sequence numbers are never used again;
//!   messages leave the queue once, each with one [`Step::removed`] and at most one outcome; of those that wait, the first goes first.
//! - Limits: at most [`crate::limits::DEPTH_MAX`] messages.
//! - Errors: [`CommandError`]; a refused input changes nothing.

use millrace_model::Timestamp;
use millrace_model::door::SessionKey;

use crate::config::CommandConfig;
use crate::error::CommandError;
use crate::feedback::Outcome;
use crate::message::{Ack, Message};

mod document;
mod step;
#[cfg(test)]
mod tests;
mod token;

pub use token::LockToken;

/// The queue of one device, without bodies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// In the order of their sequence numbers.
    entries: Vec<Entry>,
    /// Number of the next message.
    next_sequence: u64,
    /// Number of the next lock; it wraps.
    next_lock: u32,
}

/// A message in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number; also the name of its body's document.
    pub sequence: u64,
    /// For feedback.
    pub message_id: Box<str>,
    /// For feedback.
    pub correlation_id: Option<Box<str>>,
    /// On what feedback is wanted.
    pub ack: Ack,
    /// When it was taken.
    pub enqueued: Timestamp,
    /// When it is too late for it. One that is locked then has until the end of the lock.
    pub expiry: Timestamp,
    /// Deliveries that count and came to nothing.
    pub delivery_count: u32,
    /// Size of its body.
    pub bytes: u32,
    /// Who has it; `None`: it waits.
    pub lock: Option<Lock>,
}

/// A lock on a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lock {
    /// Names it.
    pub token: LockToken,
    /// When it ends by itself.
    pub until: Timestamp,
    /// For whom.
    pub holder: Holder,
}

/// For whom a message is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// A live session; its locks end with it.
    Session(SessionKey),
    /// Someone who asked and went away.
    Http,
}

/// What happens to a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// The service sends a message.
    Enqueue(&'a Message),
    /// A device takes what is next.
    Deliver(Take),
    /// The device is done with a message.
    Complete(LockToken),
    /// The device wants never to see it again.
    Reject(LockToken),
    /// The device wants it later; counts as a delivery.
    Abandon(LockToken),
    /// The hub could not hand it over; counts for nothing.
    Release(LockToken),
    /// The session has ended.
    SessionEnded(SessionKey),
    /// The session has begun: there is no other one, whatever locks say.
    SessionOpened(SessionKey),
    /// The service empties the queue, locked messages included.
    Purge,
    /// Nothing but time passing.
    Settle,
}

/// How much is taken, by whom and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Take {
    /// For whom.
    pub holder: Holder,
    /// At most so many messages.
    pub count: usize,
    /// At most so many held at a time, those that are held already included.
    pub window: usize,
    /// For how long; kept within the bounds of locks.
    pub lock_seconds: u64,
    /// A random number, so that tokens of a queue that was deleted fit no other.
    pub salt: u32,
}

/// A message that was handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Its number.
    pub sequence: u64,
    /// Names the lock.
    pub token: LockToken,
    /// When it was taken.
    pub enqueued: Timestamp,
    /// When it expires.
    pub expiry: Timestamp,
    /// Deliveries before this one that count.
    pub delivery_count: u32,
    /// Size of its body.
    pub bytes: u32,
}

/// What an input leads to. All of it is to be made durable together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The queue as it is now.
    pub queue: Queue,
    /// Number under which the body of the enqueued message is to be written; `None` when it came too late to be kept.
    pub stored: Option<u64>,
    /// Handed out, in order.
    pub delivered: Vec<Delivery>,
    /// Numbers of bodies to be removed.
    pub removed: Vec<u64>,
    /// What senders asked to hear of.
    pub outcomes: Vec<Outcome>,
}

// === impl Take ===

impl Take {
    /// As much as a session may have unacknowledged.
    #[must_use]
    pub const fn by_session(session: SessionKey, config: &CommandConfig, salt: u32) -> Self {
        let (count, lock_seconds) = (config.session_window, config.lock_seconds);
        Self { holder: Holder::Session(session), count, window: count, lock_seconds, salt }
    }

    /// One message, however many are held. `lock_seconds` is what the device asks for, if it does.
    #[must_use]
    pub fn by_http(lock_seconds: Option<u64>, config: &CommandConfig, salt: u32) -> Self {
        let lock_seconds = lock_seconds.unwrap_or(config.lock_seconds);
        Self { holder: Holder::Http, count: 1, window: usize::MAX, lock_seconds, salt }
    }
}

// === impl Queue ===

impl Queue {
    /// An empty queue.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new(), next_sequence: 1, next_lock: 0 }
    }

    /// What an input leads to. Locks and messages whose time is over are dealt with first.
    ///
    /// # Errors
    /// [`CommandError::QueueFull`] and [`CommandError::LockLost`]; the queue stays as it is.
    pub fn step(&self, input: Input<'_>, config: &CommandConfig, now: Timestamp) -> Result<Step, CommandError> {
        step::step(self.clone(), input, config, now)
    }

    /// The messages in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many messages there are, locked ones included: `cloudToDeviceMessageCount`.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no message.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a message waits for somebody to take it.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        self.entries.iter().any(|entry| entry.lock.is_none())
    }

    /// When [`Input::Settle`] has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.entries.iter().map(|entry| entry.lock.map_or(entry.expiry, |lock| lock.until)).min()
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self::new()
    }
}
