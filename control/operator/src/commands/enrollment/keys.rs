//! The commands that print keys of enrollments: each prints one key and nothing else.

use std::path::PathBuf;

use clap::Args;
use millrace_control_provisioning::derived_key;
use millrace_control_provisioning::enrollment::Mechanism;
use millrace_protocols_identity::Key;
use zeroize::Zeroizing;

use super::{GROUP, Kind};
use crate::context::{Context, Outcome};
use crate::error::OperatorError;
use crate::service::{Audience, ServiceClient, path};
use crate::target::Target;

/// `millrace enrollment derive-key`
#[derive(Debug, Args)]
pub struct DeriveArguments {
    /// Registration id of the device.
    #[arg(value_name = "REGISTRATION")]
    pub registration_id: String,
    /// Its group, whose key is asked for.
    #[arg(long, value_name = "GROUP", required_unless_present = "group_key_file")]
    pub group: Option<String>,
    /// File with the group's key, base64; `-` reads standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "group")]
    pub group_key_file: Option<PathBuf>,
}

/// Prints a key of an enrollment.
pub(super) async fn show(
    kind: Kind,
    client: &ServiceClient,
    id: &str,
    secondary: bool,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    let [first, second] = keys(kind, client, id).await?;
    let key = if secondary { second } else { first };
    context.show(Outcome::Secret(key.to_base64()))
}

/// Prints the key that a group's key makes of a registration id.
pub(super) async fn derive(
    arguments: &DeriveArguments,
    target: &Target,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    let group_key = match (&arguments.group, &arguments.group_key_file) {
        (Some(group), _) => {
            let client = target.client(context, Audience::Provisioning)?;
            let [primary, _] = keys(GROUP, &client, group).await?;
            primary
        }
        (None, Some(file)) => {
            let text = Zeroizing::new(context.text_file(file)?);
            Key::from_base64(&text).map_err(OperatorError::Key)?
        }
        (None, None) => return Err(OperatorError::usage("--group or --group-key-file is needed")),
    };
    let key = derived_key::derive(&group_key, &arguments.registration_id);
    context.show(Outcome::Secret(key.to_base64()))
}

async fn keys(kind: Kind, client: &ServiceClient, id: &str) -> Result<[Key; 2], OperatorError> {
    let call = client.post(&path(&[kind.segment, id, "attestationmechanism"])?);
    let mechanism: Mechanism = call.send(&[200]).await?.json()?;
    let keys = mechanism.symmetric_key.as_ref().and_then(|keys| keys.keys());
    keys.ok_or_else(|| OperatorError::usage(format!("{id} has no keys: its devices prove themselves otherwise")))
}
