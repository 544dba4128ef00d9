//! The command line: flags to plans, results to standard output, everything else to standard error.
//! - Errors: exit code 1 when a run is invalid or something is lost, 2 for wrong usage.

mod flags;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use serde::Serialize;

use crate::cli::flags::RunFlags;
use crate::conductor;
use crate::verify::{Source, VerifyOptions, verify};

const FAILED: u8 = 1;
const USAGE: u8 = 2;

const RUN_EXAMPLES: &str = "Examples:
  10,000 devices of a hub, one message a second each, for a minute, with the CPU of the hub in the report:
    loadgen run --target 127.0.0.1:1883 --devices devices.csv --connections 10000 --rate 10000 --duration 60 --pid $(pidof millrace)
  How much can any broker take: 20 publishers, 16 unacknowledged messages each, always:
    loadgen run --target 127.0.0.1:1883 --topic 'bench/{id}' --connections 20 --window 16 --warm-up 2
  A recorded trace, 60 times faster than it happened, over and over:
    loadgen run --devices devices.csv --connections 15 --replay plant.csv --time-compression 60 --loop
  Numbered messages, for `loadgen verify` afterwards:
    loadgen run --devices devices.csv --connections 100 --rate 5000 --verify --ledger run.ledger

Variables of --template: {seq} {id} {now_ms} {now_ns} {random:LOW:HIGH} {int:LOW:HIGH} {step:FIRST:BY} {sine:LOW:HIGH:SECONDS}
A plan file (--plan) has the same names with _ for -, and [[phases]] with kind = \"warm\", \"hold\", \"churn\" or \"storm\".
Exit codes: 0 done, 1 failed or invalid, 2 wrong usage.";

const VERIFY_EXAMPLES: &str = "Examples:
    loadgen verify --ledger run.ledger --parquet DIR/parquet
    loadgen verify --ledger run.ledger --kafka 127.0.0.1:9092 --topic telemetry --allow-duplicates --json
Exit codes: 0 all is there, 1 something is lost, duplicated, reordered or corrupt, 2 wrong usage.";

#[derive(Debug, Parser)]
#[command(name = "loadgen", about = "Open-loop load for MQTT brokers and hubs, and the proof of what arrived", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send load and report on it.
    #[command(after_help = RUN_EXAMPLES)]
    Run(Box<RunFlags>),
    /// Compare what was acknowledged with what arrived.
    #[command(after_help = VERIFY_EXAMPLES)]
    Verify(VerifyFlags),
    #[command(name = conductor::CHILD_COMMAND, hide = true)]
    Child,
}

#[derive(Debug, Args)]
struct VerifyFlags {
    /// The ledger that the run wrote.
    #[arg(long, value_name = "FILE")]
    ledger: PathBuf,
    /// Bootstrap servers of Kafka.
    #[arg(
        long,
        value_name = "HOST:PORT",
        requires = "topic",
        conflicts_with = "parquet",
        required_unless_present = "parquet"
    )]
    kafka: Option<String>,
    /// Kafka topic.
    #[arg(long, requires = "kafka")]
    topic: Option<String>,
    /// More settings of the Kafka client, such as security.protocol=SSL.
    #[arg(long, value_name = "KEY=VALUE", requires = "kafka")]
    kafka_property: Vec<String>,
    /// Directory with Parquet files.
    #[arg(long, value_name = "DIR")]
    parquet: Option<PathBuf>,
    /// The same message delivered twice is no failure (Kafka: at least once).
    #[arg(long)]
    allow_duplicates: bool,
    /// Report as JSON.
    #[arg(long)]
    json: bool,
}

/// The whole program.
#[must_use]
pub fn command_line() -> ExitCode {
    let command_line = match CommandLine::try_parse() {
        Ok(command_line) => command_line,
        Err(error) => {
            error.print().unwrap_or_default();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    match command_line.command {
        Command::Run(flags) => run(&flags),
        Command::Verify(flags) => check(flags),
        Command::Child => match conductor::child() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(FAILED),
        },
    }
}

fn run(flags: &RunFlags) -> ExitCode {
    let plan = match flags.plan() {
        Ok(plan) => plan,
        Err(problems) => return complain(&problems, USAGE),
    };
    match conductor::run(&plan, flags.quiet) {
        Ok(report) => {
            let is_valid = report.verdict.is_valid || flags.allow_invalid;
            tell(&report, &report, flags.json);
            ExitCode::from(if is_valid { 0 } else { FAILED })
        }
        Err(error) => complain(&[format!("{error:#}")], FAILED),
    }
}

fn check(flags: VerifyFlags) -> ExitCode {
    let source = match (flags.kafka, flags.topic, flags.parquet) {
        (Some(bootstrap), Some(topic), _) => {
            let mut properties = Vec::new();
            for text in &flags.kafka_property {
                match text.split_once('=') {
                    Some((key, value)) => properties.push((key.to_owned(), value.to_owned())),
                    None => return complain(&[format!("--kafka-property {text:?}: not KEY=VALUE")], USAGE),
                }
            }
            Source::Kafka { bootstrap, topic, properties }
        }
        (_, _, Some(directory)) => Source::Parquet { directory },
        _ => return complain(&["--kafka with --topic, or --parquet".to_owned()], USAGE),
    };
    match verify(&VerifyOptions { ledger: flags.ledger, source, allow_duplicates: flags.allow_duplicates }) {
        Ok(report) => {
            tell(&report, &report, flags.json);
            ExitCode::from(if report.is_ok { 0 } else { FAILED })
        }
        Err(error) => complain(&[format!("{error:#}")], FAILED),
    }
}

/// The result, on standard output.
fn tell(report: &impl Serialize, text: &impl std::fmt::Display, json: bool) {
    let mut output = std::io::stdout().lock();
    let written = if json {
        serde_json::to_writer_pretty(&mut output, report).map_err(std::io::Error::from).and_then(|()| writeln!(output))
    } else {
        write!(output, "{text}")
    };
    if let Err(error) = written {
        writeln!(std::io::stderr(), "loadgen: writing the report: {error}").unwrap_or_default();
    }
}

fn complain(problems: &[String], code: u8) -> ExitCode {
    let mut error = std::io::stderr().lock();
    for problem in problems {
        // With standard error gone there is nobody to tell.
        writeln!(error, "loadgen: {problem}").unwrap_or_default();
    }
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
