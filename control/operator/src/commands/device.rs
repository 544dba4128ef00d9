//! `millrace device`

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use millrace_control_jobs::shape::{Capabilities, IdentityBody};
use millrace_control_store::limits::PAGE_IDENTITIES_MAX;
use millrace_control_store::registry::{IdentityName, Status};

use super::identity::CredentialArguments;
use crate::context::{Context, Outcome};
use crate::error::OperatorError;
use crate::identity::{DEVICE_COLUMNS, Device, Operator, body_of};
use crate::import::ImportRows;
use crate::table::Rows;
use crate::target::Target;

/// What can be asked about devices.
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// Create a device and print its connection string.
    #[command(after_help = "\
Examples:
  millrace device create pump-1 --data-dir ./data
  millrace device create gateway-1 --edge-enabled --data-dir ./data
  millrace device create pump-2 --x509-thumbprint 3F2504E04F8941D39A0C0305E82C33013F2504E0 --data-dir ./data
  millrace device create pump-3 --x509-ca --hub https://hub.example.net")]
    Create {
        /// Device id.
        #[arg(value_name = "DEVICE")]
        id: String,
        /// How it proves itself.
        #[command(flatten)]
        credential: CredentialArguments,
        /// It is an IoT Edge gateway.
        #[arg(long)]
        edge_enabled: bool,
        /// Host name in the connection string; if left out, the one the hub has saved, or localhost.
        #[arg(long, value_name = "NAME")]
        host_name: Option<String>,
    },
    /// List devices in the order of their ids.
    #[command(after_help = "\
Examples:
  millrace device list --data-dir ./data
  millrace device list --after pump-1000 --top 50 --json --hub https://hub.example.net")]
    List {
        /// How many at most.
        #[arg(long, value_name = "COUNT", default_value_t = 1000)]
        top: usize,
        /// Begin behind this device id.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
    },
    /// Show a device, without its keys.
    #[command(after_help = "\
Examples:
  millrace device show pump-1 --json --data-dir ./data")]
    Show {
        /// Device id.
        #[arg(value_name = "DEVICE")]
        id: String,
        /// Print the connection string instead.
        #[arg(long, hide = true)]
        connection_string: bool,
        /// Host name in the connection string.
        #[arg(long, value_name = "NAME", hide = true)]
        host_name: Option<String>,
    },
    /// Print the connection string of a device.
    #[command(after_help = "\
Examples:
  millrace device connection-string pump-1 --data-dir ./data
  millrace device connection-string pump-1 --host-name hub.example.net --data-dir ./data")]
    ConnectionString {
        /// Device id.
        #[arg(value_name = "DEVICE")]
        id: String,
        /// Host name in it; if left out, the one the hub has saved, or localhost.
        #[arg(long, value_name = "NAME")]
        host_name: Option<String>,
    },
    /// Let a device no longer connect, and end its session.
    #[command(after_help = "\
Examples:
  millrace device disable pump-1 --reason 'stolen on 3 May' --data-dir ./data")]
    Disable {
        /// Device id.
        #[arg(value_name = "DEVICE")]
        id: String,
        /// Why, at most 128 characters.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Let a device connect again.
    #[command(after_help = "\
Examples:
  millrace device enable pump-1 --data-dir ./data")]
    Enable {
        /// Device id.
        #[arg(value_name = "DEVICE")]
        id: String,
    },
    /// Delete a device with its modules, its twin and its messages, and end its session.
    #[command(after_help = "\
Examples:
  millrace device delete pump-1 --data-dir ./data")]
    Delete {
        /// Device id.
        #[arg(value_name = "DEVICE")]
        id: String,
    },
    /// Create all devices of a CSV file: id, base64 key.
    #[command(after_help = "\
Examples:
  millrace device import fleet.csv --data-dir ./data
  millrace device import - --skip-bad --hub https://hub.example.net        reads standard input")]
    Import {
        /// The file; `-` reads standard input. A first line that begins with the word id is a header.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Create the good lines even if others are bad; without it a bad line means that none is created.
        #[arg(long)]
        skip_bad: bool,
    },
}

