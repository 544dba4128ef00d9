//! MQTT 3.1.1 and 5: bytes <-> packets, and the state machine of one client's session.
//! - Source: OASIS MQTT 5.0 and 3.1.1. A normative id at a check (`//= [MQTT-3.3.1-4]`) is that of 5.0; `//= 3.1.1 [..]`
//!   marks the ids that only the older version has.
//! - Shape: [`codec`] finds packets in a stream, `packet` reads and writes one packet each, [`Session`] holds what a
//!   connection must remember, [`client`] is the other end for load generators and tests.
//! - Invariants: pure. No socket, clock, randomness, logging or task; nothing is allocated for a packet except a will, a topic alias
//!   and what the caller asks to be written. No input makes it panic.
//! - Limits: [`Limits`]; the size of a packet is checked before its bytes have arrived.
//! - Not here: who may connect and publish where, keep-alive timers, acknowledgement order (`ingest`).

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod alias;
pub mod client;
pub mod codec;
pub mod error;
#[doc(hidden)]
pub mod fuzz;
pub mod limits;
mod outgoing;
mod packet;
pub mod properties;
mod reader;
pub mod reason;
pub mod session;
#[cfg(test)]
mod tests;
mod text;
pub mod version;
pub mod will;
mod writer;

pub use error::{PacketError, SessionError};
pub use limits::{Limits, effective_keep_alive};
pub use packet::connack::Accept;
pub use packet::connect::Connect;
pub use packet::publish::Publish;
pub use packet::subscribe::{Filters, Subscribe};
pub use packet::unsubscribe::Unsubscribe;
pub use properties::{PublishProperties, UserProperties};
pub use reason::{DisconnectReason, PubAckReason, ReasonCode, Refusal};
pub use session::{Delivery, DeliveryError, Event, Session};
pub use text::{is_filter, is_topic_name};
pub use version::{QoS, Version};
pub use will::Will;
