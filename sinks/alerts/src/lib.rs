//! Alerts: evaluates rules over each device's messages and delivers fired and cleared events. See README.md for the guarantee.
//! - Shape: batch -> [`engine`] (pure: rules, windows, silences) -> event -> queue of each webhook and topic -> worker thread
//!   [`state`] and queues -> frames of the state file, written by a thread of its own.

mod config;
mod event;
mod limits;
mod path;
mod request;
mod rule;
mod sink;
mod window;

pub use config::{
    Aggregate, AlertsConfig, LOG_ACTION, RuleConfig, RuleKind, Secret, Severity, TopicConfig, WebhookConfig, check,
};
pub use event::{Cause, Event, EventKind, EventPublisher, EventWindow, PublishError};
pub use request::{SIGNATURE_HEADER, signature};
pub use sink::{AlertsCounters, AlertsSink};
