//! What a shard keeps for one connection. An idle one owns no buffer: `carry` and `outbox` are empty and unallocated.
//! - Limits: `carry` <= [`crate::limits::CARRY_BYTES_MAX`], `outbox` <= [`crate::limits::OUTBOX_BYTES_MAX`].

use millrace_model::Identity;
use millrace_model::batch::IdentitySlot;
use millrace_protocols_mqtt::Session;
use mio::net::TcpStream;

use crate::config::AcknowledgeLevel;
use crate::tls::TlsSession;

/// Names a connection of a shard for as long as it lives; a slot is used again under another generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConnectionKey {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

/// Who a connection belongs to, once it is let in.
#[derive(Debug)]
pub(crate) struct Owner {
    pub(crate) device_id: Box<str>,
    pub(crate) module_id: Option<Box<str>>,
    /// Stamped on each of its messages.
    pub(crate) identity: Identity,
}

/// See the module's documentation.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) session: Session,
    pub(crate) tls: Option<Box<TlsSession>>,
    pub(crate) owner: Option<Box<Owner>>,
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
    /// Second in which the token ends.
    pub(crate) expires_at: u32,
    /// Second of the wheel in which this connection comes up.
    pub(crate) wheel_at: u32,
    pub(crate) acknowledge: AcknowledgeLevel,
    /// Stands in the list of connections to be read.
    pub(crate) is_queued: bool,
    /// Whole packets wait in `carry` because the journal took no more.
    pub(crate) is_blocked: bool,
    /// The peer has closed its side, or the socket failed.
    pub(crate) is_lost: bool,
}

impl Connection {
    pub(crate) fn new(
        stream: TcpStream,
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
            carry: Vec::new(),
            outbox: Vec::new(),
            identity_slot: IdentitySlot::default(),
            generation: 0,
            heard_at: now,
            silence_max: u32::MAX,
            expires_at: now.saturating_add(connect_seconds_max),
            wheel_at: 0,
            acknowledge,
            is_queued: false,
            is_blocked: false,
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

    /// The second in which this connection has to end if nothing more is heard.
    pub(crate) fn deadline(&self) -> u32 {
        self.expires_at.min(self.heard_at.saturating_add(self.silence_max))
    }
}
