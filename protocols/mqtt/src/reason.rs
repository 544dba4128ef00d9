//! Reason codes of MQTT 5 and the return codes of 3.1.1, and which of them this server says when.
//! - Source: MQTT 5.0 section 2.4; MQTT 3.1.1 section 3.2.2.3.

/// Every reason code of MQTT 5, in the order of the specification. Some numbers have two names, by packet; the first stands for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of the specification's table")]
pub enum ReasonCode {
    Success = 0x00,
    GrantedQoS1 = 0x01,
    GrantedQoS2 = 0x02,
    DisconnectWithWill = 0x04,
    NoMatchingSubscribers = 0x10,
    NoSubscriptionExisted = 0x11,
    ContinueAuthentication = 0x18,
    Reauthenticate = 0x19,
    UnspecifiedError = 0x80,
    MalformedPacket = 0x81,
    ProtocolError = 0x82,
    ImplementationSpecificError = 0x83,
    UnsupportedProtocolVersion = 0x84,
    ClientIdentifierNotValid = 0x85,
    BadUserNameOrPassword = 0x86,
    NotAuthorized = 0x87,
    ServerUnavailable = 0x88,
    ServerBusy = 0x89,
    Banned = 0x8A,
    ServerShuttingDown = 0x8B,
    BadAuthenticationMethod = 0x8C,
    KeepAliveTimeout = 0x8D,
    SessionTakenOver = 0x8E,
    TopicFilterInvalid = 0x8F,
    TopicNameInvalid = 0x90,
    PacketIdentifierInUse = 0x91,
    PacketIdentifierNotFound = 0x92,
    ReceiveMaximumExceeded = 0x93,
    TopicAliasInvalid = 0x94,
    PacketTooLarge = 0x95,
    MessageRateTooHigh = 0x96,
    QuotaExceeded = 0x97,
    AdministrativeAction = 0x98,
    PayloadFormatInvalid = 0x99,
    RetainNotSupported = 0x9A,
    QoSNotSupported = 0x9B,
    UseAnotherServer = 0x9C,
    ServerMoved = 0x9D,
    SharedSubscriptionsNotSupported = 0x9E,
    ConnectionRateExceeded = 0x9F,
    MaximumConnectTime = 0xA0,
    SubscriptionIdentifiersNotSupported = 0xA1,
    WildcardSubscriptionsNotSupported = 0xA2,
}

impl ReasonCode {
    /// The byte in the packet.
    #[must_use]
    #[expect(clippy::as_conversions, reason = "the discriminant of this repr(u8) enum is its code")]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

/// Declares an enum whose variants are a choice of reason codes.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $reason:ident,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// All of them, in the order of their codes.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name in the specification.
            #[must_use]
            pub const fn reason(self) -> ReasonCode {
                match self { $(Self::$variant => ReasonCode::$reason,)* }
            }

            /// Its byte in MQTT 5.
            #[must_use]
            pub const fn code(self) -> u8 {
                self.reason().code()
            }
        }
    };
}

reasons! {
    /// How a publish was answered. MQTT 3.1.1 can express only the first two, as success.
    PubAckReason {
        /// Accepted, as safe as the listener's level says.
        Success => Success,
        /// Accepted; no route wants it.
        NoMatchingSubscribers => NoMatchingSubscribers,
        /// Not accepted, and no other code says why.
        UnspecifiedError => UnspecifiedError,
        /// Not accepted for a reason of this server's own.
        ImplementationSpecificError => ImplementationSpecificError,
        /// This device may not publish there.
        NotAuthorized => NotAuthorized,
        /// The topic is well formed but not one of this hub's.
        TopicNameInvalid => TopicNameInvalid,
        /// The packet id is in use.
        PacketIdentifierInUse => PacketIdentifierInUse,
        /// A quota of the device or the hub is used up.
        QuotaExceeded => QuotaExceeded,
        /// The payload is not what its format indicator says.
        PayloadFormatInvalid => PayloadFormatInvalid,
    }
}

impl PubAckReason {
    /// Whether the message was accepted.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Success | Self::NoMatchingSubscribers)
    }
}

