//! What a job did with a device: a row of `devices.jobs`.
//! - Source: Azure IoT Hub query language, jobs.
//! - Shape: as it is kept and as queries show it:
//!   `{deviceId, moduleId?, jobId, jobType, status, startTimeUtc?, endTimeUtc?, createdDateTimeUtc, lastUpdatedDateTimeUtc, outcome?, error?}`

use millrace_control_command::MethodResult;
use millrace_model::{HubError, IdentityName, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::request::JobType;
use millrace_control_twin::time_text;

/// States of a device's row, as the hub calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceJobStatus {
    /// Nothing was done yet.
    Pending,
    /// Done.
    Completed,
    /// Tried without success.
    Failed,
    /// The job ended before.
    Canceled,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceJob {
    device_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    module_id: Option<String>,
    job_id: String,
    job_type: JobType,
    status: DeviceJobStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_time_utc: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end_time_utc: Option<String>,
    created_date_time_utc: String,
    last_updated_date_time_utc: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
}

impl DeviceJob {
    /// A row of a device that nothing was done with yet.
    #[must_use]
    pub fn pending(name: &IdentityName, job_id: &str, job_type: JobType, now: Timestamp) -> Self {
        Self {
            device_id: name.device_id().to_owned(),
            module_id: name.module_id().map(str::to_owned),
            job_id: job_id.to_owned(),
            job_type,
            status: DeviceJobStatus::Pending,
            start_time_utc: None,
            end_time_utc: None,
            created_date_time_utc: time_text(now),
            last_updated_date_time_utc: time_text(now),
            outcome: None,
            error: None,
        }
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // There is nothing in it that cannot be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the stored form.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// Whom it is about.
    #[must_use]
    pub fn name(&self) -> Option<IdentityName> {
        IdentityName::new(&self.device_id, self.module_id.as_deref()).ok()
    }

    /// Where it stands.
    #[must_use]
    pub const fn status(&self) -> DeviceJobStatus {
        self.status
    }

    /// Whether the device waits for its step.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.status == DeviceJobStatus::Pending
    }

    /// The row once the step was tried, from `began` to `ended`. A twin that was changed has no result.
    #[must_use]
    pub fn tried(self, result: Result<Option<&MethodResult>, &HubError>, began: Timestamp, ended: Timestamp) -> Self {
        let mut row = self.ended(DeviceJobStatus::Completed, ended);
        row.start_time_utc = Some(time_text(began));
        match result {
            Ok(None) => {}
            Ok(Some(answer)) => {
                let payload: Value = serde_json::from_slice(answer.payload()).unwrap_or_default();
                row.outcome =
                    Some(json!({ "deviceMethodResponse": { "status": answer.status(), "payload": payload } }));
            }
            Err(error) => {
                row.status = DeviceJobStatus::Failed;
                row.error = Some(json!({ "code": error.code.to_string(), "description": error.text }));
            }
        }
        row
    }

    /// The row of a device that the job did not get to.
    #[must_use]
    pub fn left_out(self, is_cancelled: bool, now: Timestamp) -> Self {
        let status = if is_cancelled { DeviceJobStatus::Canceled } else { DeviceJobStatus::Failed };
        let mut row = self.ended(status, now);
        if !is_cancelled {
            let code = HubError::GATEWAY_TIMEOUT.code.to_string();
            row.error = Some(json!({ "code": code, "description": "the job ended before the device's turn" }));
        }
        row
    }

    fn ended(mut self, status: DeviceJobStatus, at: Timestamp) -> Self {
        let text = time_text(at);
        self.end_time_utc = Some(text.clone());
        self.last_updated_date_time_utc = text;
        self.status = status;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_714_557_600_000);

    fn row() -> DeviceJob {
        let name = IdentityName::new("d1", None).unwrap();
        DeviceJob::pending(&name, "j", JobType::Method, NOW)
    }

    fn shown(row: &DeviceJob) -> Value {
        serde_json::from_slice(&row.encode()).unwrap()
    }

    #[test]
    fn rows_are_those_that_queries_show() {
        assert_eq!(
            shown(&row()),
            json!({"deviceId": "d1", "jobId": "j", "jobType": "scheduleDeviceMethod", "status": "pending",
                "createdDateTimeUtc": "2024-05-01T10:00:00.0000000Z", "lastUpdatedDateTimeUtc": "2024-05-01T10:00:00.0000000Z"})
        );
        let answer = MethodResult::new(201, bytes::Bytes::from_static(b"{\"a\":1}")).unwrap();
        let done = row().tried(Ok(Some(&answer)), NOW, Timestamp(NOW.0 + 1));
        assert_eq!(shown(&done)["outcome"], json!({"deviceMethodResponse": {"status": 201, "payload": {"a": 1}}}));
        assert_eq!(shown(&done)["endTimeUtc"], "2024-05-01T10:00:00.0010000Z");
        let failed = row().tried(Err(&HubError::NOT_ONLINE), NOW, NOW);
        assert_eq!(shown(&failed)["error"]["code"], "404103");
        assert_eq!((failed.status(), failed.is_waiting()), (DeviceJobStatus::Failed, false));
        assert_eq!(shown(&row().left_out(true, NOW))["status"], "canceled");
        assert_eq!(shown(&row().left_out(false, NOW))["status"], "failed");
        assert_eq!(DeviceJob::decode(&done.encode()), Some(done));
    }
}
