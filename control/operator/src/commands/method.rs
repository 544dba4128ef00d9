//! `millrace method`

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::identity::IdentityArguments;
use crate::context::{Context, Outcome};
use crate::error::OperatorError;
use crate::limits::METHOD_GRACE;
use crate::service::Audience;
use crate::target::Target;

/// What can be asked about direct methods.
#[derive(Debug, Subcommand)]
pub enum MethodCommand {
    /// Call a method of a device or module and show its answer: the status in the device's own meaning, and the payload.
    #[command(after_help = "\
Examples:
  millrace method call pump-1 reboot --payload '{\"delay\": 5}' --data-dir ./data
  millrace method call pump-1 update --payload @update.json --timeout 120 --connect-timeout 60 --data-dir ./data
  millrace method call gateway-1 flush --module filter --hub https://hub.example.net

Exit codes: 0 the device has answered, with whatever status; 1 it has not, or could not be reached; 2 wrong usage.")]
    Call {
        /// Whom.
        #[command(flatten)]
        identity: IdentityArguments,
        /// What to call.
        #[command(flatten)]
        method: MethodArguments,
    },
}

/// A method and its payload.
#[derive(Debug, Args)]
pub struct MethodArguments {
    /// Name of the method; one of a component is COMPONENT*NAME.
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Payload: JSON, @FILE or @- for standard input.
    #[arg(long, value_name = "JSON", default_value = "null")]
    pub payload: String,
    /// How long the device may take to answer, 5 to 300 seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(5..=300))]
    pub timeout: u16,
    /// How long to wait for a device that is not connected, 0 to 300 seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=300))]
    pub connect_timeout: u16,
}

impl MethodArguments {
    /// The JSON of the call.
    pub(super) fn body(&self, context: &mut Context<'_>) -> Result<Map<String, Value>, OperatorError> {
        let members = [
            ("methodName", json!(self.name)),
            ("payload", context.json("--payload", &self.payload)?),
            ("responseTimeoutInSeconds", json!(self.timeout)),
            ("connectTimeoutInSeconds", json!(self.connect_timeout)),
        ];
        Ok(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

pub(super) async fn run(
    command: MethodCommand,
    target: &Target,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    let MethodCommand::Call { identity, method } = command;
    let path = identity.twin_path(&["methods"])?;
    let body = method.body(context)?;
    let client = target.client(context, Audience::Hub)?;
    let waiting = Duration::from_secs(u64::from(method.timeout).saturating_add(method.connect_timeout.into()));
    let call = client.post(&path).json(&body).timeout(waiting.saturating_add(METHOD_GRACE));
    let answer = call.send(&[200]).await?.json()?;
    context.show(Outcome::Document(answer))
}
