//! What a shard keeps for one connection. An idle one owns no buffer: `carry` and `outbox` are empty and unallocated.
//! - Limits: `carry` <= [`crate::limits::CARRY_BYTES_MAX`], `outbox` <= [`crate::limits::OUTBOX_BYTES_MAX`].

use std::sync::Arc;

use millrace_model::batch::IdentitySlot;
use millrace_model::door::Registrant;
use millrace_model::{Identity, IdentityName};
use millrace_protocols_mqtt::Session;

use crate::config::AcknowledgeLevel;
use crate::dialogue::Dialogue;
use crate::introduction::{Greeting, Introduction};
use crate::stream::Stream;
use crate::tls::TlsSession;

/// Names a connection of a shard for as long as it lives; a slot is used again under another generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionKey {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// Who a connection belongs to, once its credential was found good.
pub(crate) struct Owner {
    /// Its telemetry topic: what nearly every PUBLISH begins with.
    pub(crate) telemetry: Box<str>,
    pub(crate) name: Arc<IdentityName>,
    /// Stamped on each of its messages.
    pub(crate) identity: Identity,
    pub(crate) dialogue: Dialogue,
    pub(crate) greeting: Greeting,
    /// Second in which its credential ends.
    pub(crate) expires_at: u32,
    /// The control side was asked to open the session, and has to hear of its end.
    pub(crate) is_asked: bool,
}

/// What a connection is that belongs to no identity.
pub(crate) enum Guest {
    /// It came from another door, which saw these certificates.
    Arrived(Arc<[Vec<u8>]>),
    /// Its credential is looked at again once the registry is as new as the store.
    Waiting(Introduction),
    /// It registers at the provisioning service.
    Registrant(Registering),
}

/// A registration under way.
pub(crate) struct Registering {
    pub(crate) who: Arc<Registrant>,
    pub(crate) greeting: Greeting,
    pub(crate) dialogue: Dialogue,
}

/// See the module's documentation.
pub(crate) struct Connection {
    pub(crate) stream: Stream,
    pub(crate) session: Session,
    pub(crate) tls: Option<Box<TlsSession>>,
    pub(crate) owner: Option<Box<Owner>>,
    pub(crate) guest: Option<Box<Guest>>,
    /// The begin of a packet whose rest has not come yet.
    pub(crate) carry: Vec<u8>,
    /// Replies that the socket did not take.
    pub(crate) outbox: Vec<u8>,
    pub(crate) identity_slot: IdentitySlot,
    pub(crate) generation: u32,
    /// Second of the last sign of life.
    pub(crate) heard_at: u32,
    /// Seconds of silence that end the connection.
    pub(crate) silence_max: u32,
    /// Second in which the credential ends; before CONNECT is answered, the time for that.
    pub(crate) expires_at: u32,
    /// Second of the wheel in which this connection comes up.
    pub(crate) wheel_at: u32,
    /// What one large packet has added to `outbox` beyond its bound.
    pub(crate) outbox_extra: u32,
    pub(crate) acknowledge: AcknowledgeLevel,
    /// Stands in the list of connections to be read.
    pub(crate) is_queued: bool,
    /// Whole packets may wait in `carry`, which no socket will announce.
    pub(crate) is_blocked: bool,
    /// Not to be read before somebody has answered: who may connect, or an earlier request.
    pub(crate) is_held: bool,
    /// The peer has closed its side, or the socket failed.
    pub(crate) is_lost: bool,
}

// An idle connection is this, its owner, and its TLS session.
const _: () = assert!(size_of::<Connection>() <= 184 && size_of::<Owner>() <= 72);

impl Connection {
    pub(crate) fn new(
        stream: Stream,
        tls: Option<Box<TlsSession>>,
        acknowledge: AcknowledgeLevel,
        now: u32,
        connect_seconds_max: u32,
    ) -> Self {
        Self {
            stream,
            session: Session::new(),
            tls,
            owner: None,
            guest: None,
            carry: Vec::new(),
            outbox: Vec::new(),
            identity_slot: IdentitySlot::default(),
            generation: 0,
            heard_at: now,
            silence_max: u32::MAX,
            expires_at: now.saturating_add(connect_seconds_max),
            wheel_at: 0,
            outbox_extra: 0,
            acknowledge,
            is_queued: false,
            is_blocked: false,
            is_held: false,
            is_lost: false,
        }
    }

    /// What it keeps of its input before decoding: ciphertext under TLS, else the begin of a packet.
    pub(crate) fn kept(&self) -> &[u8] {
        match &self.tls {
            Some(tls) => tls.kept(),
            None => &self.carry,
        }
    }

    /// What it has asked and is owed; `None` before anybody knows who it is.
    pub(crate) fn dialogue(&mut self) -> Option<&mut Dialogue> {
        match (&mut self.owner, self.guest.as_deref_mut()) {
            (Some(owner), _) => Some(&mut owner.dialogue),
            (None, Some(Guest::Registrant(registering))) => Some(&mut registering.dialogue),
            (None, _) => None,
        }
    }

    /// The second in which this connection has to end if nothing more is heard.
    pub(crate) fn deadline(&self) -> u32 {
        self.expires_at.min(self.heard_at.saturating_add(self.silence_max))
    }
}

/// The chain of a client's certificate, leaf first; empty where it showed none.
pub(crate) fn certificates(guest: &mut Option<Box<Guest>>, tls: Option<&TlsSession>) -> Arc<[Vec<u8>]> {
    match (guest.take().map(|guest| *guest), tls) {
        (Some(Guest::Arrived(certificates)), _) => certificates,
        (_, Some(tls)) => tls.certificates(),
        _ => Arc::default(),
    }
}
