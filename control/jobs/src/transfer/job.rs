//! The state of an import or export. Decides, never acts.
//! - Shape: enqueued -> running -> completed | failed; cancelled at any time before.
//! - Invariants: one that has ended stays so. The place where an import goes on never goes back.

use millrace_model::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::request::{TransferKind, TransferRequest};
use crate::error::JobError;
use crate::schedule::{Lease, Runner};
use crate::time;

/// The format that is written.
const FORMAT: u32 = 1;

/// States, as the hub calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TransferStatus {
    /// It waits.
    Enqueued,
    /// It is being worked on.
    Running,
    /// It is done.
    Completed,
    /// It could not be carried out.
    Failed,
    /// Somebody has cancelled it.
    Cancelled,
}

/// How far one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// In hundredths.
    pub percent: u8,
    /// Bytes of the file that an import is done with; whole lines.
    pub bytes: u64,
    /// Identities that were worked on.
    pub identities: u64,
    /// Those that could not be imported.
    pub errors: u64,
    /// Documents with the errors.
    pub error_pages: u64,
}

/// An import or export as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    format: u32,
    id: String,
    request: TransferRequest,
    created: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<i64>,
    status: TransferStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    progress: Progress,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease: Option<Lease>,
}

impl TransferStatus {
    /// As in answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enqueued => "enqueued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it stays so.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

impl Transfer {
    /// A new one.
    #[must_use]
    pub fn new(id: String, request: TransferRequest, now: Timestamp) -> Self {
        Self {
            format: FORMAT,
            id,
            request,
            created: now.0,
            started: None,
            ended: None,
            status: TransferStatus::Enqueued,
            failure: None,
            progress: Progress::default(),
            lease: None,
        }
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // There is nothing in it that cannot be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the stored form; `None` when it is none, or a newer program's.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|transfer: &Self| transfer.format == FORMAT)
    }

    /// Names it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it does.
    #[must_use]
    pub const fn request(&self) -> &TransferRequest {
        &self.request
    }

    /// Where it stands.
    #[must_use]
    pub const fn status(&self) -> TransferStatus {
        self.status
    }

    /// How far it is.
    #[must_use]
    pub const fn progress(&self) -> Progress {
        self.progress
    }

    /// When it ended.
    #[must_use]
    pub fn ended_at(&self) -> Option<Timestamp> {
        self.ended.map(Timestamp)
    }

    /// When `runner` may work on it.
    #[must_use]
    pub fn due(&self, runner: Runner) -> Timestamp {
        let held = self.lease.filter(|lease| !lease.is_of(runner));
        held.map_or(Timestamp(self.created), Lease::until)
    }

    /// As `runner` works on it; `None` when another one does, or it has ended.
    #[must_use]
    pub fn claimed(&self, runner: Runner, now: Timestamp, lease_seconds: u64) -> Option<Self> {
        if self.status.is_end() {
            return None;
        }
        let lease = Lease::take(self.lease, runner, now, lease_seconds)?;
        let started = Some(self.started.unwrap_or(now.0));
        Some(Self { lease: Some(lease), status: TransferStatus::Running, started, ..self.clone() })
    }

    /// Without a runner.
    #[must_use]
    pub fn released(&self) -> Self {
        Self { lease: None, ..self.clone() }
    }

    /// Further on.
    #[must_use]
    pub fn advanced(&self, progress: Progress) -> Self {
        let bytes = self.progress.bytes.max(progress.bytes);
        Self { progress: Progress { bytes, ..progress }, ..self.clone() }
    }

    /// Done, or not to be done: `failure` says why.
    #[must_use]
    pub fn ended(&self, failure: Option<&str>, now: Timestamp) -> Self {
        if self.status.is_end() {
            return self.clone();
        }
        let mut ended = Self { ended: Some(now.0), lease: None, ..self.clone() };
        ended.failure = failure.map(str::to_owned);
        ended.status = if failure.is_some() { TransferStatus::Failed } else { TransferStatus::Completed };
        if failure.is_none() {
            ended.progress.percent = 100;
        }
        ended
    }

    /// Cancelled by somebody.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cancelled(&self, now: Timestamp) -> Result<Self, JobError> {
        if self.status.is_end() {
            return Err(JobError::Ended);
        }
        Ok(Self { status: TransferStatus::Cancelled, ended: Some(now.0), lease: None, ..self.clone() })
    }

    /// What the service reads.
    #[must_use]
    pub fn response(&self) -> Value {
        let mut response = Map::new();
        let mut put = |name: &str, value: Value| drop(response.insert(name.to_owned(), value));
        let optional = |time: Option<i64>| time.map_or(Value::Null, |time| time::json(Timestamp(time)));
        let request = &self.request;
        put("jobId", self.id.as_str().into());
        put("startTimeUtc", optional(self.started.or(Some(self.created))));
        put("endTimeUtc", optional(self.ended));
        put("type", request.kind.as_str().into());
        put("status", self.status.as_str().into());
        put("progress", self.progress.percent.into());
        put("failureReason", self.failure.as_deref().into());
        if request.kind == TransferKind::Import {
            put("inputBlobContainerUri", request.input.as_ref().map(|input| input.shown()).into());
            put("inputBlobName", request.input_blob.as_str().into());
        }
        put("outputBlobContainerUri", request.output.shown().into());
        put("outputBlobName", request.output_blob.as_str().into());
        put("excludeKeysInExport", request.without_keys.into());
        put("includeConfigurations", request.with_configurations.into());
        put("configurationsBlobName", request.configurations_blob.as_str().into());
        put("storageAuthenticationType", "keyBased".into());
        Value::Object(response)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp(1_714_557_600_000);

    fn transfer() -> Transfer {
        let body =
            json!({"type": "import", "inputBlobContainerUri": "https://h/c?sig=s", "outputBlobContainerUri": "out"});
        Transfer::new("t".to_owned(), TransferRequest::parse(&body).unwrap(), NOW)
    }

    #[test]
    fn one_runs_and_ends_once() {
        let running = transfer().claimed(Runner(1), NOW, 15).unwrap();
        assert!(running.claimed(Runner(2), NOW, 15).is_none());
        let further = running.advanced(Progress { bytes: 10, percent: 50, ..Progress::default() });
        assert_eq!(further.advanced(Progress::default()).progress().bytes, 10, "it never goes back");
        let done = further.ended(None, NOW);
        assert_eq!((done.status(), done.progress().percent), (TransferStatus::Completed, 100));
        assert_eq!(done.ended(Some("x"), NOW), done);
        assert_eq!(done.cancelled(NOW), Err(JobError::Ended));
        assert!(running.cancelled(NOW).unwrap().claimed(Runner(1), NOW, 15).is_none());
        assert_eq!(Transfer::decode(&done.encode()), Some(done));
    }

    #[test]
    fn answers_show_no_signature() {
        let response = transfer().response();
        assert_eq!(
            (&response["status"], &response["inputBlobContainerUri"]),
            (&json!("enqueued"), &json!("https://h/c"))
        );
        assert!(!response.to_string().contains("sig="));
    }
}
