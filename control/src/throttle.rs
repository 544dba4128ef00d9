//! Throttles: how many operations of each kind the hub takes in a second. Off the data path.
//! - Source: Azure IoT Hub quotas and throttling: traffic shaping first, then 429.
//! - Shape: a bucket per kind, kept as one number: the time at which it is full again. Its size is one second's worth, at least one.
//! - Invariants: callers of the service API wait a little before they are refused; requests of devices are not made to wait, because
//!   others of the same lane would wait with them.
//! - Errors: `HubError::THROTTLED`.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use millrace_model::HubError;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::control::Control;
use crate::events;

/// Settings, section `[throttles]` of the configuration file: operations a second for the whole hub; 0 is no limit, the default of all.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ThrottleConfig {
    /// Create, read, change, delete and list identities.
    pub registry_per_second: u32,
    /// Twins read by devices and by the service.
    pub twin_reads_per_second: u32,
    /// Twins changed by devices and by the service.
    pub twin_updates_per_second: u32,
    /// Direct methods called.
    pub methods_per_second: u32,
    /// Commands sent to devices.
    pub commands_per_second: u32,
    /// Commands received over HTTPS.
    pub command_receives_per_second: u32,
    /// Queries.
    pub queries_per_second: u32,
    /// Jobs created, read and cancelled.
    pub jobs_per_second: u32,
    /// How long a caller of the service API is made to wait at most before it is refused, in milliseconds. Default 500.
    pub shaping_ms: u64,
}

/// Kinds of operations that are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// An operation of the registry.
    Registry,
    /// A twin read.
    TwinRead,
    /// A twin changed.
    TwinUpdate,
    /// A direct method called.
    Method,
    /// A command sent.
    Command,
    /// A command received over HTTPS.
    CommandReceive,
    /// A query.
    Query,
    /// An operation with jobs.
    Job,
}

impl Control {
    /// Waits for a place among the operations of a kind, for callers that carry out more than this crate does.
    ///
    /// # Errors
    /// `THROTTLED` when there is none soon.
    pub async fn throttle(&self, operation: Operation) -> Result<(), HubError> {
        self.shared.throttles.pass(operation).await
    }
}

pub(crate) struct Throttles {
    buckets: [Option<Bucket>; 8],
    shaping: Duration,
}

struct Bucket {
    /// Time that one operation costs.
    cost: Duration,
    /// Time's worth of operations that may come at once.
    burst: Duration,
    full_at: Mutex<Instant>,
}

impl Default for ThrottleConfig {
    fn default() -> Self {
        Self {
            registry_per_second: 0,
            twin_reads_per_second: 0,
            twin_updates_per_second: 0,
            methods_per_second: 0,
            commands_per_second: 0,
            command_receives_per_second: 0,
            queries_per_second: 0,
            jobs_per_second: 0,
            shaping_ms: 500,
        }
    }
}

impl ThrottleConfig {
    /// All that is wrong with these settings.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.shaping_ms > 10_000 {
            problems.push(format!("throttles.shaping_ms is {}, allowed are 0 to 10000", self.shaping_ms));
        }
        problems
    }
}

impl Throttles {
    pub(crate) fn new(config: &ThrottleConfig, now: Instant) -> Self {
        let rates = [
            config.registry_per_second,
            config.twin_reads_per_second,
            config.twin_updates_per_second,
            config.methods_per_second,
            config.commands_per_second,
            config.command_receives_per_second,
            config.queries_per_second,
            config.jobs_per_second,
        ];
        Self { buckets: rates.map(|rate| Bucket::new(rate, now)), shaping: Duration::from_millis(config.shaping_ms) }
    }

    /// Takes a place, waiting for it as long as traffic is shaped.
    pub(crate) async fn pass(&self, operation: Operation) -> Result<(), HubError> {
        let Some(bucket) = self.bucket(operation) else { return Ok(()) };
        let wait = bucket.take(Instant::now(), self.shaping).ok_or_else(refused)?;
        if !wait.is_zero() {
            sleep(wait).await;
        }
        Ok(())
    }

    /// Takes a place if there is one at once.
    pub(crate) fn try_pass(&self, operation: Operation) -> Result<(), HubError> {
        let Some(bucket) = self.bucket(operation) else { return Ok(()) };
        bucket.take(Instant::now(), Duration::ZERO).map(drop).ok_or_else(refused)
    }

    fn bucket(&self, operation: Operation) -> Option<&Bucket> {
        let [registry, twin_read, twin_update, method, command, command_receive, query, job] = &self.buckets;
        match operation {
            Operation::Registry => registry,
            Operation::TwinRead => twin_read,
            Operation::TwinUpdate => twin_update,
            Operation::Method => method,
            Operation::Command => command,
            Operation::CommandReceive => command_receive,
            Operation::Query => query,
            Operation::Job => job,
        }
        .as_ref()
    }
}

impl Bucket {
    fn new(per_second: u32, now: Instant) -> Option<Self> {
        let cost = Duration::from_secs(1).checked_div(per_second)?;
        Some(Self { cost, burst: cost.max(Duration::from_secs(1)), full_at: Mutex::new(now) })
    }

    /// How long the operation has to wait, if that is not too long. It has its place then.
    fn take(&self, now: Instant, wait_max: Duration) -> Option<Duration> {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = (*full_at).max(now).checked_add(self.cost)?;
        let wait = next.saturating_duration_since(now).saturating_sub(self.burst);
        if wait > wait_max {
            return None;
        }
        *full_at = next;
        Some(wait)
    }
}

fn refused() -> HubError {
    events::throttled();
    HubError::THROTTLED
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttles(queries_per_second: u32, now: Instant) -> Throttles {
        Throttles::new(&ThrottleConfig { queries_per_second, ..ThrottleConfig::default() }, now)
    }

    #[test]
    fn no_limit_is_no_limit() {
        let throttles = throttles(0, Instant::now());
        assert!((0..10_000).all(|_| throttles.try_pass(Operation::Query).is_ok()));
    }

    #[test]
    fn a_burst_then_shaping_then_refusal() {
        let now = Instant::now();
        let throttles = throttles(10, now);
        let bucket = throttles.bucket(Operation::Query).unwrap();
        let half = Duration::from_millis(500);
        for _ in 0..10 {
            assert_eq!(bucket.take(now, half), Some(Duration::ZERO));
        }
        let waits: Vec<_> = std::iter::from_fn(|| bucket.take(now, half)).map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [100, 200, 300, 400, 500]);
        assert_eq!(bucket.take(now, Duration::ZERO), None);
        // What was refused costs nothing: a second later one second's worth may come again.
        let later = now + Duration::from_millis(1_500);
        let passed = std::iter::from_fn(|| bucket.take(later, Duration::ZERO)).count();
        assert_eq!(passed, 10);
        assert!(throttles.try_pass(Operation::Method).is_ok(), "kinds are counted apart");
    }

    #[test]
    fn settings_are_checked() {
        assert!(ThrottleConfig::default().validate().is_empty());
        assert_eq!(ThrottleConfig { shaping_ms: 60_000, ..ThrottleConfig::default() }.validate().len(), 1);
    }
}
