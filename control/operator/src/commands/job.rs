//! `millrace job`: scheduled jobs, and imports and exports of identities.
//! - Source: Azure IoT Hub has two kinds of jobs behind two addresses, `/jobs/v2` and `/jobs`; here they are one list.
//! - Invariants: a container's URI is shown without its query, which is a signature.

use std::time::Duration;

use clap::Subcommand;
use serde_json::Value;

use crate::context::{Context, Outcome};
use crate::error::OperatorError;
use crate::limits::JOB_POLL;
use crate::service::{Audience, ServiceClient, path};
use crate::table::{Cell, Columns, Rows};
use crate::target::Target;

pub mod schedule;
pub mod transfer;

use self::schedule::{MethodJobArguments, TwinJobArguments};
use self::transfer::{ExportArguments, ImportArguments};
use super::query::Pages;

const COLUMNS: Columns = Columns::Fixed(&[
    ("JOB", Cell::At("/jobId")),
    ("TYPE", Cell::At("/type")),
    ("STATUS", Cell::At("/status")),
    ("PROGRESS", Cell::At("/progress")),
    ("DEVICES", Cell::At("/deviceJobStatistics/deviceCount")),
    ("SUCCEEDED", Cell::At("/deviceJobStatistics/succeededCount")),
    ("FAILED", Cell::At("/deviceJobStatistics/failedCount")),
    ("REASON", Cell::At("/failureReason")),
]);

const DEVICE_COLUMNS: Columns = Columns::Fixed(&[
    ("DEVICE", Cell::At("/deviceId")),
    ("MODULE", Cell::At("/moduleId")),
    ("STATUS", Cell::At("/status")),
    ("ANSWER", Cell::At("/outcome/deviceMethodResponse")),
    ("ERROR", Cell::At("/error/description")),
]);

/// What can be asked about jobs.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Change the twins of all devices that a condition fits.
    #[command(after_help = "\
Examples:
  millrace job schedule-twin --query \"tags.site = 'A'\" --desired '{\"interval\": 10}' --data-dir ./data
  millrace job schedule-twin --id night --start 2030-01-31T02:00:00Z --tags '{\"ring\": 2}' --wait --data-dir ./data")]
    ScheduleTwin(Box<TwinJobArguments>),
    /// Call a method of all devices that a condition fits.
    #[command(after_help = "\
Examples:
  millrace job schedule-method reboot --query \"tags.site = 'A'\" --data-dir ./data
  millrace job schedule-method update --payload @update.json --timeout 120 --max-seconds 7200 --wait --data-dir ./data")]
    ScheduleMethod(Box<MethodJobArguments>),
    /// Create, change or delete all identities of a file devices.txt in a blob container.
    #[command(after_help = "\
Examples:
  millrace job import 'https://blobs.example/fleet?sv=…' --wait --data-dir ./data")]
    Import(ImportArguments),
    /// Write all identities into a file devices.txt in a blob container.
    #[command(after_help = "\
Examples:
  millrace job export 'https://blobs.example/fleet?sv=…' --exclude-keys --wait --data-dir ./data")]
    Export(ExportArguments),
    /// List jobs.
    #[command(after_help = "\
Examples:
  millrace job list --data-dir ./data
  millrace job list --type scheduleUpdateTwin --status running --data-dir ./data")]
    List {
        /// Only those of this type: scheduleDeviceMethod, scheduleUpdateTwin, import or export.
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        /// Only those in this state: queued, scheduled, running, completed, failed or cancelled.
        #[arg(long, value_name = "STATUS")]
        status: Option<String>,
    },
    /// Show a job, or what it did with each device.
    #[command(after_help = "\
Examples:
  millrace job show night --data-dir ./data
  millrace job show night --devices --top 50 --data-dir ./data")]
    Show {
        /// Job id.
        #[arg(value_name = "ID")]
        id: String,
        /// Show what it did with each device.
        #[arg(long)]
        devices: bool,
        /// How many devices at most.
        #[arg(long, value_name = "COUNT", default_value_t = 1000, requires = "devices")]
        top: usize,
    },
    /// Wait until a job has ended. Exit code 1 if it did not complete.
    #[command(after_help = "\
Examples:
  millrace job wait night --for 600 --data-dir ./data")]
    Wait {
        /// Job id.
        #[arg(value_name = "ID")]
        id: String,
        /// How long at most, in seconds.
        #[arg(long = "for", value_name = "SECONDS", default_value_t = 3600)]
        seconds: u64,
    },
    /// Cancel a job; what it has done stays done.
    #[command(after_help = "\
Examples:
  millrace job cancel night --data-dir ./data")]
    Cancel {
        /// Job id.
        #[arg(value_name = "ID")]
        id: String,
    },
}

