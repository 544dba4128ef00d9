//! Why a connection ends: what the peer is told, what is counted and logged.

use millrace_model::door::EndReason;
use millrace_protocols_mqtt::{DisconnectReason, SessionError};

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// The peer said DISCONNECT.
    #[error("the client disconnected")]
    ClientDisconnected,
    /// The peer closed or reset the connection.
    #[error("the connection was lost")]
    ConnectionLost,
    /// CONNECT was refused.
    #[error("the connection was refused: {0}")]
    Refused(&'static str),
    /// No whole CONNECT in time, or no answer to it from the control side.
    #[error("no answered CONNECT within the time limit")]
    ConnectTimeout,
    /// Nothing was heard within one and a half keep-alive periods.
    #[error("keep-alive timeout")]
    KeepAliveTimeout,
    /// The token's or certificate's time is over.
    #[error("the credential expired")]
    TokenExpired,
    /// The same identity connected again.
    #[error("the identity connected again elsewhere")]
    TakenOver,
    /// The identity was disabled.
    #[error("the identity was disabled")]
    Disabled,
    /// The identity was deleted.
    #[error("the identity was deleted")]
    Deleted,
    /// The identity's keys changed.
    #[error("the identity's keys changed")]
    KeysChanged,
    /// Too many messages for too long.
    #[error("throttled: {0}")]
    Throttled(&'static str),
    /// The hub has taken as many messages as it may in a day.
    #[error("the quota of messages is used up")]
    QuotaExceeded,
    /// The control side takes no more requests, or cannot keep its promise to the session.
    #[error("the control side is not available")]
    Unavailable,
    /// The hub is shutting down.
    #[error("the hub is shutting down")]
    ShuttingDown,
    /// The peer does not read what it is sent.
    #[error("the client does not read what it is sent")]
    SlowReader,
    /// Published or subscribed where this identity may not.
    #[error("topic not allowed: {0}")]
    TopicNotAllowed(&'static str),
    /// A message over the size limit.
    #[error("message larger than {0} bytes")]
    MessageTooLarge(usize),
    /// The shard holds as many connections as it may.
    #[error("too many connections")]
    TooManyConnections,
    /// The TLS layer failed.
    #[error("TLS: {0}")]
    Tls(String),
    /// The peer broke the protocol.
    #[error("protocol: {0}")]
    Protocol(SessionError),
}

impl CloseReason {
    /// Name for counters: bounded, stable.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::ClientDisconnected => "client_disconnected",
            Self::ConnectionLost => "connection_lost",
            Self::Refused(_) => "refused",
            Self::ConnectTimeout => "connect_timeout",
            Self::KeepAliveTimeout => "keep_alive_timeout",
            Self::TokenExpired => "token_expired",
            Self::TakenOver => "taken_over",
            Self::Disabled => "disabled",
            Self::Deleted => "deleted",
            Self::KeysChanged => "keys_changed",
            Self::Throttled(_) => "throttled",
            Self::QuotaExceeded => "quota_exceeded",
            Self::Unavailable => "unavailable",
            Self::ShuttingDown => "shutting_down",
            Self::SlowReader => "slow_reader",
            Self::TopicNotAllowed(_) => "topic_not_allowed",
            Self::MessageTooLarge(_) => "message_too_large",
            Self::TooManyConnections => "too_many_connections",
            Self::Tls(_) => "tls",
            Self::Protocol(_) => "protocol",
        }
    }

    /// What an MQTT 5 peer is told; `None`: nothing, the connection just ends.
    pub(crate) fn disconnect_reason(&self) -> Option<DisconnectReason> {
        match self {
            Self::ClientDisconnected
            | Self::ConnectionLost
            | Self::Refused(_)
            | Self::ConnectTimeout
            | Self::TooManyConnections
            | Self::Tls(_)
            | Self::SlowReader => None,
            Self::KeepAliveTimeout => Some(DisconnectReason::KeepAliveTimeout),
            Self::TokenExpired => Some(DisconnectReason::MaximumConnectTime),
            Self::TakenOver => Some(DisconnectReason::SessionTakenOver),
            Self::Disabled | Self::Deleted | Self::KeysChanged => Some(DisconnectReason::AdministrativeAction),
            Self::Throttled(_) => Some(DisconnectReason::MessageRateTooHigh),
            Self::QuotaExceeded => Some(DisconnectReason::QuotaExceeded),
            Self::Unavailable => Some(DisconnectReason::ServerBusy),
            Self::ShuttingDown => Some(DisconnectReason::ServerShuttingDown),
            Self::TopicNotAllowed(_) => Some(DisconnectReason::NotAuthorized),
            Self::MessageTooLarge(_) => Some(DisconnectReason::PacketTooLarge),
            Self::Protocol(error) => Some(error.disconnect_reason()),
        }
    }
}

impl From<EndReason> for CloseReason {
    fn from(reason: EndReason) -> Self {
        match reason {
            EndReason::TakenOver => Self::TakenOver,
            EndReason::Throttled => Self::Throttled("the control side"),
            EndReason::Unavailable => Self::Unavailable,
        }
    }
}
