//! Who does the jobs: one task looks for what is due, one task for each job works on it.
//! - Invariants: a job is written only with the version that was read, and only under this node's lease; whoever loses either stops.
//! - Limits: `jobs_at_once` jobs on a node.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use millrace_control_store::clock;
use millrace_control_store::documents::{Collection, Precondition, Write};
use millrace_model::{HubError, Timestamp};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::job::Job;
use super::service::{ACTIVE, SCHEDULE, active_key, decoded, key};
use crate::documents::{self, WriteError};
use crate::events;
use crate::jobs::Jobs;
use crate::limits::{ATTEMPTS_MAX, JOBS_ACTIVE_MAX};
use millrace_control_store::documents::WRITES_MAX;

/// How often jobs are looked through for those that are too old.
const RETENTION_PERIOD: Duration = Duration::from_secs(3_600);

/// A job that this node works on, as it last wrote or read it.
pub(super) struct Held {
    pub(super) job: Job,
    pub(super) version: i64,
}

/// Why work on a job stops.
#[derive(Debug)]
pub(super) enum Stop {
    /// Another node works on it, or it is gone.
    Lost,
    /// The store failed; it is tried again.
    Failed(HubError),
}

impl From<HubError> for Stop {
    fn from(error: HubError) -> Self {
        Self::Failed(error)
    }
}

impl Jobs {
    /// Looks for jobs that are due, and works on them.
    pub(crate) async fn run_schedule(&self) {
        let mut tasks = JoinSet::new();
        let mut taken = HashSet::new();
        let mut look_at = Instant::now();
        let mut tidy_at = Instant::now();
        loop {
            // Cancel-safe: what is missed is seen at the next look.
            tokio::select! {
                () = sleep_until(look_at) => {}
                () = self.shared.wake.notified() => {}
                Some(ended) = tasks.join_next() => drop(ended.map(|id: String| taken.remove(&id))),
            }
            if tidy_at <= Instant::now() {
                tidy_at = Instant::now() + RETENTION_PERIOD;
                if let Err(error) = self.remove_old_jobs().await {
                    events::job_waits(SCHEDULE, &error);
                }
            }
            let pause = match self.begin_due(&mut tasks, &mut taken).await {
                Ok(pause) => pause,
                Err(error) => {
                    events::job_waits(SCHEDULE, &error);
                    self.poll()
                }
            };
            look_at = Instant::now() + pause;
        }
    }

    fn poll(&self) -> Duration {
        Duration::from_secs(self.shared.settings.jobs.poll_seconds)
    }

    /// Begins what is due and has room; answers when to look again.
    async fn begin_due(&self, tasks: &mut JoinSet<String>, taken: &mut HashSet<String>) -> Result<Duration, HubError> {
        let control = &self.shared.control;
        let now = clock::now();
        let mut pause = self.poll();
        for mark in documents::scan(control, Collection::Job, ACTIVE, None, JOBS_ACTIVE_MAX).await? {
            let id = mark.key.name.to_string();
            if taken.contains(&id) || taken.len() >= self.shared.settings.jobs.jobs_at_once {
                continue;
            }
            let Some(document) = documents::read(control, &key(&id)).await? else { continue };
            let Ok(job) = decoded(&document) else { continue };
            let due = job.due(self.shared.runner);
            if due > now {
                pause = pause.min(until(due, now));
                continue;
            }
            taken.insert(id.clone());
            let jobs = self.clone();
            tasks.spawn(async move {
                jobs.work_on(&id).await;
                id
            });
        }
        Ok(pause)
    }

    /// Works on one job until it is over, is lost, or the store fails.
    async fn work_on(&self, job_id: &str) {
        self.running().insert(job_id.to_owned(), Arc::default());
        match self.carry_out(job_id).await {
            Ok(()) | Err(Stop::Lost) => {}
            Err(Stop::Failed(error)) => {
                events::job_waits(job_id, &error);
                drop(self.release(job_id).await);
            }
        }
        self.running().remove(job_id);
    }

