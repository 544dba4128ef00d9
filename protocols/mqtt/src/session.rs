//! One publisher's connection: which packet may come when, and the little that must be remembered.
//! - Source: MQTT 5.0 sections 3 and 4.
//! - Shape: AwaitingConnect -> Deciding (CONNECT given out) -> Connected -> Closed; `refuse`, `disconnect`, `fail` and a
//!   DISCONNECT from the client lead to Closed from anywhere.
//! - Invariants: at most one packet is given out per call; nothing after CONNECT before it is accepted; a will leaves only a
//!   connection that was accepted and did not end with DISCONNECT 0.
//! - Limits: [`Limits`]; 48 bytes while there is neither a will nor an alias nor a message of the server in flight.
//! - Hot path: [`Session::next`] for PUBLISH and [`Session::ack`]: no allocation, no copy.
//! - Not here: time (`effective_keep_alive` says how long to wait), credentials, permissions.

use crate::alias::Aliases;
use crate::codec::{self, Frame, packet_type};
use crate::error::{PacketError, SessionError};
use crate::limits::Limits;
use crate::outgoing::Outgoing;
use crate::packet::connack::{self, Accept};
use crate::packet::connect::{self, Connect};
use crate::packet::disconnect::{self, Sender};
use crate::packet::publish::{self, Publish};
use crate::packet::subscribe::{self, Subscribe};
use crate::packet::unsubscribe::{self, Unsubscribe};
use crate::packet::{auth, ping, puback, suback, unsuback};
use crate::reader::Reader;
use crate::reason::{DisconnectReason, PubAckReason, ReasonCode, Refusal};
use crate::version::{QoS, Version};
use crate::will::Will;