reasons! {
    /// Why the server ends a connection. Only MQTT 5 clients are told.
    DisconnectReason {
        /// No code says why.
        UnspecifiedError => UnspecifiedError,
        /// The bytes are no packet.
        MalformedPacket => MalformedPacket,
        /// The packet is out of place.
        ProtocolError => ProtocolError,
        /// A reason of this server's own.
        ImplementationSpecificError => ImplementationSpecificError,
        /// The right to be connected ended or a packet was not allowed.
        NotAuthorized => NotAuthorized,
        /// Too much work.
        ServerBusy => ServerBusy,
        /// The program ends.
        ServerShuttingDown => ServerShuttingDown,
        /// Nothing was heard for one and a half keep-alives.
        KeepAliveTimeout => KeepAliveTimeout,
        /// The same identity connected again.
        SessionTakenOver => SessionTakenOver,
        /// A filter breaks the grammar.
        TopicFilterInvalid => TopicFilterInvalid,
        /// A topic breaks the grammar.
        TopicNameInvalid => TopicNameInvalid,
        /// More unacknowledged publishes than announced.
        ReceiveMaximumExceeded => ReceiveMaximumExceeded,
        /// Alias 0 or above the maximum announced.
        TopicAliasInvalid => TopicAliasInvalid,
        /// Larger than announced.
        PacketTooLarge => PacketTooLarge,
        /// More messages a second than allowed.
        MessageRateTooHigh => MessageRateTooHigh,
        /// A quota is used up.
        QuotaExceeded => QuotaExceeded,
        /// An operator ended it, or disabled the device.
        AdministrativeAction => AdministrativeAction,
        /// The payload is not what its format indicator says.
        PayloadFormatInvalid => PayloadFormatInvalid,
        /// RETAIN although announced as not available.
        RetainNotSupported => RetainNotSupported,
        /// QoS 2 although announced as not available.
        QoSNotSupported => QoSNotSupported,
        /// Connect elsewhere for now.
        UseAnotherServer => UseAnotherServer,
        /// Connect elsewhere for good.
        ServerMoved => ServerMoved,
        /// Shared subscriptions are not offered.
        SharedSubscriptionsNotSupported => SharedSubscriptionsNotSupported,
        /// Connects too often.
        ConnectionRateExceeded => ConnectionRateExceeded,
        /// The time authorized for this connection is over.
        MaximumConnectTime => MaximumConnectTime,
        /// Subscription identifiers are not offered.
        SubscriptionIdentifiersNotSupported => SubscriptionIdentifiersNotSupported,
        /// Wildcards in filters are not offered.
        WildcardSubscriptionsNotSupported => WildcardSubscriptionsNotSupported,
    }
}

reasons! {
    /// Why a CONNECT is refused.
    Refusal {
        /// No code says why.
        Unspecified => UnspecifiedError,
        /// The CONNECT is no well-formed packet.
        Malformed => MalformedPacket,
        /// The CONNECT breaks a rule of the protocol.
        ProtocolError => ProtocolError,
        /// A reason of this server's own.
        ImplementationSpecific => ImplementationSpecificError,
        /// Another protocol version.
        UnsupportedVersion => UnsupportedProtocolVersion,
        /// The client id is not allowed.
        IdentifierRejected => ClientIdentifierNotValid,
        /// The credentials are wrong.
        BadUserNameOrPassword => BadUserNameOrPassword,
        /// The credentials are right, or not looked at, and the client may not connect.
        NotAuthorized => NotAuthorized,
        /// Not able to serve.
        ServerUnavailable => ServerUnavailable,
        /// Too much work; later.
        ServerBusy => ServerBusy,
        /// Barred by an operator.
        Banned => Banned,
        /// The authentication method is not offered.
        BadAuthenticationMethod => BadAuthenticationMethod,
        /// The topic of the will is not allowed.
        TopicNameInvalid => TopicNameInvalid,
        /// Larger than a CONNECT may be.
        PacketTooLarge => PacketTooLarge,
        /// A quota is used up.
        QuotaExceeded => QuotaExceeded,
        /// The will's payload is not what its format indicator says.
        PayloadFormatInvalid => PayloadFormatInvalid,
        /// A retained will is not offered.
        RetainNotSupported => RetainNotSupported,
        /// A will of QoS 2 is not offered.
        QoSNotSupported => QoSNotSupported,
        /// Connect elsewhere for now.
        UseAnotherServer => UseAnotherServer,
        /// Connect elsewhere for good.
        ServerMoved => ServerMoved,
        /// Connects too often.
        ConnectionRateExceeded => ConnectionRateExceeded,
    }
}

impl Refusal {
    /// The return code of MQTT 3.1.1; `None` where that version closes without an answer.
    #[must_use]
    pub const fn return_code(self) -> Option<u8> {
        match self {
            //= 3.1.1 [MQTT-3.1.2-2]
            Self::UnsupportedVersion => Some(1),
            //= 3.1.1 [MQTT-3.1.3-9]
            Self::IdentifierRejected => Some(2),
            Self::ServerUnavailable
            | Self::ServerBusy
            | Self::QuotaExceeded
            | Self::UseAnotherServer
            | Self::ServerMoved
            | Self::ConnectionRateExceeded
            | Self::Unspecified
            | Self::ImplementationSpecific => Some(3),
            Self::BadUserNameOrPassword | Self::BadAuthenticationMethod => Some(4),
            Self::NotAuthorized | Self::Banned | Self::TopicNameInvalid => Some(5),
            //= 3.1.1 [MQTT-3.1.4-1]
            Self::Malformed
            | Self::ProtocolError
            | Self::PacketTooLarge
            | Self::PayloadFormatInvalid
            | Self::RetainNotSupported
            | Self::QoSNotSupported => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_table() {
        assert_eq!(ReasonCode::Success.code(), 0);
        assert_eq!(ReasonCode::NotAuthorized.code(), 0x87);
        assert_eq!(ReasonCode::WildcardSubscriptionsNotSupported.code(), 0xA2);
        assert!(PubAckReason::ALL.iter().all(|reason| reason.is_success() == (reason.code() < 0x80)));
        assert!(DisconnectReason::ALL.iter().all(|reason| reason.code() >= 0x80));
        assert!(DisconnectReason::ALL.is_sorted_by_key(|reason| reason.code()));
        assert!(Refusal::ALL.is_sorted_by_key(|refusal| refusal.code()));
        assert!(Refusal::ALL.iter().filter_map(|refusal| refusal.return_code()).all(|code| (1..=5).contains(&code)));
    }
}
