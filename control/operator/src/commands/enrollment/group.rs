//! `millrace enrollment group`

use clap::{Args, Subcommand};
use serde_json::Value;

use super::create::{AttestationArguments, TermsArguments};
use super::{GROUP, keys};
use crate::context::Context;
use crate::error::OperatorError;
use crate::service::ServiceClient;

/// What can be asked about enrollment groups.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Let all devices register that have a key derived from the group's, or a certificate from its authority.
    #[command(after_help = "\
Examples:
  millrace enrollment group create line-7 --tags '{\"line\": 7}' --data-dir ./data
  millrace enrollment group create plant --x509-certificate plant-ca.pem --reprovision reset --data-dir ./data")]
    Create {
        /// Its id.
        #[arg(value_name = "GROUP")]
        id: String,
        /// What it says.
        #[command(flatten)]
        group: Box<GroupArguments>,
    },
    /// List enrollment groups.
    #[command(after_help = "\
Examples:
  millrace enrollment group list --data-dir ./data")]
    List {
        /// How many at most.
        #[arg(long, value_name = "COUNT", default_value_t = 1000)]
        top: usize,
    },
    /// Show a group, without its keys.
    #[command(after_help = "\
Examples:
  millrace enrollment group show line-7 --data-dir ./data")]
    Show {
        /// Its id.
        #[arg(value_name = "GROUP")]
        id: String,
    },
    /// Print the primary key of a group. Devices get keys derived from it, never this one.
    #[command(after_help = "\
Examples:
  millrace enrollment group show-keys line-7 --data-dir ./data")]
    ShowKeys {
        /// Its id.
        #[arg(value_name = "GROUP")]
        id: String,
        /// Print the secondary key instead.
        #[arg(long)]
        secondary: bool,
    },
    /// Let its devices register no more; those that are registered stay so.
    #[command(after_help = "\
Examples:
  millrace enrollment group disable line-7 --data-dir ./data")]
    Disable {
        /// Its id.
        #[arg(value_name = "GROUP")]
        id: String,
    },
    /// Let its devices register again.
    #[command(after_help = "\
Examples:
  millrace enrollment group enable line-7 --data-dir ./data")]
    Enable {
        /// Its id.
        #[arg(value_name = "GROUP")]
        id: String,
    },
    /// Delete a group; its devices stay at their hubs.
    #[command(after_help = "\
Examples:
  millrace enrollment group delete line-7 --data-dir ./data")]
    Delete {
        /// Its id.
        #[arg(value_name = "GROUP")]
        id: String,
    },
}

/// What an enrollment group says.
#[derive(Debug, Args)]
pub struct GroupArguments {
    /// How its devices prove themselves.
    #[command(flatten)]
    pub attestation: AttestationArguments,
    /// What becomes of them.
    #[command(flatten)]
    pub terms: TermsArguments,
}

impl GroupArguments {
    fn body(&self, id: &str, context: &mut Context<'_>) -> Result<Value, OperatorError> {
        let mut body = self.terms.body(context)?;
        body.insert("enrollmentGroupId".to_owned(), id.into());
        body.insert("attestation".to_owned(), self.attestation.body("signingCertificates", context)?);
        Ok(body.into())
    }
}

pub(super) async fn run(
    command: GroupCommand,
    client: &ServiceClient,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    match command {
        GroupCommand::Create { id, group } => {
            let body = group.body(&id, context)?;
            GROUP.create(client, &id, &body, context).await
        }
        GroupCommand::List { top } => GROUP.list(client, top, context).await,
        GroupCommand::Show { id } => GROUP.show(client, &id, context).await,
        GroupCommand::ShowKeys { id, secondary } => keys::show(GROUP, client, &id, secondary, context).await,
        GroupCommand::Disable { id } => GROUP.set_status(client, &id, "disabled", context).await,
        GroupCommand::Enable { id } => GROUP.set_status(client, &id, "enabled", context).await,
        GroupCommand::Delete { id } => GROUP.delete(client, &id, context).await,
    }
}
