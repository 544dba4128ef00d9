//! The border between the doors, which hold devices' sessions, and the control side, which decides. Neither knows the other.
//! - Shape: a door asks ([`Control`], [`Provisioning`]) and names the session that asks; answers and calls come back as [`ToDevice`]
//!   through [`Doors`]. Messages that do not come from a session enter through [`Intake`].
//! - Invariants: nothing here blocks; asking and telling are handing over. A session's requests are carried out in the order in which they
//!   were asked. What is told to a session that has ended is dropped without harm.
//! - Errors: [`Full`] where a bounded queue takes no more: the asker tells its peer to try later or ends the session.

use std::sync::Arc;

use bytes::Bytes;

use crate::batch::MessageSource;
use crate::identity::Identity;
use crate::name::IdentityName;

/// A live session; never used twice while the program runs, and not by another run or node but by a chance of one in 2^32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionKey {
    /// Which part of the door holds it.
    pub shard: u16,
    /// Where it is there.
    pub slot: u32,
    /// Tells it from those that were there before.
    pub generation: u32,
}

/// What of a device a session listens to, each at QoS 0 or 1. Two bytes, because a million sessions have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Subscriptions {
    set: u8,
    at_least_once: u8,
}

/// One thing that a session can listen to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Subscription {
    /// Cloud-to-device messages.
    Commands = 1,
    /// Direct methods.
    Methods = 2,
    /// Answers to twin requests.
    TwinAnswers = 4,
    /// Changes of the desired properties.
    Desired = 8,
    /// Messages routed to a module's inputs.
    Inputs = 16,
}

/// What a session asks of the control side.
#[derive(Debug)]
pub enum Request {
    /// Look for changes of the registry that this node has not heard of. Answer: [`ToDevice::Refreshed`].
    Refresh,
    /// The session was let in. Answer: [`ToDevice::Opened`] or, when the store is not there, [`ToDevice::Refused`].
    /// Until then nothing else is asked. Whatever session the identity had before is over.
    Open {
        /// Forget the subscriptions of earlier sessions.
        clean: bool,
        /// DTDL model announced; `None` clears the one of earlier connections.
        model_id: Option<Box<str>>,
    },
    /// The session is over. No answer.
    Close,
    /// Answer, once durable: [`ToDevice::Subscribed`].
    Subscribe {
        /// Added to those there are.
        added: Subscriptions,
        /// Given back in the answer.
        token: u32,
    },
    /// Answer, once durable: [`ToDevice::Subscribed`].
    Unsubscribe {
        /// Taken from those there are.
        removed: Subscriptions,
        /// Given back in the answer.
        token: u32,
    },
    /// Answer: [`ToDevice::Twin`].
    ReadTwin {
        /// Given back in the answer.
        request_id: Box<str>,
    },
    /// Answer, once durable: [`ToDevice::Twin`].
    PatchReported {
        /// Given back in the answer.
        request_id: Box<str>,
        /// Only if the reported properties have this version.
        if_version: Option<u64>,
        /// JSON merge patch.
        patch: Bytes,
    },
    /// The answer to [`ToDevice::Method`]. No answer.
    MethodAnswered {
        /// As in the call.
        call: u64,
        /// Status in the device's own meaning.
        status: i32,
        /// JSON, or empty.
        payload: Bytes,
    },
    /// The device has taken a [`ToDevice::Command`]. No answer.
    CommandTaken {
        /// As in the delivery.
        lock: u64,
    },
}

/// What the control side tells a session.
#[derive(Debug, Clone)]
pub enum ToDevice {
    /// The registry is as new as the store.
    Refreshed,
    /// The session may begin.
    Opened {
        /// Whether subscriptions of an earlier session are still there.
        is_present: bool,
        /// Those subscriptions.
        subscriptions: Subscriptions,
    },
    /// The session may not begin.
    Refused(Refusal),
    /// SUBSCRIBE or UNSUBSCRIBE is carried out and durable.
    Subscribed {
        /// As asked.
        token: u32,
        /// What the session now listens to.
        subscriptions: Subscriptions,
    },
    /// Answer to a twin request.
    Twin {
        /// As asked.
        request_id: Box<str>,
        /// 200 with the twin, 204 for a patch, or an error's status.
        status: u16,
        /// New version of the reported properties, for a patch.
        version: Option<u64>,
        /// JSON; empty only for 204.
        body: Bytes,
    },
    /// The desired properties have changed.
    Desired {
        /// Their new version.
        version: u64,
        /// The patch with `$version`.
        patch: Bytes,
    },
    /// A direct method is called.
    Method {
        /// Given back in [`Request::MethodAnswered`].
        call: u64,
        /// Its name, verbatim.
        name: Arc<str>,
        /// JSON, or empty.
        payload: Bytes,
    },
    /// A cloud-to-device message.
    Command {
        /// Given back in [`Request::CommandTaken`].
        lock: u64,
        /// Its properties, system and application, in the form that the session's protocol sends (a property bag for MQTT).
        bag: Arc<str>,
        /// Body.
        body: Bytes,
    },
    /// An answer of the provisioning service.
    Registration {
        /// As asked.
        request_id: Box<str>,
        /// HTTP status.
        status: u16,
        /// Seconds after which to ask again.
        retry_after: Option<u32>,
        /// JSON.
        body: Bytes,
    },
    /// The session ends.
    End(EndReason),
}

/// Why a session may not begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Try again: a store is away, a queue is full.
    Unavailable,
    /// The credential is not good.
    Unauthorized,
    /// Too many requests.
    Throttled,
}

/// Why the control side ends a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// The identity connected somewhere else.
    TakenOver,
    /// It asks too much for too long.
    Throttled,
    /// The control side cannot keep its promise to it.
    Unavailable,
}

