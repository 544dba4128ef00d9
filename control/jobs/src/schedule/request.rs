//! What a scheduled job is asked to do.
//! - Shape: `{"jobId","type","cloudToDeviceMethod"|"updateTwin","queryCondition","startTime"?,"maxExecutionTimeInSeconds"?}`
//! - Invariants: what is taken can be carried out: the method, the patch and the condition were read and checked.
//! - Errors: [`JobError`], naming the member.

use millrace_control_command::MethodCall;
use millrace_control_query::Condition;
use millrace_control_twin::Twin;
use millrace_model::Timestamp;
use millrace_model::ids::is_valid_id;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::JobError;
use crate::limits::{EXECUTION_SECONDS_MAX, JOB_ID_CHARACTERS_MAX, SCHEDULE_DAYS_MAX};
use crate::time;

/// Kinds of scheduled jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobType {
    /// Call a direct method.
    #[serde(rename = "scheduleDeviceMethod")]
    Method,
    /// Change the twin.
    #[serde(rename = "scheduleUpdateTwin")]
    Twin,
}

/// What to do with each device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Work {
    /// Call this method; as the service would.
    #[serde(rename = "cloudToDeviceMethod")]
    Method(Value),
    /// Merge this into the twin; its `etag` is the one that the twin must have.
    #[serde(rename = "updateTwin")]
    Twin(Value),
}

/// A job as it is asked for, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRequest {
    /// Names it.
    pub job_id: String,
    /// What to do.
    pub work: Work,
    /// With which devices.
    pub condition: String,
    /// When; at once if there is none.
    pub start: Option<Timestamp>,
    /// How long it may take.
    pub execution_seconds: u64,
}

impl JobType {
    /// As in requests and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Method => "scheduleDeviceMethod",
            Self::Twin => "scheduleUpdateTwin",
        }
    }
}

impl Work {
    /// Which kind of job does this.
    #[must_use]
    pub const fn job_type(&self) -> JobType {
        match self {
            Self::Method(_) => JobType::Method,
            Self::Twin(_) => JobType::Twin,
        }
    }
}

impl JobRequest {
    /// Reads what is asked for under `job_id`.
    ///
    /// # Errors
    /// When a member is missing or cannot be what it is.
    pub fn parse(job_id: &str, body: &Value, now: Timestamp) -> Result<Self, JobError> {
        check_job_id(job_id)?;
        let Value::Object(body) = body else { return Err(JobError::Format("a job is an object".to_owned())) };
        if text(body, "jobId")?.is_some_and(|id| id != job_id) {
            return Err(JobError::member("jobId", "is not the one in the path"));
        }
        let condition = text(body, "queryCondition")?.unwrap_or_default().to_owned();
        check_condition(&condition)?;
        Ok(Self {
            job_id: job_id.to_owned(),
            work: work(body, now)?,
            condition,
            start: start(body, now)?,
            execution_seconds: execution_seconds(body)?,
        })
    }
}

/// Checks that a text may name a job.
///
/// # Errors
/// When it is empty, too long, or holds a character that ids do not have.
pub(super) fn check_job_id(job_id: &str) -> Result<(), JobError> {
    if is_valid_id(job_id) && job_id.len() <= JOB_ID_CHARACTERS_MAX {
        return Ok(());
    }
    Err(JobError::member(
        "jobId",
        format!("has 1 to {JOB_ID_CHARACTERS_MAX} letters, digits and any of -.+%_#*?!(),:=@$';"),
    ))
}

fn check_condition(text: &str) -> Result<(), JobError> {
    let member = "queryCondition".to_owned();
    let condition = Condition::parse(text).map_err(|error| JobError::Query { member: member.clone(), error })?;
    if condition.is_empty() {
        return Err(JobError::member(member, "is empty: * means all devices"));
    }
    Ok(())
}

fn work(body: &Map<String, Value>, now: Timestamp) -> Result<Work, JobError> {
    let given = |member: &str| body.get(member).filter(|value| !value.is_null());
    let kind = text(body, "type")?.unwrap_or_default();
    if kind.eq_ignore_ascii_case(JobType::Method.as_str()) {
        let call = given("cloudToDeviceMethod").ok_or_else(|| JobError::member("cloudToDeviceMethod", "is missing"))?;
        MethodCall::parse(call.to_string().as_bytes())
            .map_err(|error| JobError::member("cloudToDeviceMethod", format!("cannot be called: {error}")))?;
        Ok(Work::Method(call.clone()))
    } else if kind.eq_ignore_ascii_case(JobType::Twin.as_str()) {
        let patch = given("updateTwin").ok_or_else(|| JobError::member("updateTwin", "is missing"))?;
        Twin::fresh()
            .patch_service(None, patch, now)
            .map_err(|error| JobError::member("updateTwin", format!("cannot be merged: {error}")))?;
        Ok(Work::Twin(patch.clone()))
    } else {
        Err(JobError::member("type", "is one of scheduleDeviceMethod and scheduleUpdateTwin"))
    }
}

