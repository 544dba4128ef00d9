//! Names of message properties: those of the system, and those of the application.
//! - Source: Azure IoT Hub device-to-cloud message format; MQTT topic keys of the device SDKs (`$.mid` and so on).

use std::borrow::Cow;

/// A property that the sender sets but whose meaning the hub defines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SystemProperty {
    /// `$.ce`
    ContentEncoding,
    /// `$.ct`
    ContentType,
    /// `$.cid`
    CorrelationId,
    /// `$.ctime`
    CreationTimeUtc,
    /// `$.sub`: the digital-twin component.
    DtSubject,
    /// `$.exp`
    Expiry,
    /// `$.ifid`
    InterfaceId,
    /// `$.mid`
    MessageId,
    /// `$.on`: output of a module.
    OutputName,
    /// `$.to`
    To,
    /// `$.uid`
    UserId,
}

impl SystemProperty {
    /// All of them, in alphabetical order.
    pub const ALL: [Self; 11] = [
        Self::ContentEncoding,
        Self::ContentType,
        Self::CorrelationId,
        Self::CreationTimeUtc,
        Self::DtSubject,
        Self::Expiry,
        Self::InterfaceId,
        Self::MessageId,
        Self::OutputName,
        Self::To,
        Self::UserId,
    ];

    /// The key in a property bag, decoded (`$.mid`).
    #[must_use]
    pub const fn bag_key(self) -> &'static str {
        match self {
            Self::ContentEncoding => "$.ce",
            Self::ContentType => "$.ct",
            Self::CorrelationId => "$.cid",
            Self::CreationTimeUtc => "$.ctime",
            Self::DtSubject => "$.sub",
            Self::Expiry => "$.exp",
            Self::InterfaceId => "$.ifid",
            Self::MessageId => "$.mid",
            Self::OutputName => "$.on",
            Self::To => "$.to",
            Self::UserId => "$.uid",
        }
    }

    /// The name on delivered messages (Kafka header, AMQP property or annotation).
    #[must_use]
    pub const fn delivered_name(self) -> &'static str {
        match self {
            Self::ContentEncoding => "content-encoding",
            Self::ContentType => "content-type",
            Self::CorrelationId => "correlation-id",
            Self::CreationTimeUtc => "iothub-creation-time-utc",
            Self::DtSubject => "dt-subject",
            Self::Expiry => "absolute-expiry-time",
            Self::InterfaceId => "iothub-interface-id",
            Self::MessageId => "message-id",
            Self::OutputName => "iothub-outputname",
            Self::To => "to",
            Self::UserId => "user-id",
        }
    }

    /// The name in a routing query, without the `$` (`contentType`); compared without regard to case.
    #[must_use]
    pub const fn query_name(self) -> &'static str {
        match self {
            Self::ContentEncoding => "contentEncoding",
            Self::ContentType => "contentType",
            Self::CorrelationId => "correlationId",
            Self::CreationTimeUtc => "creationTimeUtc",
            Self::DtSubject => "dt-subject",
            Self::Expiry => "absoluteExpiryTime",
            Self::InterfaceId => "iothub-interface-id",
            Self::MessageId => "messageId",
            Self::OutputName => "outputName",
            Self::To => "to",
            Self::UserId => "userId",
        }
    }

    /// The property that a bag key names.
    #[must_use]
    pub fn from_bag_key(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|property| property.bag_key() == key)
    }
}

/// Name of a property of a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PropertyName<'a> {
    /// Defined by the hub, set by the sender.
    System(SystemProperty),
    /// Free.
    Application(Cow<'a, str>),
}

/// One property of a message. `value` is `None` for a key without `=`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Property<'a> {
    /// Its name.
    pub name: PropertyName<'a>,
    /// Its value, decoded.
    pub value: Option<Cow<'a, str>>,
}

/// Whether an application property of this name would pass for a fact that only the hub states.
/// Sinks that put both into one name space leave such a property out.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    name.starts_with("iothub-connection-")
        || name.starts_with("millrace-")
        || matches!(name, "iothub-enqueuedtime" | "iothub-message-source" | "dt-dataschema")
}
