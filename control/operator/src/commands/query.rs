//! `millrace query`

use clap::Args;
use serde_json::{Value, json};

use crate::context::{Context, Outcome};
use crate::error::OperatorError;
use crate::limits::PAGE_ROWS;
use crate::service::{Answer, Audience, ServiceClient};
use crate::table::{Cell, Columns, Rows};
use crate::target::Target;

/// `millrace query`
#[derive(Debug, Args)]
pub struct QueryArguments {
    /// The query, in the query language of Azure IoT Hub; @FILE or @- for standard input.
    #[arg(value_name = "QUERY")]
    pub text: String,
    /// How many rows at most.
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub top: usize,
    /// Where.
    #[command(flatten)]
    pub target: Target,
}

const TWIN_COLUMNS: Columns = Columns::Fixed(&[
    ("DEVICE", Cell::At("/deviceId")),
    ("MODULE", Cell::At("/moduleId")),
    ("STATUS", Cell::At("/status")),
    ("CONNECTION", Cell::At("/connectionState")),
    ("LAST ACTIVITY", Cell::At("/lastActivityTime")),
    ("TAGS", Cell::At("/tags")),
]);

/// Where the pages of an answer come from.
pub(super) struct Pages<'a> {
    pub(super) client: &'a ServiceClient,
    pub(super) path: &'a str,
    pub(super) query: &'a str,
}

pub(super) async fn run(arguments: QueryArguments, context: &mut Context<'_>) -> Result<(), OperatorError> {
    let text = String::from_utf8(context.content(&arguments.text)?);
    let text = text.map_err(|_| OperatorError::usage("the query is not text in UTF-8"))?;
    let client = arguments.target.client(context, Audience::Hub)?;
    let pages = Pages { client: &client, path: "/devices/query", query: text.trim() };
    pages.show(arguments.top, columns, context).await
}

/// Whole twins have columns of their own; other rows bring theirs.
fn columns(answer: &Answer) -> Columns {
    if answer.header("x-ms-item-type") == Some("Twin") { TWIN_COLUMNS } else { Columns::AsTheyCome }
}

impl Pages<'_> {
    /// Shows at most `top` rows, a page at a time.
    pub(super) async fn show(
        &self,
        top: usize,
        columns: fn(&Answer) -> Columns,
        context: &mut Context<'_>,
    ) -> Result<(), OperatorError> {
        let mut left = top;
        let mut continuation: Option<String> = None;
        loop {
            let wanted = left.min(PAGE_ROWS);
            let call = self.client.post(self.path).json(&json!({ "query": self.query }));
            let call = call.header("x-ms-max-item-count", &wanted.max(1).to_string());
            let answer = call.continued(continuation.as_deref()).send(&[200]).await?;
            continuation = answer.continuation();
            let mut rows: Vec<Value> = answer.json()?;
            rows.truncate(left);
            left = left.saturating_sub(rows.len());
            // A page may be empty though others follow: its rows give no titles, so it is not shown.
            let is_last = continuation.is_none() || left == 0;
            let remark = (left == 0 && continuation.is_some()).then(|| "there are more: raise --top".into());
            if is_last || !rows.is_empty() {
                let columns = columns(&answer);
                context.show(Outcome::Rows(Rows { columns, rows, is_single: false, is_last, remark }))?;
            }
            if is_last {
                return Ok(());
            }
        }
    }
}
