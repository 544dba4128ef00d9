//! What a job does with each of its devices.
//! - Shape: rows that wait -> `devices_at_once` steps at a time -> outcomes, written many at a time together with the job's numbers.
//! - Invariants: a step whose outcome is not written is tried again by whoever goes on; one whose outcome is written never is.
//! - Limits: [`ROWS_READ_AHEAD`] rows in memory besides those that are worked on. A step that the hub has no room for is tried
//!   [`STEP_ATTEMPTS_MAX`] times.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use millrace_control::Control;
use millrace_control_command::{MethodCall, MethodResult};
use millrace_control_store::clock;
use millrace_control_store::documents::{Collection, Precondition, Write};
use millrace_model::{HubError, IdentityName};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::job::JobStatus;
use super::list::row_key;
use super::outcome::{DeviceJob, DeviceJobStatus};
use super::request::Work;
use super::run::{Held, Stop};
use crate::documents;
use crate::events;
use crate::jobs::Jobs;
use crate::limits::{OUTCOME_BYTES_PER_WRITE, OUTCOMES_PER_WRITE, ROWS_READ_AHEAD, STEP_ATTEMPTS_MAX, STEP_PAUSE};

/// How often a job is looked at while its devices take their time: has it been cancelled, has it taken too long?
const LOOK_PERIOD: Duration = Duration::from_millis(500);

/// What is done with each device.
enum Step {
    Method(MethodCall),
    Twin { if_match: Option<String>, patch: Value },
}

/// Steps under way, and the rows behind them.
struct Crew {
    step: Arc<Step>,
    steps: JoinSet<Option<DeviceJob>>,
    waiting: VecDeque<DeviceJob>,
    /// The last row that was read; `None` before the first.
    behind: Option<Box<str>>,
    is_read: bool,
    done: Vec<DeviceJob>,
    count: Arc<AtomicU64>,
}

impl Jobs {
    /// Tries the step of each device whose row waits, until all are done or the job has ended.
    pub(super) async fn do_steps(&self, held: &mut Held) -> Result<(), Stop> {
        let count = self.running().get(held.job.id()).cloned().unwrap_or_default();
        let mut crew = Crew::new(step_of(held.job.work())?, count);
        let mut looks = interval(LOOK_PERIOD);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if held.job.is_overdue(clock::now()) {
                self.write(held, Vec::new(), |job| job.failed("the maximum execution time is over", clock::now()))
                    .await?;
            }
            if held.job.status().is_end() {
                crew.steps.shutdown().await;
                return self.record(held, &mut crew.done).await;
            }
            self.fill(held, &mut crew).await?;
            if crew.steps.is_empty() {
                return self.record(held, &mut crew.done).await;
            }
            // Cancel-safe: a look that is dropped is taken soon after.
            tokio::select! {
                Some(tried) = crew.steps.join_next() => crew.done.extend(tried.ok().flatten()),
                _ = looks.tick() => self.look(held, &mut crew.done).await?,
            }
            crew.gather();
            if crew.done.len() >= OUTCOMES_PER_WRITE {
                self.record(held, &mut crew.done).await?;
            }
        }
    }

    /// Begins steps as long as there is room and rows wait.
    async fn fill(&self, held: &Held, crew: &mut Crew) -> Result<(), HubError> {
        while crew.steps.len() < self.shared.settings.jobs.devices_at_once {
            if crew.waiting.is_empty() && !crew.is_read {
                self.read_rows(held.job.id(), crew).await?;
                continue;
            }
            let Some(row) = crew.waiting.pop_front() else { break };
            let (control, step) = (self.shared.control.clone(), Arc::clone(&crew.step));
            crew.steps.spawn(async move { step.tried(&control, row).await });
        }
        crew.count_steps();
        Ok(())
    }

    async fn read_rows(&self, job_id: &str, crew: &mut Crew) -> Result<(), HubError> {
        let behind = crew.behind.as_deref();
        let page =
            documents::scan(&self.shared.control, Collection::DeviceJob, job_id, behind, ROWS_READ_AHEAD).await?;
        crew.is_read = page.is_empty();
        for document in page {
            match DeviceJob::decode(&document.body) {
                Some(row) if row.is_waiting() => crew.waiting.push_back(row),
                Some(_) => {}
                None => events::corrupt("device job", &document.key.name),
            }
            crew.behind = Some(document.key.name);
        }
        Ok(())
    }

    /// Notices what others did with the job, and writes what is done.
    async fn look(&self, held: &mut Held, done: &mut Vec<DeviceJob>) -> Result<(), Stop> {
        let (_, version) = self.read_job(held.job.id()).await?;
        if version != held.version {
            self.read_again(held).await?;
        }
        let lease = Duration::from_secs(self.shared.settings.jobs.lease_seconds);
        let is_stale = held.job.is_lease_stale(clock::now(), lease);
        if is_stale || !done.is_empty() { self.record(held, done).await } else { Ok(()) }
    }

    /// Writes outcomes and what they make of the job's numbers.
    async fn record(&self, held: &mut Held, done: &mut Vec<DeviceJob>) -> Result<(), Stop> {
        let mut rest = std::mem::take(done);
        loop {
            let later = rest.split_off(fitting(&rest));
            let succeeded = rest.iter().filter(|row| row.status() == DeviceJobStatus::Completed).count();
            let failed = rest.len().saturating_sub(succeeded);
            let rows = rest.iter().filter_map(|row| {
                let name = row.name()?;
                Some(Write::put(row_key(held.job.id(), &name), Precondition::Any, row.encode()))
            });
            let rows = rows.collect();
            self.write(held, rows, |job| job.recorded(succeeded, failed)).await?;
            events::steps_recorded(succeeded, failed);
            if later.is_empty() {
                return Ok(());
            }
            rest = later;
        }
    }

    /// Ends the rows that still wait, and the job with them.
    pub(super) async fn settle(&self, held: &mut Held) -> Result<(), Stop> {
        let is_cancelled = held.job.status() == JobStatus::Cancelled;
        let mut behind: Option<Box<str>> = None;
        while held.job.statistics().pending_count > 0 {
            let control = &self.shared.control;
            let page =
                documents::scan(control, Collection::DeviceJob, held.job.id(), behind.as_deref(), OUTCOMES_PER_WRITE);
            let page = page.await?;
            let Some(last) = page.last() else { break };
            behind = Some(last.key.name.clone());
            let rows = page.iter().filter_map(|document| DeviceJob::decode(&document.body));
            let waiting = rows.filter(DeviceJob::is_waiting);
            let mut left_out: Vec<_> = waiting.map(|row| row.left_out(is_cancelled, clock::now())).collect();
            self.record(held, &mut left_out).await?;
        }
        self.write(held, Vec::new(), |job| job.settled(clock::now())).await
    }
}

