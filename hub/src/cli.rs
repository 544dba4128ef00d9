//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use millrace_control_operator::OperatorCommand;

/// Self-hosted telemetry ingestion for devices that speak MQTT and Azure IoT Hub's protocol.
#[derive(Debug, Parser)]
#[command(
    name = "millrace",
    version,
    after_help = "\
Try it:
  millrace serve --data-dir ./data &
  millrace device create pump-1 --data-dir ./data      prints the connection string for the device's SDK
  millrace twin show pump-1 --data-dir ./data
  millrace route test \"temperatureAlert = 'true'\" --property temperatureAlert=true

Every command explains itself with examples: millrace COMMAND --help"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What can be asked of the program.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the hub until SIGTERM or Ctrl-C, then drain and exit.
    Serve(ServeArguments),
    /// Devices and all that belongs to them.
    #[command(flatten)]
    Operator(OperatorCommand),
    /// Try routing queries.
    Route(RouteArguments),
    /// Check configuration files.
    Config(ConfigArguments),
    /// Look into journals.
    Journal(JournalArguments),
}

/// `millrace serve`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  millrace serve --data-dir ./data
  millrace serve --config millrace.toml --data-dir /var/lib/millrace --mqtts 0.0.0.0:8883 --https 0.0.0.0:443

Without --config and addresses it listens on 127.0.0.1: for MQTT on port 1883, for MQTT over TLS on 8883 (with a private CA, made on
first start: DIR/tls/ca.pem), for HTTPS and MQTT over WebSocket on 443 where the system allows it, and for metrics, health and the
service API on 9464. Every message goes to Parquet files in DIR/parquet. SIGHUP, or a change of the file, loads new routes and certificates; a bad file changes nothing.

Exit codes: 0 drained and stopped, 1 failed, 2 wrong usage or configuration.")]
pub(crate) struct ServeArguments {
    /// Configuration file (TOML); every value has a default.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Directory of journal, registry, keys and Parquet files; made if it does not exist.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Listen for MQTT without TLS on this address.
    #[arg(long, value_name = "ADDR")]
    pub(crate) mqtt: Option<SocketAddr>,
    /// Listen for MQTT over TLS on this address.
    #[arg(long, value_name = "ADDR")]
    pub(crate) mqtts: Option<SocketAddr>,
    /// Listen for HTTPS on this address: device API, MQTT over WebSocket, service API, file uploads, provisioning.
    #[arg(long, value_name = "ADDR")]
    pub(crate) https: Option<SocketAddr>,
    /// Serve metrics, health and the service API on this address.
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin: Option<SocketAddr>,
}

/// `millrace route`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  millrace route test \"level = 'critical'\" --property level=critical")]
pub(crate) struct RouteArguments {
    #[command(subcommand)]
    pub(crate) command: RouteCommand,
}

/// What can be asked about routes.
#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// Try a condition against a sample message and explain the answer.
    #[command(after_help = "\
Examples:
  millrace route test \"level = 'critical' AND $body.temperature > 70\" --property level=critical \\
      --content-type application/json --content-encoding utf-8 --body '{\"temperature\": 71}'
  millrace route test \"\\$connectionDeviceId = 'pump-1'\" --device pump-1

Exit codes: 0 the condition is true, 1 it is not, 2 it cannot be compiled.")]
    Test(RouteTestArguments),
}

/// `millrace route test`
#[derive(Debug, Args)]
pub(crate) struct RouteTestArguments {
    /// The condition, in the routing query language of Azure IoT Hub.
    pub(crate) condition: String,
    /// Device id of the sample message.
    #[arg(long, value_name = "ID", default_value = "device-1")]
    pub(crate) device: String,
    /// Module id of the sample message.
    #[arg(long, value_name = "ID")]
    pub(crate) module: Option<String>,
    /// Application property; may be given several times.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) property: Vec<String>,
    /// Content type of the sample message.
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// Content encoding of the sample message.
    #[arg(long, value_name = "ENCODING")]
    pub(crate) content_encoding: Option<String>,
    /// Message id of the sample message.
    #[arg(long, value_name = "ID")]
    pub(crate) message_id: Option<String>,
    /// Body of the sample message.
    #[arg(long, value_name = "TEXT", default_value = "", conflicts_with = "body_file")]
    pub(crate) body: String,
    /// File with the body of the sample message.
    #[arg(long, value_name = "FILE")]
    pub(crate) body_file: Option<PathBuf>,
    /// Print the explanation as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `millrace config`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  millrace config check millrace.toml")]
pub(crate) struct ConfigArguments {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

/// What can be asked about configuration files.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Report everything that is wrong with a file, each with its line.
    #[command(after_help = "\
Examples:
  millrace config check millrace.toml
  millrace config check millrace.toml --json

Exit codes: 0 nothing is wrong, 1 it cannot be read, 2 something is wrong.")]
    Check {
        /// The file.
        file: PathBuf,
        /// Print the problems as JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `millrace journal`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  millrace journal inspect ./data")]
pub(crate) struct JournalArguments {
    #[command(subcommand)]
    pub(crate) command: JournalCommand,
}

/// What can be asked about journals.
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Segments, records, offsets and damage of a shard's journal, or of all shards below a data directory. Changes nothing.
    #[command(after_help = "\
Examples:
  millrace journal inspect ./data
  millrace journal inspect ./data/journal/shard-0 --json")]
    Inspect {
        /// `DATA_DIR`, `DATA_DIR/journal` or one shard's directory.
        directory: PathBuf,
        /// Print the result as JSON.
        #[arg(long)]
        json: bool,
    },
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory as _};

    use super::Cli;

    fn check(command: &Command, path: &str) {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains(&format!("  {path}")), "{path} has no example of its own");
        let below = command.get_subcommands().filter(|below| below.get_name() != "help");
        below.for_each(|below| check(below, &format!("{path} {}", below.get_name())));
    }

    #[test]
    fn every_command_teaches_by_example() {
        let cli = Cli::command();
        cli.clone().debug_assert();
        check(&cli, "millrace");
    }
}