    async fn carry_out(&self, job_id: &str) -> Result<(), Stop> {
        let (job, version) = self.read_job(job_id).await?;
        let mut held = Held { job, version };
        self.write(&mut held, Vec::new(), |job| job.clone()).await?;
        self.list(&mut held).await?;
        self.do_steps(&mut held).await?;
        self.settle(&mut held).await?;
        events::job_ended(job_id, held.job.status().as_str());
        Ok(())
    }

    /// Writes the job as `change` makes it, with rows of its devices, and renews the lease. When somebody has cancelled it meanwhile, that
    /// is taken over first.
    pub(super) async fn write(
        &self,
        held: &mut Held,
        rows: Vec<Write>,
        change: impl Fn(&Job) -> Job + Send,
    ) -> Result<(), Stop> {
        let seconds = self.shared.settings.jobs.lease_seconds;
        for _ in 0..ATTEMPTS_MAX {
            let claimed = held.job.claimed(self.shared.runner, clock::now(), seconds).ok_or(Stop::Lost)?;
            let job = change(&claimed);
            let mut writes = vec![Write::put(key(job.id()), Precondition::Version(held.version), job.encode())];
            writes.extend(rows.iter().cloned());
            if job.is_over() {
                writes.push(Write::remove(active_key(job.id()), Precondition::Any));
            }
            match documents::apply(&self.shared.control, writes).await {
                Ok(versions) => {
                    *held = Held { job, version: versions.first().copied().unwrap_or_default() };
                    return Ok(());
                }
                Err(WriteError::Conflict) => self.read_again(held).await?,
                Err(WriteError::Failed(error)) => return Err(Stop::Failed(error)),
            }
        }
        Err(Stop::Failed(HubError::UNAVAILABLE))
    }

    /// Takes over what somebody else has written.
    pub(super) async fn read_again(&self, held: &mut Held) -> Result<(), Stop> {
        let (job, version) = self.read_job(held.job.id()).await.map_err(|error| {
            if error.code == HubError::JOB_NOT_FOUND.code { Stop::Lost } else { Stop::Failed(error) }
        })?;
        *held = Held { job, version };
        Ok(())
    }

    /// Lets go of a job, so that others need not wait until the lease has run out.
    pub(crate) async fn release(&self, job_id: &str) -> Result<(), HubError> {
        let (job, version) = self.read_job(job_id).await?;
        let Some(released) = job.released(self.shared.runner) else { return Ok(()) };
        let write = Write::put(key(job_id), Precondition::Version(version), released.encode());
        documents::apply(&self.shared.control, vec![write]).await?;
        Ok(())
    }

    /// Removes jobs that ended long ago, with the rows of their devices.
    async fn remove_old_jobs(&self) -> Result<(), HubError> {
        let control = &self.shared.control;
        let kept = i64::from(self.shared.settings.jobs.kept_days).saturating_mul(86_400_000);
        let oldest = Timestamp(clock::now().0.saturating_sub(kept));
        let mut after: Option<Box<str>> = None;
        loop {
            let page = documents::scan(control, Collection::Job, SCHEDULE, after.as_deref(), WRITES_MAX).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.key.name.clone());
            for document in &page {
                let is_old = |job: &Job| job.is_over() && job.ended_at().is_some_and(|ended| ended < oldest);
                if decoded(document).is_ok_and(|job| is_old(&job)) {
                    self.remove_rows(&document.key.name).await?;
                    documents::apply(control, vec![Write::remove(document.key.clone(), Precondition::Any)]).await?;
                }
            }
        }
    }

    async fn remove_rows(&self, job_id: &str) -> Result<(), HubError> {
        loop {
            let rows = documents::scan(&self.shared.control, Collection::DeviceJob, job_id, None, WRITES_MAX).await?;
            if rows.is_empty() {
                return Ok(());
            }
            let removals = rows.into_iter().map(|row| Write::remove(row.key, Precondition::Any)).collect();
            documents::apply(&self.shared.control, removals).await?;
        }
    }
}

fn until(due: Timestamp, now: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(due.0.saturating_sub(now.0)).unwrap_or_default())
}
