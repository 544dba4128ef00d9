//! `millrace twin`

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::identity::IdentityArguments;
use crate::context::{Context, Outcome};
use crate::error::OperatorError;
use crate::service::Audience;
use crate::target::Target;

/// What can be asked about twins.
#[derive(Debug, Subcommand)]
pub enum TwinCommand {
    /// Show a twin.
    #[command(after_help = "\
Examples:
  millrace twin show pump-1 --data-dir ./data
  millrace twin show pump-1 --module camera --hub https://hub.example.net")]
    Show {
        /// Whose.
        #[command(flatten)]
        identity: IdentityArguments,
    },
    /// Merge desired properties and tags into a twin; a member that is null is removed. Tells the device, if it is there.
    #[command(after_help = "\
Examples:
  millrace twin update pump-1 --desired '{\"interval\": 10, \"old\": null}' --data-dir ./data
  millrace twin update pump-1 --tags @tags.json --if-match AAAAAAAAAAI= --data-dir ./data")]
    Update {
        /// Whose.
        #[command(flatten)]
        identity: IdentityArguments,
        /// What.
        #[command(flatten)]
        change: ChangeArguments,
        /// Only if the twin has this etag.
        #[arg(long, value_name = "ETAG", default_value = "*")]
        if_match: String,
    },
    /// Replace desired properties and tags of a twin; what is left out is empty afterwards.
    #[command(after_help = "\
Examples:
  millrace twin replace pump-1 --desired '{\"interval\": 10}' --tags '{\"site\": \"A\"}' --data-dir ./data")]
    Replace {
        /// Whose.
        #[command(flatten)]
        identity: IdentityArguments,
        /// By what.
        #[command(flatten)]
        change: ChangeArguments,
        /// Only if the twin has this etag.
        #[arg(long, value_name = "ETAG", default_value = "*")]
        if_match: String,
    },
}

/// What a twin should hold.
#[derive(Debug, Args)]
pub struct ChangeArguments {
    /// Desired properties: a JSON object, @FILE or @- for standard input.
    #[arg(long, value_name = "JSON", required_unless_present = "tags")]
    pub desired: Option<String>,
    /// Tags: likewise.
    #[arg(long, value_name = "JSON")]
    pub tags: Option<String>,
}

impl ChangeArguments {
    /// The members of a twin's JSON that it speaks of.
    pub(super) fn body(&self, context: &mut Context<'_>) -> Result<Map<String, Value>, OperatorError> {
        let mut body = Map::new();
        if let Some(tags) = &self.tags {
            body.insert("tags".to_owned(), context.json_object("--tags", tags)?.into());
        }
        if let Some(desired) = &self.desired {
            let desired = context.json_object("--desired", desired)?;
            body.insert("properties".to_owned(), json!({ "desired": desired }));
        }
        Ok(body)
    }
}

pub(super) async fn run(command: TwinCommand, target: &Target, context: &mut Context<'_>) -> Result<(), OperatorError> {
    let (method, identity, change) = match command {
        TwinCommand::Show { identity } => (Method::GET, identity, None),
        TwinCommand::Update { identity, change, if_match } => (Method::PATCH, identity, Some((change, if_match))),
        TwinCommand::Replace { identity, change, if_match } => (Method::PUT, identity, Some((change, if_match))),
    };
    let path = identity.twin_path(&[])?;
    let body = change.as_ref().map(|(change, _)| change.body(context)).transpose()?;
    let client = target.client(context, Audience::Hub)?;
    let mut call = client.call(method, &path);
    if let (Some(body), Some((_, if_match))) = (body, &change) {
        call = call.if_match(if_match).json(&body);
    }
    let twin = call.send(&[200]).await?.json()?;
    context.show(Outcome::Document(twin))
}
