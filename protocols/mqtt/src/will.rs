//! The message that is published when a connection ends without a DISCONNECT.
//! - Source: MQTT 5.0 sections 3.1.2.5 and 3.1.3.2.
//! - Invariants: owned, because it outlives the CONNECT that brought it; at most `connect_bytes_max` long.

use crate::version::QoS;

/// A will, given out by [`crate::Session::take_will`] once and only where it is to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// How sure; a 3.1.1 will of QoS 2 becomes 1.
    pub qos: QoS,
    /// Whether the client asked for it to be retained.
    pub retain: bool,
    /// Its properties as property-bag text; empty for 3.1.1.
    pub bag: Vec<u8>,
    /// How long after the end of the connection it is to be published.
    pub delay_seconds: u32,
    /// How long it is worth delivering.
    pub message_expiry_seconds: Option<u32>,
}
