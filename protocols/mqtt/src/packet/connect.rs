//! CONNECT: bytes <-> [`Connect`]. Does not judge client id or credentials (`ingest` does).
//! - Source: MQTT 5.0 section 3.1; MQTT 3.1.1 section 3.1.
//! - Shape: fixed header | "MQTT" | level | flags | keep-alive u16 | properties (v5) | client id
//!   | will properties (v5), topic, payload | user name | password, each only where its flag is set
//! - Limits: `connect_bytes_max`, checked before; user properties are counted.

use std::fmt;

use crate::codec::packet_type;
use crate::error::{PacketError, SessionError};
use crate::limits::Limits;
use crate::properties::{Properties, PublishProperties, UserProperties, id};
use crate::reader::Reader;
use crate::text;
use crate::version::{QoS, Version};
use crate::will::Will;
use crate::writer;

/// A wish to connect, borrowed from the input. Its `Debug` leaves the credentials out.
#[derive(Clone, Copy)]
pub struct Connect<'a> {
    /// The version the client speaks.
    pub version: Version,
    /// Who it says it is; may be empty, then the server gives it an id.
    pub client_id: &'a str,
    /// Credentials, first half.
    pub user_name: Option<&'a str>,
    /// Credentials, second half. Never to be logged.
    pub password: Option<&'a [u8]>,
    /// Seconds of silence the client means to stay under; 0 is no promise.
    pub keep_alive_seconds: u16,
    /// Whether state of earlier connections is to be dropped (clean session in 3.1.1).
    pub clean_start: bool,
    /// How long a v5 client wants its state kept after the connection.
    pub session_expiry_seconds: Option<u32>,
    /// Whether it left a will; [`crate::Session::take_will`] gives it out when its time comes.
    pub has_will: bool,
    /// Where the will would be published.
    pub will_topic: Option<&'a str>,
    /// Publishes of QoS 1 the client takes before it acknowledges.
    pub receive_maximum: u16,
    /// Largest packet the client takes. The session keeps to it.
    pub maximum_packet_size: Option<u32>,
    /// Topic aliases the client takes.
    pub topic_alias_maximum: u16,
    /// Whether reason strings are welcome. This server sends none.
    pub request_problem_information: bool,
    /// Method of extended authentication; refuse what is not offered.
    pub authentication_method: Option<&'a str>,
    /// Data for that method.
    pub authentication_data: Option<&'a [u8]>,
    /// Said by a v5 client.
    pub user_properties: UserProperties<'a>,
}

impl fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("client_id", &self.client_id)
            .field("user_name", &self.user_name)
            .field("keep_alive_seconds", &self.keep_alive_seconds)
            .field("clean_start", &self.clean_start)
            .field("will_topic", &self.will_topic)
            .finish_non_exhaustive()
    }
}

/// The flags of CONNECT, checked against each other.
#[derive(Debug, Clone, Copy)]
struct Flags {
    user_name: bool,
    password: bool,
    clean_start: bool,
    will: Option<WillFlags>,
}

#[derive(Debug, Clone, Copy)]
struct WillFlags {
    quality: u8,
    retain: bool,
}

/// Reads protocol name and level, which say how to read the rest.
pub(crate) fn decode_version(flags: u8, reader: &mut Reader<'_>) -> Result<Version, PacketError> {
    //= [MQTT-2.1.3-1]
    if flags != 0 {
        return Err(PacketError::FixedHeaderFlags);
    }
    //= [MQTT-3.1.2-1]
    if reader.binary()? != b"MQTT" {
        return Err(PacketError::ProtocolName);
    }
    //= [MQTT-3.1.2-2]
    match reader.byte()? {
        4 => Ok(Version::V311),
        5 => Ok(Version::V5),
        level => Err(PacketError::ProtocolLevel(level)),
    }
}

/// Reads what follows the level.
pub(crate) fn decode<'a>(
    version: Version,
    mut reader: Reader<'a>,
    limits: &Limits,
) -> Result<(Connect<'a>, Option<Will>), SessionError> {
    let flags = decode_flags(version, reader.byte()?)?;
    let keep_alive_seconds = reader.two_bytes()?;
    let mut properties = Properties::NONE;
    if version == Version::V5 {
        properties = Properties::take(&mut reader, id::IN_CONNECT, limits.user_properties_max)?;
    }
    //= [MQTT-3.1.3-1]
    //= [MQTT-3.1.3-4]
    let client_id = reader.string()?;
    //= 3.1.1 [MQTT-3.1.3-8]
    if version == Version::V311 && client_id.is_empty() && !flags.clean_start {
        return Err(SessionError::ClientIdRequired);
    }
    let (will_topic, will) = match flags.will {
        Some(will_flags) => {
            decode_will(version, will_flags, &mut reader, limits).map(|(topic, will)| (Some(topic), Some(will)))?
        }
        None => (None, None),
    };
    //= [MQTT-3.1.2-17]
    //= [MQTT-3.1.3-12]
    let user_name = if flags.user_name { Some(reader.string()?) } else { None };
    //= [MQTT-3.1.2-19]
    let password = if flags.password { Some(reader.binary()?) } else { None };
    reader.finish()?;
    let connect = Connect {
        client_id,
        user_name,
        password,
        keep_alive_seconds,
        clean_start: flags.clean_start,
        has_will: will.is_some(),
        will_topic,
        ..announced(version, properties)
    };
    Ok((connect, will))
}