impl Crew {
    fn new(step: Step, count: Arc<AtomicU64>) -> Self {
        Self {
            step: Arc::new(step),
            steps: JoinSet::new(),
            waiting: VecDeque::new(),
            behind: None,
            is_read: false,
            done: Vec::new(),
            count,
        }
    }

    /// Takes what else is done.
    fn gather(&mut self) {
        while self.done.len() < OUTCOMES_PER_WRITE
            && let Some(tried) = self.steps.try_join_next()
        {
            self.done.extend(tried.ok().flatten());
        }
        self.count_steps();
    }

    fn count_steps(&self) {
        self.count.store(u64::try_from(self.steps.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Step {
    /// The row after the step. `None`: whose row it is cannot be said.
    async fn tried(&self, control: &Control, row: DeviceJob) -> Option<DeviceJob> {
        let name = row.name()?;
        let began = clock::now();
        let mut pause = STEP_PAUSE;
        let mut attempt = 1;
        let result = loop {
            match self.once(control, &name).await {
                Err(error) if matches!(error.status, 429 | 503) && attempt < STEP_ATTEMPTS_MAX => {
                    attempt = attempt.saturating_add(1);
                    sleep(pause).await;
                    pause = pause.saturating_mul(2);
                }
                result => break result,
            }
        };
        let result = result.as_ref().map(Option::as_ref);
        Some(row.tried(result, began, clock::now()))
    }

    async fn once(&self, control: &Control, name: &IdentityName) -> Result<Option<MethodResult>, HubError> {
        match self {
            Self::Method(call) => control.invoke(name, call.clone()).await.map(Some),
            Self::Twin { if_match, patch } => control.patch_twin(name, if_match.as_deref(), patch).await.map(|_| None),
        }
    }
}

/// How many of these rows are written together.
fn fitting(rows: &[DeviceJob]) -> usize {
    let mut bytes = 0_usize;
    let is_within = |row: &&DeviceJob| {
        bytes = bytes.saturating_add(row.encode().len());
        bytes <= OUTCOME_BYTES_PER_WRITE
    };
    let count = rows.iter().take(OUTCOMES_PER_WRITE).take_while(is_within).count();
    count.max(1).min(rows.len())
}

fn step_of(work: &Work) -> Result<Step, HubError> {
    Ok(match work {
        Work::Method(call) => Step::Method(MethodCall::parse(call.to_string().as_bytes())?),
        Work::Twin(patch) => {
            let etag = patch.get("etag").and_then(Value::as_str).filter(|etag| !etag.is_empty());
            Step::Twin { if_match: etag.map(str::to_owned), patch: patch.clone() }
        }
    })
}

#[cfg(test)]
mod tests {
    use millrace_model::Timestamp;

    use super::*;
    use crate::schedule::request::JobType;

    /// A row with the longest answer that there is: each number of it is written with three times its letters.
    fn row(answer: &str) -> DeviceJob {
        let name = IdentityName::new("d", None).unwrap();
        let pending = DeviceJob::pending(&name, "j", JobType::Method, Timestamp(0));
        let result = MethodResult::new(200, answer.as_bytes().to_vec().into()).unwrap();
        pending.tried(Ok(Some(&result)), Timestamp(0), Timestamp(0))
    }

    #[test]
    fn outcomes_that_grow_still_fit_into_a_write() {
        let long = format!("[{}1]", "1e15,".repeat(26_000));
        let rows: Vec<_> = (0..100).map(|_| row(&long)).collect();
        let together: usize = rows[..fitting(&rows)].iter().map(|row| row.encode().len()).sum();
        assert!(together > 2 * 1024 * 1024 && together <= OUTCOME_BYTES_PER_WRITE, "{together}");
        let small: Vec<_> = (0..100).map(|_| row("{}")).collect();
        assert_eq!((fitting(&small), fitting(&small[..3]), fitting(&[])), (OUTCOMES_PER_WRITE, 3, 0));
    }
}