pub(super) async fn run(command: JobCommand, target: &Target, context: &mut Context<'_>) -> Result<(), OperatorError> {
    match command {
        JobCommand::ScheduleTwin(job) => schedule::twin(&job, target, context).await,
        JobCommand::ScheduleMethod(job) => schedule::method(&job, target, context).await,
        JobCommand::Import(job) => transfer::import(&job, target, context).await,
        JobCommand::Export(job) => transfer::export(&job, target, context).await,
        JobCommand::List { kind, status } => {
            let client = target.client(context, Audience::Hub)?;
            list(&client, kind.as_deref(), status.as_deref(), context).await
        }
        JobCommand::Show { id, devices: true, top } => {
            let client = target.client(context, Audience::Hub)?;
            let query = format!("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '{}'", id.replace('\'', "''"));
            let pages = Pages { client: &client, path: "/devices/query", query: &query };
            pages.show(top, |_| DEVICE_COLUMNS, context).await
        }
        JobCommand::Show { id, .. } => {
            let client = target.client(context, Audience::Hub)?;
            show(read(&client, &id).await?, context)
        }
        JobCommand::Wait { id, seconds } => {
            let client = target.client(context, Audience::Hub)?;
            let job = ended(&client, &id, Duration::from_secs(seconds)).await?;
            show_ended(job, context)
        }
        JobCommand::Cancel { id } => {
            let client = target.client(context, Audience::Hub)?;
            let scheduled = client.post(&path(&["jobs", "v2", &id, "cancel"])?).send(&[200, 204]).await;
            if scheduled.as_ref().is_err_and(OperatorError::is_not_found) {
                client.delete(&path(&["jobs", &id])?).send(&[200, 204]).await?;
            } else {
                scheduled?;
            }
            context.done(format!("cancelled {id}"))
        }
    }
}

async fn list(
    client: &ServiceClient,
    kind: Option<&str>,
    status: Option<&str>,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    let is_transfer = kind.map(|kind| ["import", "export"].iter().any(|known| kind.eq_ignore_ascii_case(known)));
    let mut continuation = None;
    while is_transfer != Some(true) {
        let mut call = client.get("/jobs/v2/query");
        for (name, value) in [("jobType", kind), ("jobStatus", status)] {
            if let Some(value) = value {
                call = call.parameter(name, value);
            }
        }
        let answer = call.continued(continuation.as_deref()).send(&[200]).await?;
        continuation = answer.continuation();
        let is_last = is_transfer == Some(false) && continuation.is_none();
        show_page(answer.json()?, is_last, context)?;
        if continuation.is_none() {
            break;
        }
    }
    if is_transfer == Some(false) {
        return Ok(());
    }
    let mut rows: Vec<Value> = client.get("/jobs").send(&[200]).await?.json()?;
    let fits = |row: &Value, member, wanted: Option<&str>| {
        let found = row.get(member).and_then(Value::as_str).unwrap_or_default();
        wanted.is_none_or(|wanted| found.eq_ignore_ascii_case(wanted))
    };
    rows.retain(|row| fits(row, "type", kind) && fits(row, "status", status));
    show_page(rows, true, context)
}

fn show_page(mut rows: Vec<Value>, is_last: bool, context: &mut Context<'_>) -> Result<(), OperatorError> {
    rows.iter_mut().for_each(without_signatures);
    context.show(Outcome::Rows(Rows { columns: COLUMNS, rows, is_single: false, is_last, remark: None }))
}

fn show(mut job: Value, context: &mut Context<'_>) -> Result<(), OperatorError> {
    without_signatures(&mut job);
    context.show(Outcome::Rows(Rows::single(COLUMNS, job)))
}

/// A job of either kind.
async fn read(client: &ServiceClient, id: &str) -> Result<Value, OperatorError> {
    match client.get(&path(&["jobs", "v2", id])?).send(&[200]).await {
        Err(error) if error.is_not_found() => client.get(&path(&["jobs", id])?).send(&[200]).await?.json(),
        answer => answer?.json(),
    }
}

/// Shows a new job; with `wait`, once it has ended.
async fn begun(
    client: &ServiceClient,
    job: Value,
    wait: Option<Duration>,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    let Some(wait) = wait else { return show(job, context) };
    let id = job.get("jobId").and_then(Value::as_str).ok_or(OperatorError::Answer)?;
    show_ended(ended(client, id, wait).await?, context)
}

/// The job once it has ended.
async fn ended(client: &ServiceClient, id: &str, wait: Duration) -> Result<Value, OperatorError> {
    let polls = async {
        loop {
            let job = read(client, id).await?;
            if ["completed", "failed", "cancelled"].contains(&status(&job).as_str()) {
                return Ok(job);
            }
            tokio::time::sleep(JOB_POLL).await;
        }
    };
    let late =
        |_| OperatorError::Job { status: "unfinished".to_owned(), reason: "it was not waited for longer".to_owned() };
    tokio::time::timeout(wait, polls).await.map_err(late)?
}

fn show_ended(job: Value, context: &mut Context<'_>) -> Result<(), OperatorError> {
    let status = status(&job);
    let reason = job.get("failureReason").and_then(Value::as_str).unwrap_or("no reason given");
    let reason = crate::table::plain(reason);
    show(job, context)?;
    if status == "completed" { Ok(()) } else { Err(OperatorError::Job { status, reason }) }
}

fn status(job: &Value) -> String {
    crate::table::plain(job.get("status").and_then(Value::as_str).unwrap_or("unknown"))
}

/// Cuts the queries off the URIs of containers.
fn without_signatures(job: &mut Value) {
    for member in ["inputBlobContainerUri", "outputBlobContainerUri"] {
        if let Some(Value::String(uri)) = job.get_mut(member)
            && let Some((place, _)) = uri.split_once('?')
        {
            *uri = place.to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn signatures_are_cut_off() {
        let mut job =
            json!({"inputBlobContainerUri": "https://b/c?sig=secret", "outputBlobContainerUri": "https://b/c"});
        super::without_signatures(&mut job);
        assert_eq!(job, json!({"inputBlobContainerUri": "https://b/c", "outputBlobContainerUri": "https://b/c"}));
    }
}
