//! What becomes of a message, as its sender hears of it.
//! - Source: Azure IoT Hub, message feedback.
//! - Shape: a JSON object with the fields of [`FeedbackRecord`]; `enqueuedTimeUtc` is when the outcome came about.

use millrace_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::time;

mod batch;

pub use batch::FeedbackBatch;

/// What can become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OutcomeStatus {
    /// The device has taken it.
    Success,
    /// It was too late.
    Expired,
    /// It was handed out as often as it may.
    DeliveryCountExceeded,
    /// The device refused it.
    Rejected,
    /// The service emptied the queue.
    Purged,
}

/// What became of one message that asked for feedback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The message.
    pub message_id: Box<str>,
    /// What the message answered.
    pub correlation_id: Option<Box<str>>,
    /// What became of it.
    pub status: OutcomeStatus,
    /// When.
    pub at: Timestamp,
}

/// An outcome with the device it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FeedbackRecord {
    /// The message.
    pub original_message_id: Box<str>,
    /// What the message answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Box<str>>,
    /// Generation of the device.
    pub device_generation_id: Box<str>,
    /// The device.
    pub device_id: Box<str>,
    /// When, as RFC 3339.
    pub enqueued_time_utc: Box<str>,
    /// What became of it.
    pub status_code: OutcomeStatus,
    /// The same for people.
    pub description: Box<str>,
}

impl OutcomeStatus {
    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::Expired => "Expired",
            Self::DeliveryCountExceeded => "DeliveryCountExceeded",
            Self::Rejected => "Rejected",
            Self::Purged => "Purged",
        }
    }
}

impl Outcome {
    /// What the service is told.
    #[must_use]
    pub fn record(self, device_id: &str, generation_id: &str) -> FeedbackRecord {
        FeedbackRecord {
            original_message_id: self.message_id,
            correlation_id: self.correlation_id,
            device_generation_id: generation_id.into(),
            device_id: device_id.into(),
            enqueued_time_utc: time::to_text(self.at).into(),
            status_code: self.status,
            description: self.status.as_str().into(),
        }
    }
}
