//! What can be wrong with a packet, and with a packet in its place.
//! - Errors: every variant names the step that failed and knows the answer of MQTT 5 to it; the peer is always at fault.

use millrace_model::{Classify, Kind};

use crate::reason::{DisconnectReason, Refusal};

/// Bytes that are not a packet of this protocol, or are larger than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The whole packet exceeds its limit; found out from its first bytes.
    #[error("packet is larger than allowed")]
    TooLarge,
    /// A variable byte integer of more than four bytes, or of more than it needs.
    #[error("length is not encoded in the fewest bytes")]
    LengthOverlong,
    /// A field reaches past the end.
    #[error("packet ends inside a field")]
    Truncated,
    /// Bytes after the last field.
    #[error("packet goes on after its last field")]
    TrailingBytes,
    /// Reserved flags of the fixed header are not as demanded.
    #[error("flags of the fixed header are not as the specification demands")]
    FixedHeaderFlags,
    /// A packet type that does not exist in this version.
    #[error("packet type {0} does not exist")]
    PacketType(u8),
    /// A string is not UTF-8.
    #[error("string is not utf-8")]
    NotUtf8,
    /// A string contains U+0000.
    #[error("string contains the null character")]
    NullCharacter,
    /// Packet id 0.
    #[error("packet id is zero")]
    PacketIdZero,
    /// The protocol is not called `MQTT`.
    #[error("protocol name is not MQTT")]
    ProtocolName,
    /// Neither level 4 nor 5.
    #[error("protocol level {0} is not offered")]
    ProtocolLevel(u8),
    /// Flags of CONNECT that contradict each other or are reserved.
    #[error("connect flags contradict each other")]
    ConnectFlags,
    /// Both QoS bits set.
    #[error("quality of service 3 does not exist")]
    QosThree,
    /// `+` or `#` in the name of a topic.
    #[error("topic name contains a wildcard")]
    WildcardInTopic,
    /// No topic and no alias.
    #[error("topic name is empty and no alias stands for it")]
    EmptyTopic,
    /// A filter that breaks the grammar or has too many levels.
    #[error("topic filter is not valid")]
    FilterInvalid,
    /// SUBSCRIBE or UNSUBSCRIBE without a filter.
    #[error("packet names no topic filter")]
    NoFilters,
    /// More filters than allowed.
    #[error("packet names more topic filters than allowed")]
    TooManyFilters,
    /// Reserved bits of subscription options.
    #[error("reserved bits of subscription options are set")]
    SubscriptionOptions,
    /// QoS 3 or retain handling 3.
    #[error("subscription option has a value that is not allowed")]
    SubscriptionOptionValue,
    /// A shared subscription cannot leave out the subscriber's own messages.
    #[error("no local on a shared subscription")]
    SharedNoLocal,
    /// An identifier that no property has.
    #[error("property {0:#04x} does not exist")]
    PropertyUnknown(u32),
    /// A property of other packets.
    #[error("property {0:#04x} does not belong in this packet")]
    PropertyMisplaced(u8),
    /// A property that may stand only once.
    #[error("property {0:#04x} stands twice")]
    PropertyRepeated(u8),
    /// A value outside the range of its property.
    #[error("property {0:#04x} has a value that is not allowed")]
    PropertyValue(u8),
    /// Authentication data without a method.
    #[error("authentication data without an authentication method")]
    AuthenticationData,
    /// More user properties than allowed.
    #[error("packet has more user properties than allowed")]
    TooManyUserProperties,
    /// A reason code that does not belong in the packet.
    #[error("reason code {0:#04x} does not belong in this packet")]
    ReasonCode(u8),
}

impl PacketError {
    /// What an MQTT 5 client is told.
    #[must_use]
    pub const fn disconnect_reason(self) -> DisconnectReason {
        match self {
            Self::TooLarge => DisconnectReason::PacketTooLarge,
            Self::PacketIdZero
            | Self::EmptyTopic
            | Self::NoFilters
            | Self::SubscriptionOptionValue
            | Self::SharedNoLocal
            | Self::PropertyRepeated(_)
            | Self::PropertyValue(_)
            | Self::AuthenticationData
            | Self::ProtocolName
            | Self::ProtocolLevel(_)
            | Self::ReasonCode(_) => DisconnectReason::ProtocolError,
            Self::WildcardInTopic => DisconnectReason::TopicNameInvalid,
            Self::FilterInvalid => DisconnectReason::TopicFilterInvalid,
            Self::TooManyFilters | Self::TooManyUserProperties => DisconnectReason::QuotaExceeded,
            Self::LengthOverlong
            | Self::Truncated
            | Self::TrailingBytes
            | Self::FixedHeaderFlags
            | Self::PacketType(_)
            | Self::NotUtf8
            | Self::NullCharacter
            | Self::ConnectFlags
            | Self::QosThree
            | Self::SubscriptionOptions
            | Self::PropertyUnknown(_)
            | Self::PropertyMisplaced(_) => DisconnectReason::MalformedPacket,
        }
    }
}

