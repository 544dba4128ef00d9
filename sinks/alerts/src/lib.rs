//! Alerts: evaluates rules over each device's messages and delivers fired and cleared events. README.md states the guarantee.
//! - Shape: batch -> `engine` (pure: rules, windows, silences) -> event -> queue of each webhook and topic -> worker thread;
//!   devices, offsets and queues -> frames -> state file, on a thread of its own.

mod client;
mod config;
mod devices;
mod encode;
mod engine;
mod event;
mod events;
mod limits;
mod outlets;
mod path;
mod queue;
mod request;
mod restore;
mod rule;
mod shard;
mod sink;
mod state;
mod store;
mod window;

pub use config::{
    Aggregate, AlertsConfig, LOG_ACTION, RuleConfig, RuleKind, Secret, Severity, TopicConfig, WebhookConfig, check,
};
pub use event::{Cause, Event, EventKind, EventPublisher, EventWindow, PublishError};
pub use request::{SIGNATURE_HEADER, signature};
pub use sink::{AlertsCounters, AlertsSink};
