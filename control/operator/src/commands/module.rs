//! `millrace module`

use clap::{Args, Subcommand};
use millrace_control_jobs::shape::IdentityBody;
use millrace_control_store::registry::IdentityName;

use super::device::{connection_string, delete, show_connection_string};
use super::identity::CredentialArguments;
use crate::context::{Context, Outcome};
use crate::error::OperatorError;
use crate::identity::{Device, MODULE_COLUMNS, body_of};
use crate::table::Rows;
use crate::target::Target;

/// What can be asked about modules.
#[derive(Debug, Subcommand)]
pub enum ModuleCommand {
    /// Create a module of a device and print its connection string.
    #[command(after_help = "\
Examples:
  millrace module create pump-1 camera --data-dir ./data
  millrace module create gateway-1 filter --managed-by iotEdge --data-dir ./data")]
    Create {
        /// Which.
        #[command(flatten)]
        module: ModuleArguments,
        /// How it proves itself.
        #[command(flatten)]
        credential: CredentialArguments,
        /// What manages it.
        #[arg(long, value_name = "NAME")]
        managed_by: Option<String>,
        /// Host name in the connection string; if left out, the one the hub has saved, or localhost.
        #[arg(long, value_name = "NAME")]
        host_name: Option<String>,
    },
    /// List the modules of a device.
    #[command(after_help = "\
Examples:
  millrace module list pump-1 --data-dir ./data")]
    List {
        /// Device id.
        #[arg(value_name = "DEVICE")]
        device: String,
    },
    /// Show a module, without its keys.
    #[command(after_help = "\
Examples:
  millrace module show pump-1 camera --json --data-dir ./data")]
    Show {
        /// Which.
        #[command(flatten)]
        module: ModuleArguments,
    },
    /// Print the connection string of a module.
    #[command(after_help = "\
Examples:
  millrace module connection-string pump-1 camera --data-dir ./data")]
    ConnectionString {
        /// Which.
        #[command(flatten)]
        module: ModuleArguments,
        /// Host name in it; if left out, the one the hub has saved, or localhost.
        #[arg(long, value_name = "NAME")]
        host_name: Option<String>,
    },
    /// Delete a module with its twin, and end its session.
    #[command(after_help = "\
Examples:
  millrace module delete pump-1 camera --data-dir ./data")]
    Delete {
        /// Which.
        #[command(flatten)]
        module: ModuleArguments,
    },
}

/// Names a module.
#[derive(Debug, Args)]
pub struct ModuleArguments {
    /// Device id.
    #[arg(value_name = "DEVICE")]
    pub device: String,
    /// Module id.
    #[arg(value_name = "MODULE")]
    pub module: String,
}

impl ModuleArguments {
    fn name(&self) -> Result<IdentityName, OperatorError> {
        Ok(IdentityName::new(&self.device, Some(&self.module))?)
    }
}

pub(super) async fn run(
    command: ModuleCommand,
    target: &Target,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    match command {
        ModuleCommand::Create { module, credential, managed_by, host_name } => {
            let name = module.name()?;
            let body = IdentityBody { authentication: Some(credential.body()?), managed_by, ..body_of(&name) };
            let host_name = target.host_name(host_name.as_deref(), context)?;
            let module = target.operator(context, false).await?.create(&name, body).await?;
            show_connection_string(&module, &host_name, context)
        }
        ModuleCommand::List { device } => {
            let device = IdentityName::new(&device, None)?;
            let modules = target.operator(context, false).await?.modules(&device).await?;
            let rows = modules.iter().map(Device::row).collect();
            context.show(Outcome::Rows(Rows::all(MODULE_COLUMNS, rows)))
        }
        ModuleCommand::Show { module } => {
            let module = target.operator(context, false).await?.show(&module.name()?).await?;
            context.show(Outcome::Rows(Rows::single(MODULE_COLUMNS, module.row())))
        }
        ModuleCommand::ConnectionString { module, host_name } => {
            connection_string(&module.name()?, host_name.as_deref(), target, context).await
        }
        ModuleCommand::Delete { module } => delete(&module.name()?, target, context).await,
    }
}
