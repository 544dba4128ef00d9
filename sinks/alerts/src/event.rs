//! What leaves this sink: an alert fired, or it cleared. One JSON object, the same for webhook and topic.
//! - Shape: see README, "The event".
//! - Invariants: the id of an event is a digest of rule, device, cause and kind, so an event that is sent again after a crash
//!   has the same id. A cleared event's id comes from its fired event, not from the message that cleared it.

use aws_lc_rs::digest;
use millrace_model::{Offset, ShardId, Timestamp};
use serde::Serialize;

use crate::config::{Aggregate, Severity};
use crate::request::hexadecimal;

/// Takes events to a Kafka topic.
pub trait EventPublisher: Send + Sync {
    /// Publishes one event and returns when the broker has it safe. May block for some seconds; called by one thread, in order.
    ///
    /// # Errors
    /// When it was not taken, or nobody knows.
    fn publish(&self, key: &[u8], payload: &[u8]) -> Result<(), PublishError>;
}

/// Why a publisher did not take an event.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// It will never be taken; it is given up.
    #[error("refused for good: {0}")]
    Refused(String),
    /// It may be taken later; it is tried again.
    #[error("not taken: {0}")]
    Unavailable(String),
}

/// Where a message stands: names it for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cause {
    /// Shard that accepted it.
    pub shard: ShardId,
    /// Its offset in the shard's journal.
    pub offset: Offset,
    /// When it was accepted.
    pub at: Timestamp,
}

/// Whether an alert began or ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EventKind {
    /// It ended.
    Cleared,
    /// It began.
    Fired,
}

/// Length and sum of a rule's window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EventWindow {
    /// How it is summed up; absent for silence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aggregate: Option<Aggregate>,
    /// Its length.
    pub seconds: u64,
}

/// One event, ready to be written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event<'a> {
    /// Names this event; the same when it is sent again.
    pub id: String,
    /// Names the alert: id of its fired event.
    pub alert: String,
    /// Fired or cleared.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// Name of the rule.
    pub rule: &'a str,
    /// Its severity.
    pub severity: Severity,
    /// Its text.
    pub summary: &'a str,
    /// Device that it is about.
    pub device: &'a str,
    /// Module that it is about; absent for the device itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module: Option<&'a str>,
    /// Value or aggregate that decided; null for silence.
    pub value: Option<f64>,
    /// Bound that decided; null for silence.
    pub threshold: Option<f64>,
    /// Window or silence; null for a plain threshold.
    pub window: Option<EventWindow>,
    /// Time of the message (for silence: of the decision) that fired it.
    #[serde(serialize_with = "as_text")]
    pub fired_at: Timestamp,
    /// The same for clearing; null while it fires.
    #[serde(serialize_with = "as_text_or_null")]
    pub cleared_at: Option<Timestamp>,
    /// The message that decided, `shard:offset`; for silence the last one before it.
    pub source: String,
}

impl Event<'_> {
    /// Its JSON text.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Id of the event of a kind that an alert of `rule` for `device`, fired because of `cause`, sends.
pub(crate) fn event_id(kind: EventKind, rule: &str, device: &str, cause: &Cause) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [rule.as_bytes(), device.as_bytes()] {
        context.update(&part.len().to_le_bytes());
        context.update(part);
    }
    context.update(&cause.shard.0.to_le_bytes());
    context.update(&cause.offset.0.to_le_bytes());
    context.update(match kind {
        EventKind::Cleared => b"cleared",
        EventKind::Fired => b"fired",
    });
    hexadecimal(context.finish().as_ref().get(..16).unwrap_or_default())
}

fn as_text<S: serde::Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(time) => serializer.collect_str(&time),
        Err(_) => serializer.serialize_none(),
    }
}

#[expect(clippy::ref_option, reason = "serde gives a reference")]
fn as_text_or_null<S: serde::Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => as_text(time, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_json_object_whatever_the_device_is_called() {
        let cause = Cause { shard: ShardId(2), offset: Offset(77), at: Timestamp(1_700_000_000_123) };
        let device = "a\"}\r\n\u{1b}[31m../../é";
        let event = Event {
            id: event_id(EventKind::Fired, "hot", device, &cause),
            alert: event_id(EventKind::Fired, "hot", device, &cause),
            kind: EventKind::Fired,
            rule: "hot",
            severity: Severity::Critical,
            summary: "too hot",
            device,
            module: None,
            value: Some(31.5),
            threshold: Some(30.0),
            window: None,
            fired_at: cause.at,
            cleared_at: None,
            source: "2:77".to_owned(),
        };
        let text = event.to_json();
        assert!(!text.contains(&b'\n') && !text.contains(&0x1b));
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(value["device"], device);
        assert_eq!(value["type"], "fired");
        assert_eq!(value["fired_at"], "2023-11-14T22:13:20.123Z");
        assert!(value["cleared_at"].is_null() && value["window"].is_null() && value.get("module").is_none());
        assert_eq!(value["id"].as_str().unwrap().len(), 32);
        assert_ne!(event.id, event_id(EventKind::Cleared, "hot", device, &cause));
        assert_ne!(event_id(EventKind::Fired, "ab", "c", &cause), event_id(EventKind::Fired, "a", "bc", &cause));
    }
}
