//! Settings of commands and methods, section `[commands]` of the configuration file.

use millrace_model::Timestamp;
use serde::Deserialize;

use crate::limits::{DEPTH_MAX, LOCK_SECONDS, TTL_SECONDS_MAX};

/// Settings of commands, feedback and methods.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CommandConfig {
    /// Messages that wait for one device at most, those under way included. Default 50, at most 100.
    pub depth_max: usize,
    /// Life of a message that names no expiry, in seconds. Default 3,600; 60 to 172,800.
    pub ttl_seconds: u64,
    /// How often a message is handed out at most before it is given up. Default 10; 1 to 100.
    pub delivery_count_max: u32,
    /// How long a message stays locked for the device that has it, in seconds. Default 60; 5 to 300.
    pub lock_seconds: u64,
    /// Whether a lock that runs out counts as a delivery, as an abandoned message does. Default false.
    pub lock_expiry_counts: bool,
    /// Messages that a session has unacknowledged at most. Default 16; 1 to 100.
    pub session_window: usize,
    /// Life of feedback, in seconds. Default 3,600; 60 to 172,800.
    pub feedback_ttl_seconds: u64,
    /// How long feedback stays locked for the service that has it, in seconds. Default 60; 5 to 300.
    pub feedback_lock_seconds: u64,
    /// How often feedback is handed out at most. Default 10; 1 to 100.
    pub feedback_delivery_count_max: u32,
    /// Method calls under way on this node at most. Default 100,000.
    pub method_calls_max: usize,
    /// Method calls under way to one device at most. Default 100.
    pub method_calls_per_device_max: usize,
}

impl Default for CommandConfig {
    fn default() -> Self {
        Self {
            depth_max: 50,
            ttl_seconds: 3_600,
            delivery_count_max: 10,
            lock_seconds: 60,
            lock_expiry_counts: false,
            session_window: 16,
            feedback_ttl_seconds: 3_600,
            feedback_lock_seconds: 60,
            feedback_delivery_count_max: 10,
            method_calls_max: 100_000,
            method_calls_per_device_max: 100,
        }
    }
}

impl CommandConfig {
    /// All that is wrong with these settings.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let depth = wide(DEPTH_MAX);
        let bounds = [
            ("depth_max", wide(self.depth_max), 1, depth),
            ("ttl_seconds", self.ttl_seconds, 60, TTL_SECONDS_MAX),
            ("delivery_count_max", self.delivery_count_max.into(), 1, 100),
            ("lock_seconds", self.lock_seconds, *LOCK_SECONDS.start(), *LOCK_SECONDS.end()),
            ("session_window", wide(self.session_window), 1, depth),
            ("feedback_ttl_seconds", self.feedback_ttl_seconds, 60, TTL_SECONDS_MAX),
            ("feedback_lock_seconds", self.feedback_lock_seconds, *LOCK_SECONDS.start(), *LOCK_SECONDS.end()),
            ("feedback_delivery_count_max", self.feedback_delivery_count_max.into(), 1, 100),
            ("method_calls_max", wide(self.method_calls_max), 1, 1_000_000),
            ("method_calls_per_device_max", wide(self.method_calls_per_device_max), 1, 10_000),
        ];
        let outside = bounds.into_iter().filter(|(_, value, least, most)| !(least..=most).contains(&value));
        outside
            .map(|(name, value, least, most)| format!("commands.{name} is {value}, allowed are {least} to {most}"))
            .collect()
    }

    /// When a message that is enqueued now expires: as its sender wants, at most after [`TTL_SECONDS_MAX`].
    #[must_use]
    pub fn expiry(&self, wanted: Option<Timestamp>, now: Timestamp) -> Timestamp {
        let latest = after(now, TTL_SECONDS_MAX);
        wanted.unwrap_or_else(|| after(now, self.ttl_seconds)).min(latest)
    }
}

/// `seconds` after `now`.
pub(crate) fn after(now: Timestamp, seconds: u64) -> Timestamp {
    let milliseconds = i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
    Timestamp(now.0.saturating_add(milliseconds))
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_all_problems_are_told() {
        assert_eq!(CommandConfig::default().validate(), Vec::<String>::new());
        let bad = CommandConfig {
            depth_max: 101,
            ttl_seconds: 59,
            delivery_count_max: 0,
            lock_seconds: 301,
            lock_expiry_counts: true,
            session_window: 0,
            feedback_ttl_seconds: 172_801,
            feedback_lock_seconds: 4,
            feedback_delivery_count_max: 101,
            method_calls_max: 0,
            method_calls_per_device_max: 0,
        };
        assert_eq!(bad.validate().len(), 10);
        assert_eq!(bad.validate()[0], "commands.depth_max is 101, allowed are 1 to 100");
    }

    #[test]
    fn an_expiry_is_kept_within_bounds() {
        let config = CommandConfig::default();
        assert_eq!(config.expiry(None, Timestamp(5)), Timestamp(3_600_005));
        assert_eq!(config.expiry(Some(Timestamp(2)), Timestamp(5)), Timestamp(2));
        assert_eq!(config.expiry(Some(Timestamp(i64::MAX)), Timestamp(5)), Timestamp(172_800_005));
    }
}
