//! Feedback on its way to the service: records that are gathered, then handed out together under a lock.
//! - Shape: open until it has 64 records or is 15 s old -> due -> locked -> removed by whoever holds it; abandoned or out of time
//!   -> due again. Who keeps it removes it too when it [`FeedbackBatch::is_over`].
//! - Invariants: nothing is added once it was handed out; a token ends at most one lock.
//! - Limits: [`FEEDBACK_RECORDS_MAX`] records.
//! - Errors: [`CommandError::LockLost`], [`CommandError::Corrupt`].

use millrace_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::FeedbackRecord;
use crate::config::{CommandConfig, after};
use crate::error::CommandError;
use crate::limits::{FEEDBACK_RECORDS_MAX, FEEDBACK_WAIT_MS};
use crate::queue::LockToken;

const FORMAT: u32 = 1;

const CORRUPT: CommandError = CommandError::Corrupt { what: "feedback" };

/// Records that go to the service as one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedbackBatch {
    format: u32,
    opened: i64,
    /// How often it was handed out.
    deliveries: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lock: Option<BatchLock>,
    records: Vec<FeedbackRecord>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct BatchLock {
    token: u64,
    until: i64,
}

impl FeedbackBatch {
    /// A batch without records.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self { format: FORMAT, opened: now.0, deliveries: 0, lock: None, records: Vec::new() }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// Gives it back when it belongs into the next batch: this one is full or was handed out.
    pub fn push(&mut self, record: FeedbackRecord) -> Result<(), Box<FeedbackRecord>> {
        if self.is_full() || self.deliveries > 0 {
            return Err(Box::new(record));
        }
        self.records.push(record);
        Ok(())
    }

    /// The records.
    #[must_use]
    pub fn records(&self) -> &[FeedbackRecord] {
        &self.records
    }

    /// When its first record came.
    #[must_use]
    pub const fn opened(&self) -> Timestamp {
        Timestamp(self.opened)
    }

    /// Whether it waits for somebody to take it.
    #[must_use]
    pub fn is_due(&self, now: Timestamp, config: &CommandConfig) -> bool {
        self.due_at().is_some_and(|due| due <= now) && !self.is_over(now, config)
    }

    /// From when on it can be taken; `None` without records.
    #[must_use]
    pub fn due_at(&self) -> Option<Timestamp> {
        let complete = if self.is_full() { self.opened } else { self.opened.saturating_add(FEEDBACK_WAIT_MS) };
        let due = self.lock.map_or(complete, |lock| lock.until);
        (!self.records.is_empty()).then_some(Timestamp(due))
    }

    /// Whether nobody will get it any more: it is too old or was handed out too often, and nobody has it.
    #[must_use]
    pub fn is_over(&self, now: Timestamp, config: &CommandConfig) -> bool {
        let is_held = self.lock.is_some_and(|lock| now.0 < lock.until);
        let is_old = after(self.opened(), config.feedback_ttl_seconds) <= now;
        !is_held && (is_old || self.deliveries >= config.feedback_delivery_count_max)
    }

    /// Hands it out; `None` when it is not due. `salt` must be random.
    pub fn lock(&mut self, now: Timestamp, salt: u32, config: &CommandConfig) -> Option<LockToken> {
        if !self.is_due(now, config) {
            return None;
        }
        self.deliveries = self.deliveries.saturating_add(1);
        let token = LockToken::new(self.deliveries, salt);
        self.lock = Some(BatchLock { token: token.0, until: after(now, config.feedback_lock_seconds).0 });
        Some(token)
    }

    /// Whether this token still holds it, so that whoever has it may say that it is done.
    ///
    /// # Errors
    /// When the lock is over.
    pub fn check_lock(&self, token: LockToken, now: Timestamp) -> Result<(), CommandError> {
        let is_held = self.lock.is_some_and(|lock| lock.token == token.0 && now.0 < lock.until);
        if is_held { Ok(()) } else { Err(CommandError::LockLost) }
    }

    /// The service wants it later.
    ///
    /// # Errors
    /// When the lock is over.
    pub fn abandon(&mut self, token: LockToken, now: Timestamp) -> Result<(), CommandError> {
        self.check_lock(token, now)?;
        if let Some(lock) = &mut self.lock {
            // Due at once, and no longer waiting for more records.
            lock.until = now.0;
        }
        Ok(())
    }

