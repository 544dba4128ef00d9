//! `millrace device …`, `twin …` and their like: runs what `control/operator` does and prints what comes of it.

use std::io::{self, IsTerminal as _, Write as _, stderr, stdin, stdout};

use anyhow::Context as _;
use millrace_control_operator::{Context, OperatorCommand, OperatorError, Outcome, Presenter, run as operate};

use crate::output::{Failure, remark};

/// Holds the service connection string for `--hub`.
const SERVICE_VARIABLE: &str = "MILLRACE_CONNECTION_STRING";

pub(crate) fn run(command: OperatorCommand) -> Result<(), Failure> {
    let service = std::env::var(SERVICE_VARIABLE).ok();
    let is_terminal = stderr().is_terminal();
    let mut progress = |lines: u64| {
        if is_terminal {
            remark(format_args!("{lines} lines read"));
        }
    };
    let mut presenter = Presenter::new(command.is_json(), stdout().is_terminal());
    let mut failed = None;
    let mut show = |outcome| show(&mut presenter, outcome, &mut failed);
    let mut input = stdin().lock();
    let context = Context { service: service.as_deref(), input: &mut input, progress: &mut progress, show: &mut show };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(operate(command, context)).map_err(failure)?;
    failed.map_or(Ok(()), |text| Err(Failure::Failed(anyhow::Error::msg(text))))
}

/// Writes an outcome, whole, before the command goes on: what it does next may depend on its having been seen.
fn show(presenter: &mut Presenter, outcome: Outcome, failed: &mut Option<String>) -> io::Result<()> {
    let shown = presenter.present(outcome);
    shown.remarks.iter().for_each(remark);
    *failed = shown.failure.or_else(|| failed.take());
    let mut output = stdout().lock();
    match output.write_all(shown.output.as_bytes()).and_then(|()| output.flush()) {
        // A reader that has gone away ends the program quietly, as in a pipe to `head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => written,
    }
}

fn failure(error: OperatorError) -> Failure {
    match error.exit_code() {
        2 => Failure::Usage(error.into()),
        _ => Failure::Failed(error.into()),
    }
}
