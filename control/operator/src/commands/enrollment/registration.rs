//! `millrace enrollment registration`

use clap::Subcommand;
use serde_json::Value;

use super::super::query::Pages;
use crate::context::{Context, Outcome};
use crate::error::OperatorError;
use crate::service::{ServiceClient, path};
use crate::table::{Cell, Columns, Rows};

const COLUMNS: Columns = Columns::Fixed(&[
    ("REGISTRATION", Cell::At("/registrationId")),
    ("STATUS", Cell::At("/status")),
    ("HUB", Cell::At("/assignedHub")),
    ("DEVICE", Cell::At("/deviceId")),
    ("CHANGED", Cell::At("/lastUpdatedDateTimeUtc")),
    ("ERROR", Cell::At("/errorMessage")),
]);

/// What can be asked about registrations.
#[derive(Debug, Subcommand)]
pub enum RegistrationCommand {
    /// List the registrations of a group's devices.
    #[command(after_help = "\
Examples:
  millrace enrollment registration list line-7 --data-dir ./data")]
    List {
        /// Id of the group.
        #[arg(value_name = "GROUP")]
        group: String,
        /// How many at most.
        #[arg(long, value_name = "COUNT", default_value_t = 1000)]
        top: usize,
    },
    /// Show what became of a device.
    #[command(after_help = "\
Examples:
  millrace enrollment registration show pump-1 --data-dir ./data")]
    Show {
        /// Registration id.
        #[arg(value_name = "REGISTRATION")]
        id: String,
    },
    /// Forget a registration: the device is assigned anew when it comes again.
    #[command(after_help = "\
Examples:
  millrace enrollment registration delete pump-1 --data-dir ./data")]
    Delete {
        /// Registration id.
        #[arg(value_name = "REGISTRATION")]
        id: String,
    },
}

pub(super) async fn run(
    command: RegistrationCommand,
    client: &ServiceClient,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    match command {
        RegistrationCommand::List { group, top } => {
            let path = path(&["registrations", &group, "query"])?;
            let pages = Pages { client, path: &path, query: "SELECT * FROM registrations" };
            pages.show(top, |_| COLUMNS, context).await
        }
        RegistrationCommand::Show { id } => {
            let found: Value = client.get(&path(&["registrations", &id])?).send(&[200]).await?.json()?;
            context.show(Outcome::Rows(Rows::single(COLUMNS, found)))
        }
        RegistrationCommand::Delete { id } => {
            client.delete(&path(&["registrations", &id])?).if_match("*").send(&[200, 204]).await?;
            context.done(format!("deleted {id}"))
        }
    }
}