impl Classify for PacketError {
    fn kind(&self) -> Kind {
        Kind::Malformed
    }
}

/// A reason to end a connection: a broken packet, or a good one that is out of place. Small and `Copy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The packet itself.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// Anything before CONNECT.
    #[error("first packet is not CONNECT")]
    NotConnect,
    /// CONNECT twice.
    #[error("second CONNECT on one connection")]
    SecondConnect,
    /// A packet that only a server sends, or one that belongs to QoS 2 or to an authentication nobody began.
    #[error("packet type {0} is out of place")]
    OutOfPlace(u8),
    /// An empty client id together with a session that shall be kept.
    #[error("client id is empty and clean session is off")]
    ClientIdRequired,
    /// PUBLISH or will of QoS 2.
    #[error("quality of service 2 is not offered")]
    QosNotSupported,
    /// RETAIN although not offered.
    #[error("retain is not offered")]
    RetainNotSupported,
    /// More unacknowledged publishes than announced.
    #[error("more unacknowledged publishes than announced")]
    ReceiveMaximumExceeded,
    /// Alias 0 or above the maximum.
    #[error("topic alias {0} is out of range")]
    TopicAliasInvalid(u16),
    /// An alias that was never set.
    #[error("topic alias {0} stands for no topic")]
    TopicAliasUnknown(u16),
    /// The topics behind aliases take too much memory.
    #[error("topics behind aliases take more memory than allowed")]
    TopicAliasBytes,
    /// Subscription identifiers are announced as not available.
    #[error("subscription identifiers are not offered")]
    SubscriptionIdentifier,
    /// A session expiry in DISCONNECT after none in CONNECT.
    #[error("session expiry begins with DISCONNECT")]
    SessionExpiry,
}

impl SessionError {
    /// What an MQTT 5 client is told in DISCONNECT.
    #[must_use]
    pub const fn disconnect_reason(self) -> DisconnectReason {
        match self {
            Self::Packet(error) => error.disconnect_reason(),
            Self::NotConnect
            | Self::SecondConnect
            | Self::OutOfPlace(_)
            | Self::ClientIdRequired
            | Self::TopicAliasUnknown(_)
            | Self::SessionExpiry => DisconnectReason::ProtocolError,
            Self::QosNotSupported => DisconnectReason::QoSNotSupported,
            Self::RetainNotSupported => DisconnectReason::RetainNotSupported,
            Self::ReceiveMaximumExceeded => DisconnectReason::ReceiveMaximumExceeded,
            Self::TopicAliasInvalid(_) => DisconnectReason::TopicAliasInvalid,
            Self::TopicAliasBytes => DisconnectReason::QuotaExceeded,
            Self::SubscriptionIdentifier => DisconnectReason::SubscriptionIdentifiersNotSupported,
        }
    }

    /// What CONNACK says, where the error was in CONNECT. `None`: the peer spoke something else and gets no answer.
    #[must_use]
    pub const fn refusal(self) -> Option<Refusal> {
        Some(match self {
            Self::NotConnect => return None,
            Self::Packet(PacketError::ProtocolName | PacketError::ProtocolLevel(_)) => Refusal::UnsupportedVersion,
            Self::ClientIdRequired => Refusal::IdentifierRejected,
            other => match other.disconnect_reason() {
                DisconnectReason::MalformedPacket => Refusal::Malformed,
                DisconnectReason::TopicNameInvalid => Refusal::TopicNameInvalid,
                DisconnectReason::PacketTooLarge => Refusal::PacketTooLarge,
                DisconnectReason::QuotaExceeded => Refusal::QuotaExceeded,
                DisconnectReason::RetainNotSupported => Refusal::RetainNotSupported,
                DisconnectReason::QoSNotSupported => Refusal::QoSNotSupported,
                _ => Refusal::ProtocolError,
            },
        })
    }
}

impl Classify for SessionError {
    fn kind(&self) -> Kind {
        Kind::Malformed
    }
}
