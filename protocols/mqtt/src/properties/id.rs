//! Identifiers of properties, and which packet may carry which.
//! - Source: MQTT 5.0 table 2-4.
//! - Shape: every identifier is below 64, so a set of them is a `u64`.

pub(crate) const PAYLOAD_FORMAT_INDICATOR: u8 = 0x01;
pub(crate) const MESSAGE_EXPIRY_INTERVAL: u8 = 0x02;
pub(crate) const CONTENT_TYPE: u8 = 0x03;
pub(crate) const RESPONSE_TOPIC: u8 = 0x08;
pub(crate) const CORRELATION_DATA: u8 = 0x09;
pub(crate) const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
pub(crate) const SESSION_EXPIRY_INTERVAL: u8 = 0x11;
pub(crate) const ASSIGNED_CLIENT_IDENTIFIER: u8 = 0x12;
pub(crate) const SERVER_KEEP_ALIVE: u8 = 0x13;
pub(crate) const AUTHENTICATION_METHOD: u8 = 0x15;
pub(crate) const AUTHENTICATION_DATA: u8 = 0x16;
pub(crate) const REQUEST_PROBLEM_INFORMATION: u8 = 0x17;
pub(crate) const WILL_DELAY_INTERVAL: u8 = 0x18;
pub(crate) const REQUEST_RESPONSE_INFORMATION: u8 = 0x19;
pub(crate) const RESPONSE_INFORMATION: u8 = 0x1A;
pub(crate) const SERVER_REFERENCE: u8 = 0x1C;
pub(crate) const REASON_STRING: u8 = 0x1F;
pub(crate) const RECEIVE_MAXIMUM: u8 = 0x21;
pub(crate) const TOPIC_ALIAS_MAXIMUM: u8 = 0x22;
pub(crate) const TOPIC_ALIAS: u8 = 0x23;
pub(crate) const MAXIMUM_QOS: u8 = 0x24;
pub(crate) const RETAIN_AVAILABLE: u8 = 0x25;
pub(crate) const USER_PROPERTY: u8 = 0x26;
pub(crate) const MAXIMUM_PACKET_SIZE: u8 = 0x27;
pub(crate) const WILDCARD_SUBSCRIPTION_AVAILABLE: u8 = 0x28;
pub(crate) const SUBSCRIPTION_IDENTIFIER_AVAILABLE: u8 = 0x29;
pub(crate) const SHARED_SUBSCRIPTION_AVAILABLE: u8 = 0x2A;

/// The set that holds only `id`; empty for 64 and more.
pub(crate) const fn bit(id: u8) -> u64 {
    if id < 64 { 1 << id } else { 0 }
}

/// What several packets carry that only report an outcome.
const REASON: u64 = bit(REASON_STRING) | bit(USER_PROPERTY);
/// What describes a message, in PUBLISH and in a will.
const MESSAGE: u64 = bit(PAYLOAD_FORMAT_INDICATOR)
    | bit(MESSAGE_EXPIRY_INTERVAL)
    | bit(CONTENT_TYPE)
    | bit(RESPONSE_TOPIC)
    | bit(CORRELATION_DATA)
    | bit(USER_PROPERTY);
/// What serves extended authentication.
const AUTHENTICATION: u64 = bit(AUTHENTICATION_METHOD) | bit(AUTHENTICATION_DATA);

pub(crate) const IN_CONNECT: u64 = AUTHENTICATION
    | bit(SESSION_EXPIRY_INTERVAL)
    | bit(REQUEST_PROBLEM_INFORMATION)
    | bit(REQUEST_RESPONSE_INFORMATION)
    | bit(RECEIVE_MAXIMUM)
    | bit(TOPIC_ALIAS_MAXIMUM)
    | bit(MAXIMUM_PACKET_SIZE)
    | bit(USER_PROPERTY);
pub(crate) const IN_WILL: u64 = MESSAGE | bit(WILL_DELAY_INTERVAL);
pub(crate) const IN_CONNACK: u64 = AUTHENTICATION
    | REASON
    | bit(SESSION_EXPIRY_INTERVAL)
    | bit(ASSIGNED_CLIENT_IDENTIFIER)
    | bit(SERVER_KEEP_ALIVE)
    | bit(RESPONSE_INFORMATION)
    | bit(SERVER_REFERENCE)
    | bit(RECEIVE_MAXIMUM)
    | bit(TOPIC_ALIAS_MAXIMUM)
    | bit(MAXIMUM_QOS)
    | bit(RETAIN_AVAILABLE)
    | bit(MAXIMUM_PACKET_SIZE)
    | bit(WILDCARD_SUBSCRIPTION_AVAILABLE)
    | bit(SUBSCRIPTION_IDENTIFIER_AVAILABLE)
    | bit(SHARED_SUBSCRIPTION_AVAILABLE);
/// From a client: a subscription identifier is the server's to send.
pub(crate) const IN_CLIENT_PUBLISH: u64 = MESSAGE | bit(TOPIC_ALIAS);
pub(crate) const IN_SERVER_PUBLISH: u64 = IN_CLIENT_PUBLISH | bit(SUBSCRIPTION_IDENTIFIER);
pub(crate) const IN_PUBACK: u64 = REASON;
pub(crate) const IN_SUBSCRIBE: u64 = bit(SUBSCRIPTION_IDENTIFIER) | bit(USER_PROPERTY);
pub(crate) const IN_UNSUBSCRIBE: u64 = bit(USER_PROPERTY);
pub(crate) const IN_CLIENT_DISCONNECT: u64 = REASON | bit(SESSION_EXPIRY_INTERVAL);
pub(crate) const IN_SERVER_DISCONNECT: u64 = REASON | bit(SERVER_REFERENCE);
pub(crate) const IN_AUTH: u64 = AUTHENTICATION | REASON;