/// A bounded queue takes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue is full")]
pub struct Full;

/// The control side as a door sees it. Called on shard threads.
pub trait Control: Send + Sync {
    /// Hands a request over.
    ///
    /// # Errors
    /// [`Full`]: nothing was taken. [`Request::Close`] is always taken.
    fn ask(&self, from: SessionKey, name: &Arc<IdentityName>, request: Request) -> Result<(), Full>;
}

/// Who registers at the provisioning service, with the proof that it brought to the door.
pub struct Registrant {
    /// Which provisioning service.
    pub id_scope: Box<str>,
    /// Who.
    pub registration_id: Box<str>,
    /// A SAS token.
    pub token: Option<Box<str>>,
    /// The chain of the client's certificate as DER, leaf first; TLS has shown that the peer holds the leaf's key.
    pub certificates: Arc<[Vec<u8>]>,
}

/// What a registration session asks.
#[derive(Debug)]
pub enum RegistrationRequest {
    /// Is the proof good? Answer: [`ToDevice::Opened`] or [`ToDevice::Refused`].
    Attest,
    /// Answer: [`ToDevice::Registration`].
    Register {
        /// Given back in the answer.
        request_id: Box<str>,
        /// JSON.
        body: Bytes,
    },
    /// Answer: [`ToDevice::Registration`].
    Status {
        /// Given back in the answer.
        request_id: Box<str>,
        /// As the answer to `Register` named it.
        operation_id: Box<str>,
    },
}

/// The provisioning service as a door sees it. Called on shard threads.
pub trait Provisioning: Send + Sync {
    /// Hands a request over.
    ///
    /// # Errors
    /// [`Full`]: nothing was taken.
    fn ask(&self, from: SessionKey, who: &Arc<Registrant>, request: RegistrationRequest) -> Result<(), Full>;
}

/// The doors as the control side sees them.
pub trait Doors: Send + Sync {
    /// Hands something over to a session.
    ///
    /// # Errors
    /// [`Full`] when the session's shard takes no more for the moment: try again soon.
    fn tell(&self, session: SessionKey, what: ToDevice) -> Result<(), Full>;
}

/// A message for the journal that comes from no session: HTTPS telemetry, or an event of the control side.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Who sent it, or whom it is about.
    pub identity: Identity,
    /// Where it comes from.
    pub source: MessageSource,
    /// Its properties as a property bag.
    pub bag: Vec<u8>,
    /// Its body.
    pub body: Bytes,
}

/// Told once the message is as safe as the configured level says, or that it is not taken.
pub type Submitted = Box<dyn FnOnce(Result<(), Full>) + Send>;

/// The way into the journal for messages that come from no session.
pub trait Intake: Send + Sync {
    /// Hands a message over to the shard of its device. `done` is called exactly once, on another thread; it must not block.
    fn submit(&self, submission: Submission, done: Submitted);
}

impl std::fmt::Debug for Registrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registrant").field("registration_id", &self.registration_id).finish_non_exhaustive()
    }
}

impl Subscriptions {
    /// All kinds, in the order of their bits.
    pub const KINDS: [Subscription; 5] = [
        Subscription::Commands,
        Subscription::Methods,
        Subscription::TwinAnswers,
        Subscription::Desired,
        Subscription::Inputs,
    ];

    /// Just one.
    #[must_use]
    pub const fn one(kind: Subscription, at_least_once: bool) -> Self {
        let bit = kind.bit();
        Self { set: bit, at_least_once: if at_least_once { bit } else { 0 } }
    }

    /// From two stored bytes; unknown bits are dropped.
    #[must_use]
    pub const fn from_bytes([set, at_least_once]: [u8; 2]) -> Self {
        Self { set: set & 0x1f, at_least_once: at_least_once & set & 0x1f }
    }

    /// Two bytes to be stored.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 2] {
        [self.set, self.at_least_once]
    }

    /// These and those; those decide the QoS of what is in both.
    #[must_use]
    pub const fn with(self, added: Self) -> Self {
        Self { set: self.set | added.set, at_least_once: (self.at_least_once & !added.set) | added.at_least_once }
    }

    /// These without those.
    #[must_use]
    pub const fn without(self, removed: Self) -> Self {
        Self { set: self.set & !removed.set, at_least_once: self.at_least_once & !removed.set }
    }

    /// Whether it is among them.
    #[must_use]
    pub const fn has(self, kind: Subscription) -> bool {
        self.set & kind.bit() != 0
    }

    /// Whether it was granted QoS 1.
    #[must_use]
    pub const fn is_at_least_once(self, kind: Subscription) -> bool {
        self.at_least_once & kind.bit() != 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.set == 0
    }
}

impl Subscription {
    #[expect(clippy::as_conversions, reason = "the discriminants are the bits")]
    const fn bit(self) -> u8 {
        self as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_are_two_sets_of_bits() {
        let methods = Subscriptions::one(Subscription::Methods, true);
        let both = methods.with(Subscriptions::one(Subscription::Desired, false));
        assert!(both.has(Subscription::Methods) && both.is_at_least_once(Subscription::Methods));
        assert!(both.has(Subscription::Desired) && !both.is_at_least_once(Subscription::Desired));
        let lowered = both.with(Subscriptions::one(Subscription::Methods, false));
        assert!(lowered.has(Subscription::Methods) && !lowered.is_at_least_once(Subscription::Methods));
        assert_eq!(Subscriptions::from_bytes(both.to_bytes()), both);
        assert_eq!(Subscriptions::from_bytes([0xff, 0xff]).to_bytes(), [0x1f, 0x1f]);
        assert!(both.without(both).is_empty());
    }
}
