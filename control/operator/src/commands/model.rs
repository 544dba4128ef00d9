//! `millrace model`
//! - Source: routes of ours: `GET /models`, `POST /models` (answers the ids), `GET` and `DELETE /models/{id}`.

use std::path::PathBuf;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::Value;

use crate::context::{Context, Outcome};
use crate::error::OperatorError;
use crate::service::{Audience, path};
use crate::table::{Cell, Columns, Rows, plain};
use crate::target::Target;

const COLUMNS: Columns = Columns::Fixed(&[("MODEL", Cell::At("/id")), ("NAME", Cell::At("/displayName"))]);

/// What is answered to new models.
#[derive(Deserialize)]
struct Added {
    ids: Vec<String>,
}

/// What can be asked about models.
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    /// Check DTDL files and add the interfaces in them: all, or none.
    #[command(after_help = "\
Examples:
  millrace model add thermostat.json --data-dir ./data
  millrace model add thermostat.json controller.json --data-dir ./data        files may need each other, in any order")]
    Add {
        /// Files of one interface or an array of them each; `-` reads standard input.
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// List all models.
    #[command(after_help = "\
Examples:
  millrace model list --data-dir ./data")]
    List,
    /// Show a model.
    #[command(after_help = "\
Examples:
  millrace model show 'dtmi:com:example:Thermostat;1' --data-dir ./data")]
    Show {
        /// Model id.
        #[arg(value_name = "DTMI")]
        id: String,
    },
    /// Delete a model that no other model needs.
    #[command(after_help = "\
Examples:
  millrace model delete 'dtmi:com:example:Thermostat;1' --data-dir ./data")]
    Delete {
        /// Model id.
        #[arg(value_name = "DTMI")]
        id: String,
    },
}

pub(super) async fn run(
    command: ModelCommand,
    target: &Target,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    match command {
        ModelCommand::Add { files } => {
            let interfaces = interfaces(&files, context)?;
            let client = target.client(context, Audience::Hub)?;
            let added: Added = client.post("/models").json(&interfaces).send(&[200]).await?.json()?;
            added.ids.iter().try_for_each(|id| context.done(format!("added {}", plain(id))))
        }
        ModelCommand::List => {
            let models = target.client(context, Audience::Hub)?.get("/models").send(&[200]).await?.json()?;
            context.show(Outcome::Rows(Rows::all(COLUMNS, models)))
        }
        ModelCommand::Show { id } => {
            let client = target.client(context, Audience::Hub)?;
            let model = client.get(&path(&["models", &id])?).send(&[200]).await?.json()?;
            context.show(Outcome::Document(model))
        }
        ModelCommand::Delete { id } => {
            let client = target.client(context, Audience::Hub)?;
            client.delete(&path(&["models", &id])?).send(&[200, 204]).await?;
            context.done(format!("deleted {id}"))
        }
    }
}

/// All interfaces of all files.
fn interfaces(files: &[PathBuf], context: &mut Context<'_>) -> Result<Vec<Value>, OperatorError> {
    let mut interfaces = Vec::new();
    for file in files {
        let bytes = context.file(file)?;
        let document = serde_json::from_slice(&bytes).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            OperatorError::usage(format!("{} is not JSON ({place})", file.display()))
        })?;
        match document {
            Value::Array(several) => interfaces.extend(several),
            one => interfaces.push(one),
        }
    }
    Ok(interfaces)
}
