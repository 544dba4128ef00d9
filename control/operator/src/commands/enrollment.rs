//! `millrace enrollment`: the provisioning service.
//! - Source: Azure DPS service REST API.
//! - Shape: `create` is what a new enrollment says, `keys` are the commands that print keys, `group` and `registration` the nouns below.
//! - Invariants: keys are shown by `show-keys` and `derive-key` only.

use clap::Subcommand;
use serde_json::Value;

use crate::context::{Context, Outcome};
use crate::error::OperatorError;
use crate::service::{Audience, ServiceClient, path};
use crate::table::{Cell, Columns, Rows};
use crate::target::Target;

pub mod create;
pub mod group;
pub mod keys;
pub mod registration;

use self::create::EnrollmentArguments;
use self::group::GroupCommand;
use self::registration::RegistrationCommand;
use super::query::Pages;

/// What can be asked of the provisioning service.
#[derive(Debug, Subcommand)]
pub enum EnrollmentCommand {
    /// Let one device register.
    #[command(after_help = "\
Examples:
  millrace enrollment create pump-1 --data-dir ./data                 with new keys: enrollment show-keys
  millrace enrollment create pump-2 --x509-certificate pump-2.pem --device-id p2 --data-dir ./data
  millrace enrollment create pump-3 --tpm-endorsement-key AToAAQALAAMAsgAg --desired '{\"interval\": 10}' --data-dir ./data")]
    Create {
        /// Registration id: lower-case letters, digits and any of -._:
        #[arg(value_name = "REGISTRATION")]
        id: String,
        /// What it says.
        #[command(flatten)]
        enrollment: Box<EnrollmentArguments>,
    },
    /// List enrollments of single devices.
    #[command(after_help = "\
Examples:
  millrace enrollment list --data-dir ./data")]
    List {
        /// How many at most.
        #[arg(long, value_name = "COUNT", default_value_t = 1000)]
        top: usize,
    },
    /// Show an enrollment, without its keys, and what became of its device.
    #[command(after_help = "\
Examples:
  millrace enrollment show pump-1 --data-dir ./data")]
    Show {
        /// Registration id.
        #[arg(value_name = "REGISTRATION")]
        id: String,
    },
    /// Print the primary key of an enrollment.
    #[command(after_help = "\
Examples:
  millrace enrollment show-keys pump-1 --data-dir ./data
  millrace enrollment show-keys pump-1 --secondary --data-dir ./data")]
    ShowKeys {
        /// Registration id.
        #[arg(value_name = "REGISTRATION")]
        id: String,
        /// Print the secondary key instead.
        #[arg(long)]
        secondary: bool,
    },
    /// Let its device register no more; a device that is registered stays so.
    #[command(after_help = "\
Examples:
  millrace enrollment disable pump-1 --data-dir ./data")]
    Disable {
        /// Registration id.
        #[arg(value_name = "REGISTRATION")]
        id: String,
    },
    /// Let its device register again.
    #[command(after_help = "\
Examples:
  millrace enrollment enable pump-1 --data-dir ./data")]
    Enable {
        /// Registration id.
        #[arg(value_name = "REGISTRATION")]
        id: String,
    },
    /// Delete an enrollment; its device stays at its hub.
    #[command(after_help = "\
Examples:
  millrace enrollment delete pump-1 --data-dir ./data")]
    Delete {
        /// Registration id.
        #[arg(value_name = "REGISTRATION")]
        id: String,
    },
    /// Print the key with which a device of a group registers.
    #[command(after_help = "\
Examples:
  millrace enrollment derive-key pump-7 --group line-7 --data-dir ./data
  millrace enrollment derive-key pump-7 --group-key-file line-7.key        without asking anybody")]
    DeriveKey(keys::DeriveArguments),
    /// Enrollment groups: many devices that prove themselves alike.
    #[command(
        subcommand,
        after_help = "\
Examples:
  millrace enrollment group create line-7 --data-dir ./data
  millrace enrollment group list --data-dir ./data"
    )]
    Group(GroupCommand),
    /// Registrations: what became of devices that came.
    #[command(
        subcommand,
        after_help = "\
Examples:
  millrace enrollment registration show pump-1 --data-dir ./data
  millrace enrollment registration list line-7 --data-dir ./data"
    )]
    Registration(RegistrationCommand),
}

/// Single enrollments and groups differ in where they are and what they are called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    /// First segment of the path.
    segment: &'static str,
    /// Member of the JSON that holds the id.
    id: &'static str,
    columns: Columns,
}

const SINGLE: Kind = Kind {
    segment: "enrollments",
    id: "registrationId",
    columns: Columns::Fixed(&[
        ("REGISTRATION", Cell::At("/registrationId")),
        ("STATUS", Cell::At("/provisioningStatus")),
        ("ATTESTATION", Cell::At("/attestation/type")),
        ("DEVICE", Cell::At("/deviceId")),
        ("REGISTERED", Cell::At("/registrationState/status")),
        ("HUB", Cell::At("/registrationState/assignedHub")),
    ]),
};

