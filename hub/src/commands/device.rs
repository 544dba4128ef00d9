//! `millrace device …` and `millrace policy …`: runs what `control` does and prints what came of it.

use std::io::{IsTerminal as _, stderr, stdin};

use anyhow::Context as _;
use millrace_control_operator::{
    self as operator, Context, Device, DeviceCommand, ImportReport, OperatorError, Outcome, PolicyCommand,
};

use crate::output::{Failure, line, remark};

/// Holds the service connection string for `--hub`.
const SERVICE_VARIABLE: &str = "MILLRACE_CONNECTION_STRING";

pub(crate) fn run(command: DeviceCommand, json: bool) -> Result<(), Failure> {
    let service = std::env::var(SERVICE_VARIABLE).ok();
    let is_terminal = stderr().is_terminal();
    let mut progress = |lines: u64| {
        if is_terminal {
            remark(format_args!("{lines} lines read"));
        }
    };
    let mut input = stdin().lock();
    let context = Context { service: service.as_deref(), input: &mut input, progress: &mut progress };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let outcome = runtime.block_on(operator::run(command, context)).map_err(failure)?;
    show(outcome, json)
}

pub(crate) fn run_policy(command: &PolicyCommand) -> Result<(), Failure> {
    show(operator::run_policy(command).map_err(failure)?, false)
}

fn failure(error: OperatorError) -> Failure {
    match error {
        OperatorError::Usage(_) => Failure::Usage(error.into()),
        _ => Failure::Failed(error.into()),
    }
}

fn show(outcome: Outcome, json: bool) -> Result<(), Failure> {
    match outcome {
        Outcome::ConnectionString(text) => line(&*text.expose()),
        Outcome::Device(device) if json => line(to_json(&device)?),
        Outcome::Device(device) => line(row(&device)),
        Outcome::Devices { devices, .. } if json => line(to_json(&devices)?),
        Outcome::Devices { devices, more } => {
            devices.iter().for_each(|device| line(row(device)));
            if more {
                remark("there are more: go on with --after and the last id, or raise --top");
            }
        }
        Outcome::Deleted(name) => remark(format_args!("deleted {name}")),
        Outcome::Imported(report) => return imported(&report, json),
    }
    Ok(())
}

fn to_json(value: &impl serde::Serialize) -> Result<String, Failure> {
    Ok(serde_json::to_string_pretty(value).context("cannot write JSON")?)
}

fn row(device: &Device) -> String {
    let module = device.module_id.as_ref().map(|module| format!("/{module}")).unwrap_or_default();
    let status = if device.enabled { "enabled" } else { "disabled" };
    format!("{}{module}\t{status}", device.device_id)
}

fn imported(report: &ImportReport, json: bool) -> Result<(), Failure> {
    for bad in &report.bad_lines {
        remark(format_args!("line {}: {}", bad.line, bad.problem));
    }
    if json {
        line(serde_json::json!({ "created": report.created, "bad": report.bad }));
    } else {
        line(format_args!("{} devices created", report.created));
    }
    if report.bad > 0 && report.created == 0 {
        return Err(Failure::Failed(anyhow::anyhow!("{} bad lines, nothing was created", report.bad)));
    }
    Ok(())
}
