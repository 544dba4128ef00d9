//! The state of a scheduled job. Decides, never acts.
//! - Shape: scheduled | queued -> running (listing its devices, then working on them) -> completed | failed; cancelled at any time before.
//! - Invariants: a job that has ended stays so. `deviceCount` is the sum of the other numbers, once its devices are listed.
//! - Not here: rows of devices (`outcome`), storage (`service`).

use millrace_model::{IdentityName, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::lease::{Lease, Runner};
use super::request::{JobRequest, JobType, Work};
use crate::error::JobError;
use crate::time;

/// The format that is written.
const FORMAT: u32 = 1;

/// States of a job, as the hub calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum JobStatus {
    /// Its time has not come.
    Scheduled,
    /// It is due.
    Queued,
    /// It is being worked on.
    Running,
    /// All its devices were tried.
    Completed,
    /// It could not be carried out, or took too long.
    Failed,
    /// Somebody has cancelled it.
    Cancelled,
}

/// How many devices are in which state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statistics {
    /// All.
    pub device_count: u64,
    /// Done without success; those that a cancelled or overdue job left out are among them.
    pub failed_count: u64,
    /// Done.
    pub succeeded_count: u64,
    /// Being worked on.
    pub running_count: u64,
    /// Not begun.
    pub pending_count: u64,
}

/// A scheduled job as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    format: u32,
    job_id: String,
    work: Work,
    condition: String,
    created: i64,
    start: Option<i64>,
    execution_seconds: u64,
    status: JobStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    statistics: Statistics,
    /// The last identity that was listed, as device and module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    listed_behind: Option<(String, Option<String>)>,
    #[serde(default)]
    is_listed: bool,
    /// Whether no row waits any more.
    #[serde(default)]
    is_settled: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease: Option<Lease>,
}

impl JobStatus {
    /// As in requests and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
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

impl Job {
    /// A new job.
    #[must_use]
    pub fn new(request: JobRequest, now: Timestamp) -> Self {
        Self {
            format: FORMAT,
            status: if request.start.is_some() { JobStatus::Scheduled } else { JobStatus::Queued },
            job_id: request.job_id,
            work: request.work,
            condition: request.condition,
            created: now.0,
            start: request.start.map(|start| start.0),
            execution_seconds: request.execution_seconds,
            started: None,
            ended: None,
            failure: None,
            statistics: Statistics::default(),
            listed_behind: None,
            is_listed: false,
            is_settled: false,
            lease: None,
        }
    }

    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Maps with text as keys cannot fail to be written, and there are no others here.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads the stored form; `None` when it is none, or a newer program's.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok().filter(|job: &Self| job.format == FORMAT)
    }