/// What a client wants, borrowed from the input.
#[derive(Debug)]
pub enum Event<'a> {
    /// To connect: answer with [`Session::accept`] or [`Session::refuse`].
    Connect(Connect<'a>),
    /// To publish: answer QoS 1 with [`Session::ack`] once the message is safe.
    Publish(Publish<'a>),
    /// It acknowledges a message of the server.
    PubAck {
        /// Of which message.
        packet_id: u16,
        /// 0 for 3.1.1; from 0x80 on the client has not taken it.
        reason: u8,
        /// What the driver called the message in [`Delivery::token`]; `None` where no such message was in flight.
        token: Option<u64>,
    },
    /// To subscribe: answer with [`Session::suback`].
    Subscribe(Subscribe<'a>),
    /// To unsubscribe: answer with [`Session::unsuback`].
    Unsubscribe(Unsubscribe<'a>),
    /// A sign of life: answer with [`Session::ping_response`].
    PingRequest,
    /// It leaves: close the connection. The will stays to be published unless `reason` is 0.
    Disconnect {
        /// 0 for 3.1.1.
        reason: u8,
    },
}

/// A message of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// Where it is published.
    pub topic: &'a str,
    /// Its body.
    pub payload: &'a [u8],
    /// QoS 1, and what the driver calls the message: given back with its PUBACK, and never of two messages at a time. `None`: QoS 0.
    pub token: Option<u64>,
}

/// Why a message of the server was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// CONNECT is not accepted, or the connection is over.
    #[error("the session is not open")]
    NotConnected,
    /// As many messages as the client takes wait for their PUBACK: try again after the next one.
    #[error("the client has as many unacknowledged messages as it takes")]
    WindowFull,
    /// It is larger than the client takes, or its topic is longer than a topic can be. It never fits this connection.
    #[error("the message is larger than the client takes")]
    TooLarge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    AwaitingConnect,
    Deciding,
    Connected,
    Closed,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Session {
    will: Option<Box<Will>>,
    aliases: Option<Box<Aliases>>,
    /// The server's messages of QoS 1; nothing while there is none.
    outgoing: Option<Box<Outgoing>>,
    /// What the client takes; `u32::MAX` where it set no limit.
    client_packet_bytes_max: u32,
    session_expiry_seconds: u32,
    keep_alive_seconds: u16,
    /// As announced; the limits of the next connection may differ.
    receive_maximum: u16,
    topic_alias_maximum: u16,
    in_flight: u16,
    /// Unacknowledged messages of the server that the client takes.
    client_receive_maximum: u16,
    state: State,
    version: Version,
    was_connected: bool,
}

const _: () = assert!(size_of::<Session>() <= 48);

impl Default for Session {
    fn default() -> Self {
        Self::new()
    }
}

impl Session {
    /// A connection that has said nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            will: None,
            aliases: None,
            outgoing: None,
            client_packet_bytes_max: u32::MAX,
            session_expiry_seconds: 0,
            keep_alive_seconds: 0,
            receive_maximum: u16::MAX,
            topic_alias_maximum: 0,
            in_flight: 0,
            client_receive_maximum: u16::MAX,
            state: State::AwaitingConnect,
            version: Version::V311,
            was_connected: false,
        }
    }

    /// The version of CONNECT; 3.1.1 before.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Whether CONNECT was accepted and nothing ended the connection since.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected)
    }

    /// Whether CONNECT was given out and waits for its answer.
    #[must_use]
    pub const fn is_deciding(&self) -> bool {
        matches!(self.state, State::Deciding)
    }

    /// Whether CONNECT was ever accepted.
    #[must_use]
    pub const fn was_connected(&self) -> bool {
        self.was_connected
    }

    /// Publishes of QoS 1 given out and not yet acknowledged.
    #[must_use]
    pub const fn in_flight(&self) -> u16 {
        self.in_flight
    }

    /// Takes the next whole packet off the front of `input`. `None`: it needs more bytes, or CONNECT waits for a decision,
    /// or the connection is over; `input` is untouched then.
    ///
    /// # Errors
    /// The connection is to be closed, after [`Session::fail`] has told the client.
    #[inline]
    pub fn next<'s, 'i: 's>(
        &'s mut self,
        limits: &Limits,
        input: &mut &'i [u8],
    ) -> Result<Option<Event<'s>>, SessionError> {
        let bytes_max = match self.state {
            State::Connected => limits.packet_bytes_max,
            State::AwaitingConnect => limits.connect_bytes_max,
            State::Deciding | State::Closed => return Ok(None),
        };
        let Some((frame, rest)) = codec::split(input, bytes_max)? else {
            self.check_first(input)?;
            return Ok(None);
        };
        *input = rest;
        if frame.packet_type() == packet_type::PUBLISH && self.state == State::Connected {
            return self.publish(limits, frame);
        }
        self.other(limits, frame).map(Some)
    }

    /// Judges a packet that is not yet complete by its first byte, so that nobody waits for what will be refused.
    fn check_first(&self, input: &[u8]) -> Result<(), SessionError> {
        let Some(&first) = input.first() else {
            return Ok(());
        };
        let kind = first >> 4;
        //= [MQTT-3.1.0-1]
        if self.state == State::AwaitingConnect && kind != packet_type::CONNECT {
            return Err(SessionError::NotConnect);
        }
        match kind {
            packet_type::CONNECT if self.state == State::Connected => Err(SessionError::SecondConnect),
            packet_type::PUBLISH if first & 0x06 == 0x06 => Err(PacketError::QosThree.into()),
            packet_type::PUBLISH if first & 0x04 != 0 => Err(SessionError::QosNotSupported),
            _ => Ok(()),
        }
    }

    #[inline]
    fn publish<'s, 'i: 's>(&'s mut self, limits: &Limits, frame: Frame<'i>) -> Result<Option<Event<'s>>, SessionError> {
        let publish: Publish<'s> = publish::decode(self.version, frame.flags(), frame.body, limits)?;
        if self.version == Version::V5 {
            self.check_announced(limits, &publish)?;
        }
        if publish.qos == QoS::AtLeastOnce {
            self.in_flight = self.in_flight.saturating_add(1);
        }
        let topic = match publish.properties.topic_alias() {
            None => publish.topic,
            Some(alias) => self.resolve(limits, alias, publish.topic)?,
        };
        Ok(Some(Event::Publish(Publish { topic, ..publish })))
    }

    /// Holds a v5 publish against what CONNACK said.
    #[inline]
    const fn check_announced(&self, limits: &Limits, publish: &Publish<'_>) -> Result<(), SessionError> {
        if publish.retain && !limits.retain_available {
            return Err(SessionError::RetainNotSupported);
        }
        //= [MQTT-3.3.4-7]
        if matches!(publish.qos, QoS::AtLeastOnce) && self.in_flight >= self.receive_maximum {
            return Err(SessionError::ReceiveMaximumExceeded);
        }
        Ok(())
    }

    fn resolve<'s, 'i: 's>(&'s mut self, limits: &Limits, alias: u16, topic: &'i str) -> Result<&'s str, SessionError> {
        //= [MQTT-3.3.2-8]
        //= [MQTT-3.3.2-9]
        if alias == 0 || alias > self.topic_alias_maximum {
            return Err(SessionError::TopicAliasInvalid(alias));
        }
        self.aliases.get_or_insert_default().resolve(alias, topic, limits.topic_alias_bytes_max)
    }

    /// Everything but the PUBLISH of a connected client.
    fn other<'s, 'i: 's>(&'s mut self, limits: &Limits, frame: Frame<'i>) -> Result<Event<'s>, SessionError> {
        let kind = frame.packet_type();
        if self.state == State::AwaitingConnect {
            //= [MQTT-3.1.0-1]
            if kind != packet_type::CONNECT {
                return Err(SessionError::NotConnect);
            }
            return self.connect(limits, frame).map(Event::Connect);
        }
        let (version, flags, body) = (self.version, frame.flags(), frame.body);
        match kind {
            //= [MQTT-3.1.0-2]
            packet_type::CONNECT => Err(SessionError::SecondConnect),
            packet_type::PUBACK => {
                let (packet_id, reason) = puback::decode(version, flags, body, limits)?;
                Ok(Event::PubAck { packet_id, reason, token: self.delivered(packet_id) })
            }
            packet_type::SUBSCRIBE => subscribe::decode(version, flags, body, limits).map(Event::Subscribe),
            packet_type::UNSUBSCRIBE => Ok(Event::Unsubscribe(unsubscribe::decode(version, flags, body, limits)?)),
            packet_type::PINGREQ => {
                ping::check(flags, body)?;
                Ok(Event::PingRequest)
            }
            packet_type::DISCONNECT => self.client_disconnect(limits, frame),
            packet_type::AUTH if version == Version::V5 => {
                auth::check(flags, body, limits)?;
                Err(SessionError::OutOfPlace(kind))
            }
            0 | packet_type::AUTH => Err(PacketError::PacketType(kind).into()),
            _ => Err(SessionError::OutOfPlace(kind)),
        }
    }

    fn connect<'i>(&mut self, limits: &Limits, frame: Frame<'i>) -> Result<Connect<'i>, SessionError> {
        let mut reader = Reader::new(frame.body);
        let version = connect::decode_version(frame.flags(), &mut reader);
        // Whoever asks for a version after 5 is answered in the words of 5.
        self.version = match version {
            Ok(version) => version,
            Err(PacketError::ProtocolLevel(6..)) => Version::V5,
            Err(_) => Version::V311,
        };
        let (connect, will) = connect::decode(version?, reader, limits)?;
        self.will = will.map(Box::new);
        self.client_packet_bytes_max = connect.maximum_packet_size.unwrap_or(u32::MAX);
        self.session_expiry_seconds = connect.session_expiry_seconds.unwrap_or(0);
        self.client_receive_maximum = connect.receive_maximum;
        self.keep_alive_seconds = connect.keep_alive_seconds;
        self.state = State::Deciding;
        Ok(connect)
    }

    fn client_disconnect(&mut self, limits: &Limits, frame: Frame<'_>) -> Result<Event<'static>, SessionError> {
        let said = disconnect::decode(self.version, Sender::Client, frame.flags(), frame.body, limits)?;
        if self.session_expiry_seconds == 0 && said.session_expiry_seconds.is_some_and(|seconds| seconds != 0) {
            return Err(SessionError::SessionExpiry);
        }
        //= [MQTT-3.14.4-3]
        if said.reason == ReasonCode::Success.code() {
            self.will = None;
        }
        self.state = State::Closed;
        Ok(Event::Disconnect { reason: said.reason })
    }

    /// Answers CONNECT with yes. Without effect unless a CONNECT waits for its answer.
    pub fn accept(&mut self, limits: &Limits, options: &Accept<'_>, out: &mut Vec<u8>) {
        //= [MQTT-3.2.0-2]
        if self.state != State::Deciding {
            return;
        }
        let client = connack::Client {
            keep_alive_seconds: self.keep_alive_seconds,
            session_expiry_seconds: self.session_expiry_seconds,
            packet_bytes_max: self.client_packet_bytes_max,
        };
        connack::encode_accept(self.version, options, client, limits, out);
        self.receive_maximum = limits.receive_maximum.max(1);
        self.topic_alias_maximum = limits.topic_alias_maximum;
        self.state = State::Connected;
        self.was_connected = true;
    }

    /// Answers CONNECT with no; close the connection then. Writes nothing once CONNECT was answered, or where the version has
    /// no word for the refusal.
    pub fn refuse(&mut self, refusal: Refusal, out: &mut Vec<u8>) {
        if matches!(self.state, State::AwaitingConnect | State::Deciding) {
            connack::encode_refusal(self.version, refusal, self.client_packet_bytes_max, out);
        }
        //= [MQTT-3.2.2-7]
        self.will = None;
        self.state = State::Closed;
    }

    /// Answers a PUBLISH of QoS 1 and frees its place. MQTT 3.1.1 has no word for "not accepted": nothing is written then, and the
    /// driver closes, so that the client sends again.
    #[inline]
    pub fn ack(&mut self, packet_id: u16, reason: PubAckReason, out: &mut Vec<u8>) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if reason == PubAckReason::Success {
            puback::encode_success(packet_id, out);
        } else {
            self.ack_with_reason(packet_id, reason, out);
        }
    }

    #[cold]
    fn ack_with_reason(&self, packet_id: u16, reason: PubAckReason, out: &mut Vec<u8>) {
        match self.version {
            Version::V5 => puback::encode_reason(packet_id, reason.code(), out),
            Version::V311 if reason.is_success() => puback::encode_success(packet_id, out),
            Version::V311 => {}
        }
    }

    /// Publishes a message of the server. One that is published again under a token that is still in flight keeps its packet id and
    /// is marked as sent before.
    ///
    /// # Errors
    /// Nothing was written then.
    pub fn deliver(&mut self, delivery: &Delivery<'_>, out: &mut Vec<u8>) -> Result<(), DeliveryError> {
        if self.state != State::Connected {
            return Err(DeliveryError::NotConnected);
        }
        let ticket = match delivery.token {
            Some(token) => {
                let outgoing = self.outgoing.get_or_insert_default();
                Some(outgoing.enter(token, self.client_receive_maximum).ok_or(DeliveryError::WindowFull)?)
            }
            None => None,
        };
        let options = publish::PublishOptions {
            version: self.version,
            topic: delivery.topic,
            packet_id: ticket.map(|ticket| ticket.packet_id),
            dup: ticket.is_some_and(|ticket| ticket.dup),
            payload: delivery.payload,
            user_properties: &[],
        };
        let before = out.len();
        publish::encode(&options, self.client_packet_bytes_max, out);
        if out.len() > before {
            return Ok(());
        }
        if let Some(ticket) = ticket {
            self.delivered(ticket.packet_id);
        }
        Err(DeliveryError::TooLarge)
    }

    /// Messages of the server that wait for their PUBACK.
    #[must_use]
    pub fn outgoing_in_flight(&self) -> usize {
        self.outgoing.as_deref().map_or(0, Outgoing::len)
    }

    /// Frees a packet id; answers what it stood for. The buffer goes with the last one.
    fn delivered(&mut self, packet_id: u16) -> Option<u64> {
        let outgoing = self.outgoing.as_deref_mut()?;
        let token = outgoing.acknowledged(packet_id);
        outgoing.trim();
        token
    }

    /// Answers SUBSCRIBE with one code per filter; 3.1.1 hears 0x80 for every failure.
    pub fn suback(&self, packet_id: u16, codes: &[u8], out: &mut Vec<u8>) {
        suback::encode(self.version, packet_id, codes, self.client_packet_bytes_max, out);
    }

    /// Answers UNSUBSCRIBE with one code per filter; 3.1.1 hears no codes.
    pub fn unsuback(&self, packet_id: u16, codes: &[u8], out: &mut Vec<u8>) {
        unsuback::encode(self.version, packet_id, codes, self.client_packet_bytes_max, out);
    }

    /// Answers PINGREQ.
    pub fn ping_response(&self, out: &mut Vec<u8>) {
        //= [MQTT-3.12.4-1]
        out.extend_from_slice(&ping::RESPONSE);
    }

    /// Ends the connection from this side; close it then. Only a connected v5 client is told.
    pub fn disconnect(&mut self, reason: DisconnectReason, out: &mut Vec<u8>) {
        //= [MQTT-3.14.0-1]
        if self.state == State::Connected && self.version == Version::V5 {
            disconnect::encode(self.version, reason.code(), self.client_packet_bytes_max, out);
        }
        self.state = State::Closed;
    }

    /// Tells the client what it did wrong, in CONNACK or DISCONNECT as far as its version can; close the connection then.
    pub fn fail(&mut self, error: SessionError, out: &mut Vec<u8>) {
        //= [MQTT-4.13.1-1]
        match (self.state, error.refusal()) {
            (State::AwaitingConnect | State::Deciding, Some(refusal)) => self.refuse(refusal, out),
            (State::AwaitingConnect | State::Deciding, None) => self.state = State::Closed,
            (State::Connected | State::Closed, _) => self.disconnect(error.disconnect_reason(), out),
        }
    }

    /// The will, to be published now that the connection has ended; once. `None` where there is none, the client took leave with
    /// reason 0, or CONNECT was never accepted.
    pub fn take_will(&mut self) -> Option<Will> {
        if !self.was_connected {
            return None;
        }
        self.will.take().map(|will| *will)
    }
}