/// What the properties say; everything else is empty.
fn announced(version: Version, properties: Properties<'_>) -> Connect<'_> {
    Connect {
        version,
        client_id: "",
        user_name: None,
        password: None,
        keep_alive_seconds: 0,
        clean_start: false,
        session_expiry_seconds: properties.four_bytes(id::SESSION_EXPIRY_INTERVAL),
        has_will: false,
        will_topic: None,
        receive_maximum: properties.two_bytes(id::RECEIVE_MAXIMUM).unwrap_or(u16::MAX),
        maximum_packet_size: properties.four_bytes(id::MAXIMUM_PACKET_SIZE),
        topic_alias_maximum: properties.two_bytes(id::TOPIC_ALIAS_MAXIMUM).unwrap_or(0),
        request_problem_information: properties.byte(id::REQUEST_PROBLEM_INFORMATION) != Some(0),
        authentication_method: properties.text(id::AUTHENTICATION_METHOD),
        authentication_data: properties.binary(id::AUTHENTICATION_DATA),
        user_properties: UserProperties::new(properties),
    }
}

fn decode_flags(version: Version, flags: u8) -> Result<Flags, PacketError> {
    let is_set = |bit: u8| flags >> bit & 1 == 1;
    let will = WillFlags { quality: flags >> 3 & 0x03, retain: is_set(5) };
    let has_will = is_set(2);
    //= [MQTT-3.1.2-3]
    let is_reserved_set = is_set(0);
    //= [MQTT-3.1.2-11]
    //= [MQTT-3.1.2-13]
    let is_will_stray = !has_will && (will.quality != 0 || will.retain);
    //= 3.1.1 [MQTT-3.1.2-22]
    let is_password_stray = version == Version::V311 && is_set(6) && !is_set(7);
    if is_reserved_set || is_will_stray || is_password_stray {
        return Err(PacketError::ConnectFlags);
    }
    //= [MQTT-3.1.2-12]
    if will.quality == 3 {
        return Err(PacketError::QosThree);
    }
    Ok(Flags { user_name: is_set(7), password: is_set(6), clean_start: is_set(1), will: has_will.then_some(will) })
}

fn decode_will<'a>(
    version: Version,
    flags: WillFlags,
    reader: &mut Reader<'a>,
    limits: &Limits,
) -> Result<(&'a str, Will), SessionError> {
    let mut properties = Properties::NONE;
    if version == Version::V5 {
        properties = Properties::take(reader, id::IN_WILL, limits.user_properties_max)?;
        //= [MQTT-3.2.2-12]
        if flags.quality == 2 {
            return Err(SessionError::QosNotSupported);
        }
        //= [MQTT-3.2.2-13]
        if flags.retain && !limits.retain_available {
            return Err(SessionError::RetainNotSupported);
        }
    }
    //= [MQTT-3.1.3-11]
    let topic = text::topic_name(reader.binary()?)?;
    if topic.is_empty() {
        return Err(PacketError::EmptyTopic.into());
    }
    let payload = reader.binary()?;
    let mut bag = Vec::new();
    PublishProperties::new(properties).write_bag(&mut bag);
    let will = Will {
        topic: topic.to_owned(),
        payload: payload.to_owned(),
        qos: if flags.quality == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce },
        retain: flags.retain,
        bag,
        delay_seconds: properties.four_bytes(id::WILL_DELAY_INTERVAL).unwrap_or(0),
        message_expiry_seconds: properties.four_bytes(id::MESSAGE_EXPIRY_INTERVAL),
    };
    Ok((topic, will))
}

/// What a client says to connect. Its `Debug` leaves the credentials out.
#[derive(Clone, Copy)]
pub struct ConnectOptions<'a> {
    /// The version it speaks.
    pub version: Version,
    /// Who it is.
    pub client_id: &'a str,
    /// Credentials, first half.
    pub user_name: Option<&'a str>,
    /// Credentials, second half; needs a user name in 3.1.1.
    pub password: Option<&'a [u8]>,
    /// Seconds of silence it means to stay under.
    pub keep_alive_seconds: u16,
    /// Whether state of earlier connections is to be dropped.
    pub clean_start: bool,
}

impl fmt::Debug for ConnectOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectOptions")
            .field("version", &self.version)
            .field("client_id", &self.client_id)
            .field("user_name", &self.user_name)
            .finish_non_exhaustive()
    }
}

pub(crate) fn encode(options: &ConnectOptions<'_>, out: &mut Vec<u8>) {
    writer::packet(out, packet_type::CONNECT << 4, u32::MAX, |body| {
        body.string("MQTT");
        body.byte(options.version.level());
        body.byte(
            u8::from(options.user_name.is_some()) << 7
                | u8::from(options.password.is_some()) << 6
                | u8::from(options.clean_start) << 1,
        );
        body.two_bytes(options.keep_alive_seconds);
        if options.version == Version::V5 {
            body.byte(0);
        }
        body.string(options.client_id);
        if let Some(user_name) = options.user_name {
            body.string(user_name);
        }
        if let Some(password) = options.password {
            body.binary(password);
        }
    });
}