const GROUP: Kind = Kind {
    segment: "enrollmentGroups",
    id: "enrollmentGroupId",
    columns: Columns::Fixed(&[
        ("GROUP", Cell::At("/enrollmentGroupId")),
        ("STATUS", Cell::At("/provisioningStatus")),
        ("ATTESTATION", Cell::At("/attestation/type")),
        ("ALLOCATION", Cell::At("/allocationPolicy")),
    ]),
};

pub(super) async fn run(
    command: EnrollmentCommand,
    target: &Target,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    let client = |context: &Context<'_>| target.client(context, Audience::Provisioning);
    match command {
        EnrollmentCommand::Create { id, enrollment } => {
            let body = enrollment.body(&id, context)?;
            SINGLE.create(&client(context)?, &id, &body, context).await
        }
        EnrollmentCommand::List { top } => SINGLE.list(&client(context)?, top, context).await,
        EnrollmentCommand::Show { id } => SINGLE.show(&client(context)?, &id, context).await,
        EnrollmentCommand::ShowKeys { id, secondary } => {
            keys::show(SINGLE, &client(context)?, &id, secondary, context).await
        }
        EnrollmentCommand::Disable { id } => SINGLE.set_status(&client(context)?, &id, "disabled", context).await,
        EnrollmentCommand::Enable { id } => SINGLE.set_status(&client(context)?, &id, "enabled", context).await,
        EnrollmentCommand::Delete { id } => SINGLE.delete(&client(context)?, &id, context).await,
        EnrollmentCommand::DeriveKey(arguments) => keys::derive(&arguments, target, context).await,
        EnrollmentCommand::Group(command) => group::run(command, &client(context)?, context).await,
        EnrollmentCommand::Registration(command) => registration::run(command, &client(context)?, context).await,
    }
}

impl Kind {
    fn path(self, id: &str) -> Result<String, OperatorError> {
        path(&[self.segment, id])
    }

    async fn create(
        self,
        client: &ServiceClient,
        id: &str,
        body: &Value,
        context: &mut Context<'_>,
    ) -> Result<(), OperatorError> {
        let made = client.put(&self.path(id)?).json(body).send(&[200, 201]).await?.json()?;
        self.show_one(made, context)
    }

    async fn list(self, client: &ServiceClient, top: usize, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let columns = if self.id == GROUP.id { |_: &_| GROUP.columns } else { |_: &_| SINGLE.columns };
        let query = format!("SELECT * FROM {}", self.segment);
        let pages = Pages { client, path: &format!("/{}/query", self.segment), query: &query };
        pages.show(top, columns, context).await
    }

    async fn show(self, client: &ServiceClient, id: &str, context: &mut Context<'_>) -> Result<(), OperatorError> {
        let mut found = client.get(&self.path(id)?).send(&[200]).await?.json()?;
        without_keys(&mut found);
        context.show(Outcome::Document(found))
    }

    async fn set_status(
        self,
        client: &ServiceClient,
        id: &str,
        status: &str,
        context: &mut Context<'_>,
    ) -> Result<(), OperatorError> {
        let path = self.path(id)?;
        let mut enrollment: Value = client.get(&path).send(&[200]).await?.json()?;
        let members = enrollment.as_object_mut().ok_or(OperatorError::Answer)?;
        members.insert("provisioningStatus".to_owned(), status.into());
        members.remove("registrationState");
        // Keys that an update leaves out stay; the etag keeps the changes of others.
        let etag = members.get("etag").and_then(Value::as_str).unwrap_or("*").to_owned();
        let changed = client.put(&path).if_match(&etag).json(&enrollment).send(&[200]).await?.json()?;
        self.show_one(changed, context)
    }

    async fn delete(self, client: &ServiceClient, id: &str, context: &mut Context<'_>) -> Result<(), OperatorError> {
        client.delete(&self.path(id)?).if_match("*").send(&[200, 204]).await?;
        context.done(format!("deleted {id}"))
    }

    fn show_one(self, mut enrollment: Value, context: &mut Context<'_>) -> Result<(), OperatorError> {
        without_keys(&mut enrollment);
        context.show(Outcome::Rows(Rows::single(self.columns, enrollment)))
    }
}

/// Takes the keys out: whoever creates an enrollment is answered with them.
fn without_keys(enrollment: &mut Value) {
    if let Some(attestation) = enrollment.get_mut("attestation").and_then(Value::as_object_mut) {
        attestation.remove("symmetricKey");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn keys_are_taken_out() {
        let mut enrollment =
            json!({"attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": "secret"}}, "etag": "x"});
        super::without_keys(&mut enrollment);
        assert_eq!(enrollment, json!({"attestation": {"type": "symmetricKey"}, "etag": "x"}));
    }
}
