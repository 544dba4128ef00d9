//! `millrace job schedule-twin` and `schedule-method`

use std::time::Duration;

use clap::Args;
use millrace_control_store::{clock, random};
use serde_json::{Map, Value, json};

use super::super::method::MethodArguments;
use super::super::twin::ChangeArguments;
use crate::context::Context;
use crate::error::OperatorError;
use crate::service::{Audience, path};
use crate::target::Target;

/// For which devices, and when.
#[derive(Debug, Args)]
pub struct ScheduleArguments {
    /// Job id; a new one if left out.
    #[arg(long, value_name = "ID")]
    pub id: Option<String>,
    /// Which devices: the WHERE part of a query, or * for all.
    #[arg(long, value_name = "CONDITION", default_value = "*")]
    pub query: String,
    /// When to begin, as 2030-01-31T02:00:00Z; at once if left out.
    #[arg(long, value_name = "TIME")]
    pub start: Option<jiff::Timestamp>,
    /// How long the job may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub max_seconds: u64,
    /// Wait until the job has ended; exit code 1 if it did not complete.
    #[arg(long)]
    pub wait: bool,
}

/// `millrace job schedule-twin`
#[derive(Debug, Args)]
pub struct TwinJobArguments {
    /// For which devices, and when.
    #[command(flatten)]
    pub schedule: ScheduleArguments,
    /// What to merge into their twins.
    #[command(flatten)]
    pub change: ChangeArguments,
}

/// `millrace job schedule-method`
#[derive(Debug, Args)]
pub struct MethodJobArguments {
    /// For which devices, and when.
    #[command(flatten)]
    pub schedule: ScheduleArguments,
    /// What to call.
    #[command(flatten)]
    pub method: MethodArguments,
}

pub(super) async fn twin(
    job: &TwinJobArguments,
    target: &Target,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    let mut twin = job.change.body(context)?;
    twin.insert("etag".to_owned(), json!("*"));
    schedule(&job.schedule, [("type", json!("scheduleUpdateTwin")), ("updateTwin", twin.into())], target, context).await
}

pub(super) async fn method(
    job: &MethodJobArguments,
    target: &Target,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    let method = job.method.body(context)?;
    let work = [("type", json!("scheduleDeviceMethod")), ("cloudToDeviceMethod", method.into())];
    schedule(&job.schedule, work, target, context).await
}

async fn schedule(
    schedule: &ScheduleArguments,
    work: [(&str, Value); 2],
    target: &Target,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    let id = schedule.id.clone().map_or_else(new_id, Ok)?;
    let mut members = vec![
        ("jobId", json!(id)),
        ("queryCondition", json!(schedule.query)),
        ("maxExecutionTimeInSeconds", json!(schedule.max_seconds)),
    ];
    members.extend(schedule.start.map(|start| ("startTime", json!(start.to_string()))));
    members.extend(work);
    let body: Map<String, Value> = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let client = target.client(context, Audience::Hub)?;
    let job = client.put(&path(&["jobs", "v2", &id])?).json(&body).send(&[200, 201]).await?.json()?;
    // Until it starts, as long as it may take, and a little for the hub to say so.
    let start = schedule.start.map_or(0, jiff::Timestamp::as_millisecond);
    let until_start = Duration::from_millis(start.saturating_sub(clock::now().0).max(0).unsigned_abs());
    let patience = until_start.saturating_add(Duration::from_secs(schedule.max_seconds.saturating_add(60)));
    super::begun(&client, job, schedule.wait.then_some(patience), context).await
}

/// An id that no other job has: 128 random bits.
fn new_id() -> Result<String, OperatorError> {
    let key = random::key()?;
    Ok(key.as_bytes().iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}