fn start(body: &Map<String, Value>, now: Timestamp) -> Result<Option<Timestamp>, JobError> {
    let Some(text) = text(body, "startTime")?.filter(|text| !text.is_empty()) else { return Ok(None) };
    let start = time::from_text(text).ok_or_else(|| JobError::member("startTime", "is not an ISO 8601 time"))?;
    let latest = now.0.saturating_add(SCHEDULE_DAYS_MAX.saturating_mul(86_400_000));
    if start.0 > latest {
        return Err(JobError::member("startTime", format!("is more than {SCHEDULE_DAYS_MAX} days ahead")));
    }
    // The hub's own word for "at once" is the year 1.
    Ok(Some(start).filter(|start| *start > now))
}

fn execution_seconds(body: &Map<String, Value>) -> Result<u64, JobError> {
    let member = "maxExecutionTimeInSeconds";
    let seconds = match body.get(member).filter(|value| !value.is_null()) {
        None => 3_600,
        Some(value) => value.as_u64().ok_or_else(|| JobError::member(member, "is not a number of seconds"))?,
    };
    if (1..=EXECUTION_SECONDS_MAX).contains(&seconds) {
        return Ok(seconds);
    }
    Err(JobError::member(member, format!("is 1 to {EXECUTION_SECONDS_MAX}")))
}

/// A member that is a text, if it is there.
fn text<'a>(body: &'a Map<String, Value>, member: &str) -> Result<Option<&'a str>, JobError> {
    match body.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(JobError::member(member, "is not a text")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp(1_714_557_600_000);

    fn parse(body: Value) -> Result<JobRequest, JobError> {
        JobRequest::parse("j1", &body, NOW)
    }

    fn method(change: impl FnOnce(&mut Value)) -> Value {
        let mut body = json!({"jobId": "j1", "type": "scheduleDeviceMethod", "queryCondition": "deviceId IN ['a']",
            "cloudToDeviceMethod": {"methodName": "reboot", "payload": {"a": 1}, "responseTimeoutInSeconds": 30},
            "startTime": "2024-05-01T10:00:00.000Z", "maxExecutionTimeInSeconds": 3600});
        change(&mut body);
        body
    }

    #[test]
    fn jobs_are_read_as_sdks_write_them() {
        let asked = parse(method(|_| {})).unwrap();
        assert_eq!((asked.work.job_type(), asked.start, asked.execution_seconds), (JobType::Method, None, 3_600));
        let later = parse(method(|body| body["startTime"] = json!("2024-05-01T10:00:01Z"))).unwrap();
        assert_eq!(later.start, Some(Timestamp(NOW.0 + 1_000)));
        let twin = json!({"type": "scheduleUpdateTwin", "queryCondition": "*", "startTime": null,
            "updateTwin": {"etag": "*", "deviceId": "x", "tags": {"a": 1}, "properties": {"desired": {"b": null}}}});
        assert_eq!(parse(twin).unwrap().work.job_type(), JobType::Twin);
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_its_member() {
        type Change<'a> = (&'static str, &'a dyn Fn(&mut Value));
        let changes: [Change<'_>; 12] = [
            ("jobId", &|body| body["jobId"] = json!("other")),
            ("type", &|body| body["type"] = json!("export")),
            ("type", &|body| body["type"] = json!(null)),
            ("queryCondition", &|body| body["queryCondition"] = json!(7)),
            ("queryCondition", &|body| body["queryCondition"] = json!("")),
            ("queryCondition", &|body| body["queryCondition"] = json!("deviceId = 'a'; DROP TABLE device")),
            ("cloudToDeviceMethod", &|body| body["cloudToDeviceMethod"] = json!(null)),
            ("cloudToDeviceMethod", &|body| body["cloudToDeviceMethod"]["methodName"] = json!("a b")),
            ("startTime", &|body| body["startTime"] = json!("soon")),
            ("startTime", &|body| body["startTime"] = json!("2034-05-01T10:00:00Z")),
            ("maxExecutionTimeInSeconds", &|body| body["maxExecutionTimeInSeconds"] = json!(0)),
            ("maxExecutionTimeInSeconds", &|body| body["maxExecutionTimeInSeconds"] = json!(-1)),
        ];
        for (wrong, change) in changes {
            let error = parse(method(change)).unwrap_err();
            let member = match &error {
                JobError::Member { member, .. } | JobError::Query { member, .. } => member.as_str(),
                other => panic!("{other}"),
            };
            assert_eq!(member, wrong, "{error}");
        }
        let patch = json!({"type": "scheduleUpdateTwin", "queryCondition": "*", "updateTwin": {"tags": {"a.b": 1}}});
        assert!(parse(patch).is_err());
        assert!(matches!(parse(json!([])), Err(JobError::Format(_))));
        for id in ["", "a/b", "a b", &"x".repeat(65)] {
            assert!(check_job_id(id).is_err(), "{id}");
        }
    }
}