    /// The JSON array that the service reads.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.records).unwrap_or_default()
    }

    /// The form that is stored.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads what [`Self::encode`] gave.
    ///
    /// # Errors
    /// When it is not of that form, or of a newer one.
    pub fn decode(document: &[u8]) -> Result<Self, CommandError> {
        let batch: Self = serde_json::from_slice(document).map_err(|_| CORRUPT)?;
        let is_possible = batch.format == FORMAT && batch.records.len() <= FEEDBACK_RECORDS_MAX;
        if is_possible { Ok(batch) } else { Err(CORRUPT) }
    }

    const fn is_full(&self) -> bool {
        self.records.len() >= FEEDBACK_RECORDS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Outcome, OutcomeStatus};
    use super::*;

    const START: Timestamp = Timestamp(1_714_557_600_000);

    fn record(message_id: &str, correlation_id: Option<&str>) -> FeedbackRecord {
        let correlation_id = correlation_id.map(Into::into);
        let outcome =
            Outcome { message_id: message_id.into(), correlation_id, status: OutcomeStatus::Success, at: START };
        outcome.record("d1", "638")
    }

    fn later(milliseconds: i64) -> Timestamp {
        Timestamp(START.0 + milliseconds)
    }

    #[test]
    fn records_are_as_services_read_them() {
        let mut batch = FeedbackBatch::new(START);
        batch.push(record("m1", None)).unwrap();
        let of_device = r#""deviceGenerationId":"638","deviceId":"d1","enqueuedTimeUtc":"2024-05-01T10:00:00Z""#;
        let status = r#""statusCode":"Success","description":"Success""#;
        assert_eq!(batch.to_json(), format!(r#"[{{"originalMessageId":"m1",{of_device},{status}}}]"#));
        batch.push(record("m2", Some("c"))).unwrap();
        assert!(batch.to_json().contains(r#""originalMessageId":"m2","correlationId":"c","#));
        assert_eq!(FeedbackBatch::decode(&batch.encode()), Ok(batch.clone()));
        assert_eq!(FeedbackBatch::decode(b"{}"), Err(CORRUPT));
    }

    #[test]
    fn a_batch_waits_for_64_records_or_15_seconds() {
        let config = CommandConfig::default();
        let mut batch = FeedbackBatch::new(START);
        assert_eq!(batch.due_at(), None);
        batch.push(record("m", None)).unwrap();
        assert_eq!((batch.is_due(later(14_999), &config), batch.is_due(later(15_000), &config)), (false, true));
        (1..64).for_each(|_| batch.push(record("m", None)).unwrap());
        assert!(batch.is_due(START, &config));
        assert!(batch.push(record("m", None)).is_err());
    }

    #[test]
    fn one_holder_at_a_time_and_not_for_ever() {
        let config = CommandConfig { feedback_delivery_count_max: 3, ..CommandConfig::default() };
        let mut batch = FeedbackBatch::new(START);
        batch.push(record("m", None)).unwrap();
        let first = batch.lock(later(15_000), 1, &config).unwrap();
        assert_eq!(batch.lock(later(15_001), 1, &config), None);
        assert!(batch.push(record("n", None)).is_err(), "it is on its way");
        assert_eq!(batch.abandon(first, later(15_002)), Ok(()));
        assert_eq!(batch.check_lock(first, later(15_002)), Err(CommandError::LockLost));
        let second = batch.lock(later(15_002), 1, &config).unwrap();
        assert_eq!(batch.check_lock(second, later(75_001)), Ok(()));
        assert_eq!(batch.check_lock(second, later(75_002)), Err(CommandError::LockLost));
        assert!(batch.lock(later(75_002), 1, &config).is_some());
        assert!(!batch.is_over(later(75_003), &config));
        assert!(batch.is_over(later(135_002), &config), "three times were enough");
    }

    #[test]
    fn old_feedback_is_over() {
        let config = CommandConfig::default();
        let mut batch = FeedbackBatch::new(START);
        batch.push(record("m", None)).unwrap();
        assert!(batch.is_over(later(3_600_000), &config));
        assert_eq!(batch.lock(later(3_600_000), 1, &config), None);
    }
}
