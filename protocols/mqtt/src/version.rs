//! Protocol versions and delivery levels.
//! - Source: MQTT 5.0 sections 3.1.2.2 (protocol level) and 4.3 (quality of service).

/// Version that a client speaks, stated in its CONNECT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// 3.1.1, protocol level 4.
    V311,
    /// 5.0, protocol level 5.
    V5,
}

impl Version {
    /// The protocol level byte of CONNECT.
    #[must_use]
    pub const fn level(self) -> u8 {
        match self {
            Self::V311 => 4,
            Self::V5 => 5,
        }
    }
}

/// Delivery levels this server offers; 2 is refused at PUBLISH and granted as 1 at SUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum QoS {
    /// 0: sent once, never acknowledged.
    AtMostOnce,
    /// 1: sent again until acknowledged.
    AtLeastOnce,
}

impl QoS {
    /// The number in the packet.
    #[must_use]
    pub const fn level(self) -> u8 {
        match self {
            Self::AtMostOnce => 0,
            Self::AtLeastOnce => 1,
        }
    }
}
