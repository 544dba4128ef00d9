//! What is kept of an upload, and of a notification. Pure.
//! - Shape: JSON documents; an upload belongs to its device and goes with it.

use serde::{Deserialize, Serialize};

use crate::limits::GRACE_SECONDS;

/// An upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UploadRecord {
    /// Name of the blob, device id included.
    pub(crate) blob_name: String,
    /// When it was begun, in seconds since 1970.
    pub(crate) begun: u64,
    /// Until then it may be written.
    pub(crate) end: u64,
    /// Whether the device has said how it went.
    #[serde(default)]
    pub(crate) is_finished: bool,
}

impl UploadRecord {
    /// Whether it counts among those under way.
    pub(crate) const fn is_open(&self, now_unix: u64) -> bool {
        !self.is_finished && now_unix <= self.end
    }

    /// Whether it may be forgotten.
    pub(crate) const fn is_past(&self, now_unix: u64) -> bool {
        now_unix > self.end.saturating_add(GRACE_SECONDS)
    }
}

/// A notification in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NotificationRecord {
    /// What a service gets.
    pub(crate) notification: Notification,
    /// In seconds since 1970.
    pub(crate) expires: u64,
    /// Nobody else gets it until then.
    #[serde(default)]
    pub(crate) locked_until: u64,
    /// How often it was handed out.
    #[serde(default)]
    pub(crate) deliveries: u32,
}

/// The news of a finished upload, as services read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Notification {
    pub(crate) device_id: String,
    pub(crate) blob_uri: String,
    pub(crate) blob_name: String,
    pub(crate) last_updated_time: String,
    pub(crate) blob_size_in_bytes: u64,
    pub(crate) enqueued_time_utc: String,
}