    /// Names it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.job_id
    }

    /// What it does.
    #[must_use]
    pub const fn job_type(&self) -> JobType {
        self.work.job_type()
    }

    /// What it does with each device.
    #[must_use]
    pub const fn work(&self) -> &Work {
        &self.work
    }

    /// With which devices.
    #[must_use]
    pub fn condition(&self) -> &str {
        &self.condition
    }

    /// Where it stands.
    #[must_use]
    pub const fn status(&self) -> JobStatus {
        self.status
    }

    /// How many devices are in which state.
    #[must_use]
    pub const fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// When it was asked for.
    #[must_use]
    pub const fn created(&self) -> Timestamp {
        Timestamp(self.created)
    }

    /// When it ended.
    #[must_use]
    pub fn ended_at(&self) -> Option<Timestamp> {
        self.ended.map(Timestamp)
    }

    /// Whether there is nothing left to do, not even with the rows of a job that ended early.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.status.is_end() && self.is_settled
    }

    /// When there is something to do, as far as its time and its lease go.
    #[must_use]
    pub fn due(&self, runner: Runner) -> Timestamp {
        let held = self.lease.filter(|lease| !lease.is_of(runner)).map(|lease| lease.until().0);
        Timestamp(self.start.unwrap_or(self.created).max(held.unwrap_or(0)))
    }

    /// Whether the lease should be renewed: a third of it is over.
    #[must_use]
    pub fn is_lease_stale(&self, now: Timestamp, lease: std::time::Duration) -> bool {
        let third = i64::try_from(lease.as_millis() / 3).unwrap_or(i64::MAX);
        self.lease.is_none_or(|held| held.until().0.saturating_sub(now.0) < third.saturating_mul(2))
    }

    /// When it has taken too long.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let milliseconds = i64::try_from(self.execution_seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
        self.started.map(|started| Timestamp(started.saturating_add(milliseconds)))
    }

    /// Whether it takes too long.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        !self.status.is_end() && self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Whether all its devices have a row.
    #[must_use]
    pub const fn is_listed(&self) -> bool {
        self.is_listed
    }

    /// Behind which identity listing goes on.
    #[must_use]
    pub fn listed_behind(&self) -> Option<IdentityName> {
        let (device, module) = self.listed_behind.as_ref()?;
        IdentityName::new(device, module.as_deref()).ok()
    }

    /// The job as `runner` works on it; `None` when another one does, it is over, or its time has not come.
    #[must_use]
    pub fn claimed(&self, runner: Runner, now: Timestamp, lease_seconds: u64) -> Option<Self> {
        if self.is_over() || self.start.is_some_and(|start| start > now.0) {
            return None;
        }
        let lease = Lease::take(self.lease, runner, now, lease_seconds)?;
        let mut job = Self { lease: Some(lease), ..self.clone() };
        if !job.status.is_end() {
            job.status = JobStatus::Running;
            job.started.get_or_insert(now.0);
        }
        Some(job)
    }

    /// The job once `runner` has let go of it; `None` when it is not that one's: whoever has taken it over keeps it.
    #[must_use]
    pub fn released(&self, runner: Runner) -> Option<Self> {
        let is_held = self.lease.is_some_and(|lease| lease.is_of(runner));
        is_held.then(|| Self { lease: None, ..self.clone() })
    }

    /// The job once `count` more devices have a row; `behind` is the last identity that was looked at, `None` the end of them.
    #[must_use]
    pub fn listed(&self, count: usize, behind: Option<&IdentityName>) -> Self {
        let mut job = self.clone();
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        job.statistics.device_count = job.statistics.device_count.saturating_add(count);
        job.statistics.pending_count = job.statistics.pending_count.saturating_add(count);
        job.is_listed = behind.is_none();
        job.listed_behind = behind.map(|name| (name.device_id().to_owned(), name.module_id().map(str::to_owned)));
        job
    }

    /// The job once so many more rows have ended.
    #[must_use]
    pub fn recorded(&self, succeeded: usize, failed: usize) -> Self {
        let [succeeded, failed] = [succeeded, failed].map(|count| u64::try_from(count).unwrap_or(u64::MAX));
        let mut job = self.clone();
        let numbers = &mut job.statistics;
        numbers.succeeded_count = numbers.succeeded_count.saturating_add(succeeded);
        numbers.failed_count = numbers.failed_count.saturating_add(failed);
        numbers.pending_count = numbers.pending_count.saturating_sub(succeeded.saturating_add(failed));
        job
    }

    /// The job once no row waits any more.
    #[must_use]
    pub fn settled(&self, now: Timestamp) -> Self {
        let status = if self.status.is_end() { self.status } else { JobStatus::Completed };
        let ended = Some(self.ended.unwrap_or(now.0));
        Self { status, ended, is_settled: true, lease: None, ..self.clone() }
    }

    /// The job that somebody cancels. Rows that wait are settled later.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cancelled(&self, now: Timestamp) -> Result<Self, JobError> {
        if self.status.is_end() {
            return Err(JobError::Ended);
        }
        Ok(Self { status: JobStatus::Cancelled, ended: Some(now.0), ..self.clone() })
    }

    /// The job that could not be carried out, or took too long. Rows that wait are settled later.
    #[must_use]
    pub fn failed(&self, why: &str, now: Timestamp) -> Self {
        if self.status.is_end() {
            return self.clone();
        }
        Self { status: JobStatus::Failed, ended: Some(now.0), failure: Some(why.to_owned()), ..self.clone() }
    }

    /// What the service reads. `running` of the rows that wait are being worked on.
    #[must_use]
    pub fn response(&self, running: u64) -> Value {
        let mut response = Map::new();
        let mut put = |name: &str, value: Value| drop(response.insert(name.to_owned(), value));
        let optional = |time: Option<i64>| time.map_or(Value::Null, |time| time::json(Timestamp(time)));
        put("jobId", self.job_id.as_str().into());
        put("queryCondition", self.condition.as_str().into());
        put("createdTime", time::json(self.created()));
        put("startTime", time::json(Timestamp(self.start.unwrap_or(self.created))));
        put("startTimeUtc", optional(self.started));
        put("endTime", optional(self.ended));
        put("endTimeUtc", optional(self.ended));
        put("maxExecutionTimeInSeconds", self.execution_seconds.into());
        put("type", self.job_type().as_str().into());
        match &self.work {
            Work::Method(call) => put("cloudToDeviceMethod", call.clone()),
            Work::Twin(patch) => put("updateTwin", patch.clone()),
        }
        put("status", self.status.as_str().into());
        put("failureReason", self.failure.as_deref().into());
        put("statusMessage", self.failure.as_deref().into());
        let mut numbers = self.statistics;
        numbers.running_count = running.min(numbers.pending_count);
        numbers.pending_count = numbers.pending_count.saturating_sub(numbers.running_count);
        put("deviceJobStatistics", json!(numbers));
        Value::Object(response)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_714_557_600_000);
    const RUNNER: Runner = Runner(7);

    fn job(start: Option<i64>) -> Job {
        let body = json!({"type": "scheduleUpdateTwin", "updateTwin": {"tags": {}}, "queryCondition": "*"});
        let mut request = JobRequest::parse("j", &body, NOW).unwrap();
        request.start = start.map(Timestamp);
        Job::new(request, NOW)
    }

    #[test]
    fn a_job_runs_at_its_time() {
        let later = job(Some(NOW.0 + 5_000));
        assert_eq!((later.status(), later.due(RUNNER)), (JobStatus::Scheduled, Timestamp(NOW.0 + 5_000)));
        assert_eq!(later.claimed(RUNNER, NOW, 15), None);
        let running = later.claimed(RUNNER, Timestamp(NOW.0 + 5_000), 15).unwrap();
        assert_eq!(running.status(), JobStatus::Running);
        assert!(running.claimed(Runner(8), Timestamp(NOW.0 + 6_000), 15).is_none(), "another node waits");
        assert_eq!(running.due(Runner(8)), Timestamp(NOW.0 + 20_000));
        let released = running.released(RUNNER).unwrap();
        assert!(released.claimed(Runner(8), Timestamp(NOW.0 + 6_000), 15).is_some());
        let taken_over = running.claimed(Runner(8), Timestamp(NOW.0 + 20_000), 15).unwrap();
        assert_eq!(taken_over.released(RUNNER), None, "it is no longer that one's to let go");
        assert!(!running.is_overdue(Timestamp(NOW.0 + 3_604_999)) && running.is_overdue(Timestamp(NOW.0 + 3_605_000)));
    }

    #[test]
    fn numbers_add_up_and_ends_are_final() {
        let name = IdentityName::new("d", Some("m")).unwrap();
        let listed = job(None).claimed(RUNNER, NOW, 15).unwrap().listed(3, Some(&name));
        assert_eq!((listed.is_listed(), listed.listed_behind()), (false, Some(name)));
        let done = listed.listed(1, None).recorded(2, 1);
        assert!(done.is_listed());
        let response = done.response(5);
        let numbers =
            json!({"deviceCount": 4, "failedCount": 1, "succeededCount": 2, "runningCount": 1, "pendingCount": 0});
        assert_eq!(response["deviceJobStatistics"], numbers);
        let cancelled = done.cancelled(NOW).unwrap();
        assert!(!cancelled.is_over(), "a row waits");
        assert_eq!(cancelled.cancelled(NOW), Err(JobError::Ended));
        assert_eq!(cancelled.failed("late", NOW), cancelled);
        let over = cancelled.recorded(0, 1).settled(Timestamp(NOW.0 + 1));
        assert!(over.is_over() && over.claimed(RUNNER, NOW, 15).is_none());
        assert_eq!((over.status(), over.ended_at()), (JobStatus::Cancelled, Some(NOW)));
        assert_eq!(done.settled(NOW).status(), JobStatus::Completed);
        assert_eq!(done.failed("late", NOW).response(0)["failureReason"], "late");
    }

    #[test]
    fn what_is_stored_comes_back() {
        let stored = job(Some(1)).listed(1, None);
        assert_eq!(Job::decode(&stored.encode()), Some(stored));
        assert_eq!(Job::decode(b"{}"), None);
        let newer = String::from_utf8(job(None).encode()).unwrap().replace("\"format\":1", "\"format\":2");
        assert_eq!(Job::decode(newer.as_bytes()), None);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Claim(u64, i64),
        List(usize, bool),
        Record(bool),
        Cancel,
        Fail,
        Settle,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..3_u64, 0..100_000_i64).prop_map(|(runner, later)| Step::Claim(runner, later)),
            (0..5_usize, any::<bool>()).prop_map(|(count, is_last)| Step::List(count, is_last)),
            any::<bool>().prop_map(Step::Record),
            Just(Step::Cancel),
            Just(Step::Fail),
            Just(Step::Settle),
        ]
    }

    proptest! {
        #[test]
        fn no_device_is_lost_or_counted_twice_and_no_end_is_taken_back(steps in proptest::collection::vec(step(), 0..60)) {
            let name = IdentityName::new("d", None).unwrap();
            let (mut job, mut now) = (job(None), NOW);
            for step in steps {
                let before = job.clone();
                job = match step {
                    Step::Claim(runner, later) => {
                        now = Timestamp(now.0 + later);
                        job.claimed(Runner(runner), now, 15).unwrap_or(job)
                    }
                    Step::List(count, is_last) if !job.is_listed() => job.listed(count, (!is_last).then_some(&name)),
                    Step::Record(is_good) if job.statistics().pending_count > 0 => {
                        job.recorded(usize::from(is_good), usize::from(!is_good))
                    }
                    Step::Cancel => job.cancelled(now).unwrap_or(job),
                    Step::Fail => job.failed("late", now),
                    Step::Settle if job.is_listed() && job.statistics().pending_count == 0 => job.settled(now),
                    _ => job,
                };
                let numbers = job.statistics();
                prop_assert_eq!(numbers.device_count, numbers.pending_count + numbers.failed_count + numbers.succeeded_count);
                if before.status().is_end() {
                    prop_assert_eq!((job.status(), job.ended_at()), (before.status(), before.ended_at()));
                }
                prop_assert_eq!(Job::decode(&job.encode()), Some(job.clone()));
            }
        }
    }
}
