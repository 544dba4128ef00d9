//! What the service asks of scheduled jobs: put one in, look, cancel.
//! - Shape: a job is a document of the owner [`SCHEDULE`]; as long as there is something to do, one of [`ACTIVE`] with its name stands
//!   beside it, written and removed together with it, so that nobody looks through all jobs for the few that are not over.

use std::sync::atomic::Ordering;

use millrace_control::Operation;
use millrace_control_store::clock;
use millrace_control_store::documents::{Collection, Document, DocumentKey, Precondition, Write};
use millrace_model::HubError;
use serde_json::Value;

use super::job::{Job, JobStatus};
use super::request::{JobRequest, JobType, check_job_id};
use crate::documents::{self, Page, WriteError};
use crate::error::JobError;
use crate::events;
use crate::jobs::Jobs;
use crate::limits::{ATTEMPTS_MAX, JOBS_ACTIVE_MAX, JOBS_KEPT_MAX};

/// Owner of jobs.
pub(super) const SCHEDULE: &str = "schedule";
/// Owner of the names of jobs with something left to do.
pub(super) const ACTIVE: &str = "schedule-active";
/// Tells continuations of the list of jobs from others.
const LIST: u64 = 0x6a6f_6273;
/// Jobs that are looked at for one page of the list.
const LOOKED_AT_MAX: usize = 2_000;

impl Jobs {
    /// Takes a job.
    ///
    /// # Errors
    /// When it cannot be carried out, its id is taken, there are too many, or the store failed.
    pub async fn create_job(&self, job_id: &str, body: &Value) -> Result<Value, HubError> {
        self.shared.control.throttle(Operation::Job).await?;
        let now = clock::now();
        let job = Job::new(JobRequest::parse(job_id, body, now)?, now);
        let control = &self.shared.control;
        let active = documents::count(control, Collection::Job, ACTIVE).await?;
        if active >= u64::try_from(JOBS_ACTIVE_MAX).unwrap_or(u64::MAX) {
            return Err(JobError::TooManyActive.into());
        }
        if documents::count(control, Collection::Job, SCHEDULE).await? >= JOBS_KEPT_MAX {
            return Err(HubError::QUOTA.because("the hub keeps no more jobs: the oldest go when they are old enough"));
        }
        let writes = vec![
            Write::put(key(job_id), Precondition::Absent, job.encode()),
            Write::put(active_key(job_id), Precondition::Any, Vec::new()),
        ];
        documents::apply(control, writes).await.map_err(|error| match error {
            WriteError::Conflict => JobError::Exists.into(),
            WriteError::Failed(error) => error,
        })?;
        self.shared.wake.notify_one();
        Ok(job.response(0))
    }

    /// A job as it stands.
    ///
    /// # Errors
    /// When there is none of that id, or the store failed.
    pub async fn job(&self, job_id: &str) -> Result<Value, HubError> {
        self.shared.control.throttle(Operation::Job).await?;
        let (job, _) = self.read_job(job_id).await?;
        Ok(job.response(self.under_way(job_id)))
    }

    /// A page of at most `count` jobs, of a type and in a state if these are named. It may have fewer although there are more.
    ///
    /// # Errors
    /// When the type, state or continuation cannot be one, or the store failed.
    pub async fn jobs(
        &self,
        job_type: Option<&str>,
        status: Option<&str>,
        continuation: Option<&str>,
        count: usize,
    ) -> Result<Page<Value>, HubError> {
        self.shared.control.throttle(Operation::Job).await?;
        let (job_type, status) = (job_type.map(read_type).transpose()?, status.map(read_status).transpose()?);
        let mut after = documents::decode_continuation(continuation, LIST)?;
        let mut page = Page { rows: Vec::new(), continuation: None };
        for _ in 0..LOOKED_AT_MAX.div_ceil(count.max(1)) {
            let found =
                documents::scan(&self.shared.control, Collection::Job, SCHEDULE, after.as_deref(), count).await?;
            let is_last = found.len() < count;
            for document in found {
                after = Some(document.key.name.clone());
                let Ok(job) = decoded(&document) else { continue };
                if job_type.is_none_or(|wanted| wanted == job.job_type())
                    && status.is_none_or(|wanted| wanted == job.status())
                {
                    page.rows.push(job.response(self.under_way(job.id())));
                }
                if page.rows.len() == count {
                    break;
                }
            }
            if page.rows.len() == count || is_last {
                let more = !is_last || page.rows.len() == count;
                page.continuation = after.filter(|_| more).map(|name| documents::encode_continuation(&name, LIST));
                return Ok(page);
            }
        }
        page.continuation = after.map(|name| documents::encode_continuation(&name, LIST));
        Ok(page)
    }

    /// Cancels a job. Devices whose turn has not come are left out.
    ///
    /// # Errors
    /// When there is none of that id, it has ended, or the store failed.
    pub async fn cancel_job(&self, job_id: &str) -> Result<Value, HubError> {
        self.shared.control.throttle(Operation::Job).await?;
        for _ in 0..ATTEMPTS_MAX {
            let (job, version) = self.read_job(job_id).await?;
            let cancelled = job.cancelled(clock::now())?;
            let write = Write::put(key(job_id), Precondition::Version(version), cancelled.encode());
            match documents::apply(&self.shared.control, vec![write]).await {
                Ok(_) => {
                    self.shared.wake.notify_one();
                    return Ok(cancelled.response(0));
                }
                // Whoever works on it was faster.
                Err(WriteError::Conflict) => {}
                Err(WriteError::Failed(error)) => return Err(error),
            }
        }
        Err(HubError::UNAVAILABLE)
    }

    /// The job, and the version of its document.
    pub(super) async fn read_job(&self, job_id: &str) -> Result<(Job, i64), HubError> {
        check_job_id(job_id)?;
        let found = documents::read(&self.shared.control, &key(job_id)).await?;
        let document = found.ok_or(JobError::NotFound)?;
        Ok((decoded(&document)?, document.version))
    }

    fn under_way(&self, job_id: &str) -> u64 {
        self.running().get(job_id).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// Key of a job.
pub(super) fn key(job_id: &str) -> DocumentKey {
    DocumentKey::new(Collection::Job, SCHEDULE, job_id)
}

/// Key of the mark that there is something left to do.
pub(super) fn active_key(job_id: &str) -> DocumentKey {
    DocumentKey::new(Collection::Job, ACTIVE, job_id)
}

/// A stored job.
pub(super) fn decoded(document: &Document) -> Result<Job, HubError> {
    Job::decode(&document.body).ok_or_else(|| {
        events::corrupt("job", &document.key.name);
        HubError::SERVER
    })
}

fn read_type(text: &str) -> Result<JobType, JobError> {
    let known = [JobType::Method, JobType::Twin];
    let found = known.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| JobError::member("jobType", "is one of scheduleDeviceMethod and scheduleUpdateTwin"))
}

fn read_status(text: &str) -> Result<JobStatus, JobError> {
    let known = [
        JobStatus::Scheduled,
        JobStatus::Queued,
        JobStatus::Running,
        JobStatus::Completed,
        JobStatus::Failed,
        JobStatus::Cancelled,
    ];
    let found = known.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(text));
    let found = found.or_else(|| text.eq_ignore_ascii_case("enqueued").then_some(JobStatus::Queued));
    found.ok_or_else(|| {
        JobError::member("jobStatus", "is one of scheduled, queued, running, completed, failed and cancelled")
    })
}
