//! `millrace configuration`

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::context::{Context, Outcome};
use crate::error::OperatorError;
use crate::service::{Audience, path};
use crate::table::{Cell, Columns, Rows};
use crate::target::Target;

const COLUMNS: Columns = Columns::Fixed(&[
    ("ID", Cell::At("/id")),
    ("PRIORITY", Cell::At("/priority")),
    ("TARGETED", Cell::At("/systemMetrics/results/targetedCount")),
    ("APPLIED", Cell::At("/systemMetrics/results/appliedCount")),
    ("TARGET", Cell::At("/targetCondition")),
]);

/// What can be asked about automatic configurations.
#[derive(Debug, Subcommand)]
pub enum ConfigurationCommand {
    /// Create a configuration; it is applied to all twins that its condition fits, now and later.
    #[command(after_help = "\
Examples:
  millrace configuration create slow --target \"tags.site = 'A'\" --content @slow.json --priority 10 --data-dir ./data
  millrace configuration create base --target '*' --content '{\"deviceContent\": {\"properties.desired.interval\": 60}}' --data-dir ./data")]
    Create {
        /// Its id.
        #[arg(value_name = "ID")]
        id: String,
        /// What it says.
        #[command(flatten)]
        configuration: Box<ConfigurationArguments>,
    },
    /// List configurations and how far they have come.
    #[command(after_help = "\
Examples:
  millrace configuration list --data-dir ./data")]
    List {
        /// How many at most.
        #[arg(long, value_name = "COUNT", default_value_t = 100)]
        top: u16,
    },
    /// Show a configuration with its metrics.
    #[command(after_help = "\
Examples:
  millrace configuration show slow --data-dir ./data")]
    Show {
        /// Its id.
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Delete a configuration; what it wrote into twins stays there.
    #[command(after_help = "\
Examples:
  millrace configuration delete slow --data-dir ./data")]
    Delete {
        /// Its id.
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// What a configuration says.
#[derive(Debug, Args)]
pub struct ConfigurationArguments {
    /// Which twins: the WHERE part of a query, or * for all.
    #[arg(long, value_name = "CONDITION")]
    pub target: String,
    /// What they get: a JSON object with deviceContent, moduleContent or modulesContent; @FILE or @- for standard input.
    #[arg(long, value_name = "JSON")]
    pub content: String,
    /// Of two that fit the same twin the higher one counts.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub priority: u32,
    /// Labels: a JSON object of texts.
    #[arg(long, value_name = "JSON")]
    pub labels: Option<String>,
    /// Queries that count twins: a JSON object, name to query.
    #[arg(long, value_name = "JSON")]
    pub metrics: Option<String>,
}

impl ConfigurationArguments {
    fn body(&self, id: &str, context: &mut Context<'_>) -> Result<Map<String, Value>, OperatorError> {
        let mut members = vec![
            ("id", json!(id)),
            ("schemaVersion", json!("1.0")),
            ("targetCondition", json!(self.target)),
            ("priority", json!(self.priority)),
            ("content", context.json_object("--content", &self.content)?.into()),
        ];
        if let Some(labels) = &self.labels {
            members.push(("labels", context.json_object("--labels", labels)?.into()));
        }
        if let Some(metrics) = &self.metrics {
            let queries = context.json_object("--metrics", metrics)?;
            members.push(("metrics", json!({ "queries": queries, "results": {} })));
        }
        Ok(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

pub(super) async fn run(
    command: ConfigurationCommand,
    target: &Target,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    match command {
        ConfigurationCommand::Create { id, configuration } => {
            let body = configuration.body(&id, context)?;
            let client = target.client(context, Audience::Hub)?;
            let call = client.put(&path(&["configurations", &id])?).json(&body);
            let made = call.send(&[200, 201]).await?.json()?;
            context.show(Outcome::Rows(Rows::single(COLUMNS, made)))
        }
        ConfigurationCommand::List { top } => {
            let client = target.client(context, Audience::Hub)?;
            let call = client.get("/configurations").parameter("top", &top.to_string());
            let found: Vec<Value> = call.send(&[200]).await?.json()?;
            context.show(Outcome::Rows(Rows::all(COLUMNS, found)))
        }
        ConfigurationCommand::Show { id } => {
            let client = target.client(context, Audience::Hub)?;
            let found = client.get(&path(&["configurations", &id])?).send(&[200]).await?.json()?;
            context.show(Outcome::Document(found))
        }
        ConfigurationCommand::Delete { id } => {
            let client = target.client(context, Audience::Hub)?;
            client.delete(&path(&["configurations", &id])?).if_match("*").send(&[200, 204]).await?;
            context.done(format!("deleted {id}"))
        }
    }
}