pub(super) async fn run(
    command: DeviceCommand,
    target: &Target,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    match command {
        DeviceCommand::Create { id, credential, edge_enabled, host_name } => {
            let name = IdentityName::new(&id, None)?;
            let body = IdentityBody {
                authentication: Some(credential.body()?),
                capabilities: edge_enabled.then_some(Capabilities { iot_edge: true }),
                ..body_of(&name)
            };
            let host_name = target.host_name(host_name.as_deref(), context)?;
            let device = target.operator(context, true).await?.create(&name, body).await?;
            show_connection_string(&device, &host_name, context)
        }
        DeviceCommand::List { top, after } => {
            let operator = target.operator(context, false).await?;
            list(operator.as_ref(), after, top, context).await
        }
        DeviceCommand::Show { id, connection_string: true, host_name }
        | DeviceCommand::ConnectionString { id, host_name } => {
            let name = IdentityName::new(&id, None)?;
            connection_string(&name, host_name.as_deref(), target, context).await
        }
        DeviceCommand::Show { id, .. } => {
            let name = IdentityName::new(&id, None)?;
            let device = target.operator(context, false).await?.show(&name).await?;
            show(&device, context)
        }
        DeviceCommand::Disable { id, reason } => set_status(&id, Status::Disabled, reason, target, context).await,
        DeviceCommand::Enable { id } => set_status(&id, Status::Enabled, None, target, context).await,
        DeviceCommand::Delete { id } => delete(&IdentityName::new(&id, None)?, target, context).await,
        DeviceCommand::Import { file, skip_bad } => {
            let operator = target.operator(context, true).await?;
            import(operator.as_ref(), &file, skip_bad, context).await
        }
    }
}

/// Shows the connection string of a device or module.
pub(super) async fn connection_string(
    name: &IdentityName,
    host_name: Option<&str>,
    target: &Target,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    let host_name = target.host_name(host_name, context)?;
    let identity = target.operator(context, false).await?.show(name).await?;
    show_connection_string(&identity, &host_name, context)
}

pub(super) fn show_connection_string(
    identity: &Device,
    host_name: &str,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    let text = identity.connection_string(host_name).ok_or_else(|| OperatorError::usage("this identity has no key"))?;
    context.show(Outcome::ConnectionString(text))
}

/// Deletes a device or module.
pub(super) async fn delete(
    name: &IdentityName,
    target: &Target,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    target.operator(context, false).await?.delete(name).await?;
    context.done(format!("deleted {name}"))
}

fn show(device: &Device, context: &mut Context<'_>) -> Result<(), OperatorError> {
    context.show(Outcome::Rows(Rows::single(DEVICE_COLUMNS, device.row())))
}

async fn set_status(
    id: &str,
    status: Status,
    reason: Option<String>,
    target: &Target,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    let name = IdentityName::new(id, None)?;
    let device = target.operator(context, false).await?.set_status(&name, status, reason).await?;
    show(&device, context)
}

async fn list(
    operator: &dyn Operator,
    mut after: Option<String>,
    top: usize,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    let mut left = top;
    loop {
        let wanted = left.min(PAGE_IDENTITIES_MAX);
        let page = operator.list(after.as_deref(), wanted).await?;
        left = left.saturating_sub(page.len());
        let is_end = page.len() < wanted;
        after = page.last().map(|device| device.device_id.clone()).or(after);
        let has_more = left == 0 && !is_end && !operator.list(after.as_deref(), 1).await?.is_empty();
        let remark = "there are more: go on with --after and the last id, or raise --top";
        context.show(Outcome::Rows(Rows {
            columns: DEVICE_COLUMNS,
            rows: page.iter().map(Device::row).collect(),
            is_single: false,
            is_last: is_end || left == 0,
            remark: has_more.then(|| remark.into()),
        }))?;
        if is_end || left == 0 {
            return Ok(());
        }
    }
}

async fn import(
    operator: &dyn Operator,
    file: &Path,
    skip_bad: bool,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    let report = if file == Path::new("-") {
        operator.import(ImportRows::new(&mut *context.input), skip_bad, &mut *context.progress).await?
    } else {
        let opened = File::open(file).map_err(|source| OperatorError::File { path: file.to_owned(), source })?;
        let mut opened = BufReader::with_capacity(256 * 1024, opened);
        operator.import(ImportRows::new(&mut opened), skip_bad, &mut *context.progress).await?
    };
    context.show(Outcome::Imported(report))
}
