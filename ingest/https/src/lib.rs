//! The HTTPS door: devices that speak HTTP, MQTT inside of WebSockets, and a place for routers of other parts.
//! - Source: Azure IoT Hub device API; RFC 9112 (HTTP/1.1, by hyper), RFC 6455 (WebSocket).
//! - Shape: `door` accepts -> `connection` -> router (`device` here, others merged by the hub), or `websocket` -> a shard.
//! - Invariants: 204 for a message means what PUBACK means at the MQTT door. No request's body is held in memory beyond its limit.
//! - Not here: who may (`millrace_ingest::admit`), commands (`control`), files (`control/files`), MQTT (`ingest`).

mod body;
mod config;
mod connection;
mod device;
mod door;
mod error;
mod events;
mod limits;
mod stream;
#[cfg(test)]
mod tests;
mod websocket;

pub use config::HttpsConfig;
pub use device::{Commands, ControlSide, DeviceApi, Pending, Settlement};
pub use door::{HttpsDoor, Security, Shards};
