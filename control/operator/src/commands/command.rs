//! `millrace command`: cloud-to-device messages.
//! - Source: sending is a route of ours (`POST /devices/{id}/messages/devicebound`), with the headers of the device's HTTPS API; a property
//!   stands in a header `iothub-app-KEY`, key and value percent-encoded where a header could not carry them.
//! - Invariants: feedback is completed once it has been shown, so none is lost when this program ends in between.

use clap::{Args, Subcommand, ValueEnum};
use millrace_control_store::clock;
use serde_json::Value;

use crate::context::{Context, Outcome};
use crate::error::OperatorError;
use crate::input::pair;
use crate::service::{Audience, Call, ServiceClient, path};
use crate::table::{Cell, Columns, Rows};
use crate::target::Target;

const FEEDBACK: &str = "/messages/serviceBound/feedback";

const FEEDBACK_COLUMNS: Columns = Columns::Fixed(&[
    ("MESSAGE", Cell::At("/originalMessageId")),
    ("DEVICE", Cell::At("/deviceId")),
    ("STATUS", Cell::At("/statusCode")),
    ("TIME", Cell::At("/enqueuedTimeUtc")),
    ("DESCRIPTION", Cell::At("/description")),
]);

/// What can be asked about cloud-to-device messages.
#[derive(Debug, Subcommand)]
pub enum CommandCommand {
    /// Put a message into a device's queue; the device takes it now or when it connects.
    #[command(after_help = "\
Examples:
  millrace command send pump-1 'wake up' --data-dir ./data
  millrace command send pump-1 @plan.json --content-type application/json --property kind=plan --expires 3600 --data-dir ./data
  millrace command send pump-1 stop --message-id stop-17 --ack full --data-dir ./data")]
    Send {
        /// Device id.
        #[arg(value_name = "DEVICE")]
        device: String,
        /// The message: text, @FILE or @- for standard input.
        #[arg(value_name = "TEXT")]
        body: String,
        /// What comes with it.
        #[command(flatten)]
        message: Box<MessageArguments>,
    },
    /// Remove all messages that wait in a device's queue.
    #[command(after_help = "\
Examples:
  millrace command purge pump-1 --data-dir ./data")]
    Purge {
        /// Device id.
        #[arg(value_name = "DEVICE")]
        device: String,
    },
    /// Take the feedback that waits on messages sent with --ack, and show it. What was shown is not there any more.
    #[command(after_help = "\
Examples:
  millrace command feedback --data-dir ./data
  millrace command feedback --keep --json --data-dir ./data        looks at the next records and leaves them")]
    Feedback {
        /// Leave the records where they are; shows one batch.
        #[arg(long)]
        keep: bool,
    },
}

/// What comes with a message.
#[derive(Debug, Args)]
pub struct MessageArguments {
    /// Application property; may be given several times.
    #[arg(long = "property", value_name = "KEY=VALUE", value_parser = pair)]
    pub properties: Vec<(String, String)>,
    /// On what feedback is wanted.
    #[arg(long, value_name = "WHEN", default_value = "none")]
    pub ack: Ack,
    /// When it is too late for it: seconds from now, or a time as 2030-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = expiry)]
    pub expires: Option<String>,
    /// Message id, by which feedback names it.
    #[arg(long, value_name = "ID")]
    pub message_id: Option<String>,
    /// Id of the message that this one answers.
    #[arg(long, value_name = "ID")]
    pub correlation_id: Option<String>,
    /// Media type of the text.
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    /// Character set of the text.
    #[arg(long, value_name = "ENCODING")]
    pub content_encoding: Option<String>,
}

/// On what feedback is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ack {
    /// Nothing.
    None,
    /// The device has taken it.
    Positive,
    /// The device will not have it.
    Negative,
    /// Either.
    Full,
}

impl Ack {
    const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Positive => "positive",
            Self::Negative => "negative",
            Self::Full => "full",
        }
    }
}

impl MessageArguments {
    fn on<'a>(&self, mut call: Call<'a>) -> Call<'a> {
        let fields = [
            ("iothub-messageid", &self.message_id),
            ("iothub-correlationid", &self.correlation_id),
            ("iothub-expiry", &self.expires),
            ("iothub-contenttype", &self.content_type),
            ("iothub-contentencoding", &self.content_encoding),
        ];
        for (name, value) in fields {
            if let Some(value) = value {
                call = call.header(name, value);
            }
        }
        for (key, value) in &self.properties {
            call = call.header(&format!("iothub-app-{}", header_text(key, true)), &header_text(value, false));
        }
        call.header("iothub-ack", self.ack.as_str())
    }
}

pub(super) async fn run(
    command: CommandCommand,
    target: &Target,
    context: &mut Context<'_>,
) -> Result<(), OperatorError> {
    match command {
        CommandCommand::Send { device, body, message } => {
            let body = context.content(&body)?;
            let path = path(&["devices", &device, "messages", "devicebound"])?;
            let client = target.client(context, Audience::Hub)?;
            message.on(client.post(&path).bytes(body)).send(&[200, 201, 202, 204]).await?;
            context.done(format!("sent to {device}"))
        }
        CommandCommand::Purge { device } => {
            let client = target.client(context, Audience::Hub)?;
            let answer = client.delete(&path(&["devices", &device, "commands"])?).send(&[200]).await?;
            let purged: Value = answer.json()?;
            context.show(Outcome::Document(purged))
        }
        CommandCommand::Feedback { keep } => feedback(&target.client(context, Audience::Hub)?, keep, context).await,
    }
}

async fn feedback(client: &ServiceClient, keep: bool, context: &mut Context<'_>) -> Result<(), OperatorError> {
    loop {
        let answer = client.get(FEEDBACK).send(&[200, 204]).await?;
        let is_end = answer.status() == 204;
        let rows: Vec<Value> = if is_end { Vec::new() } else { answer.json()? };
        let is_last = is_end || keep;
        let page = Rows { columns: FEEDBACK_COLUMNS, rows, is_single: false, is_last, remark: None };
        context.show(Outcome::Rows(page))?;
        if is_end {
            return Ok(());
        }
        let lock = answer.header("etag").map(|etag| etag.trim_matches('"')).ok_or(OperatorError::Answer)?;
        let place = format!("{FEEDBACK}{}", path(&[lock])?);
        if keep {
            return client.post(&format!("{place}/abandon")).send(&[204, 200]).await.map(drop);
        }
        client.delete(&place).send(&[204, 200]).await?;
    }
}

/// Text as headers carry it: what is not visible ASCII is percent-encoded, and so is the percent sign; in a name, also all that a name
/// cannot hold and capital letters, which a name would lose.
fn header_text(text: &str, is_name: bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        let fits = match byte {
            b'%' => false,
            _ if is_name => byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.!#$&'*+^`|~".contains(&byte),
            _ => byte.is_ascii_graphic(),
        };
        if fits {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02x}"));
        }
    }
    encoded
}

/// An expiry, as clap reads it.
fn expiry(text: &str) -> Result<String, String> {
    let invalid = || "neither seconds from now nor a time as 2030-01-31T12:00:00Z".to_owned();
    let time = match text.parse::<i64>() {
        Ok(seconds) => {
            let now = jiff::Timestamp::from_millisecond(clock::now().0).map_err(|_| invalid())?;
            now.checked_add(jiff::SignedDuration::from_secs(seconds)).map_err(|_| invalid())?
        }
        Err(_) => text.parse().map_err(|_| invalid())?,
    };
    Ok(time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_carry_any_text() {
        assert_eq!(header_text("k x", true), "k%20x");
        assert_eq!(header_text("Level", true), "%4cevel");
        assert_eq!(header_text("v=1/&", false), "v=1/&");
        assert_eq!(header_text("100 %\r\nä", false), "100%20%25%0d%0a%c3%a4");
    }

    #[test]
    fn an_expiry_is_a_time() {
        assert_eq!(expiry("2030-01-31T12:00:00Z").unwrap(), "2030-01-31T12:00:00Z");
        let soon: jiff::Timestamp = expiry("60").unwrap().parse().unwrap();
        assert!(soon.as_millisecond() > clock::now().0 + 50_000);
        for bad in ["", "soon", "9223372036854775807"] {
            assert!(expiry(bad).is_err(), "{bad}");
        }
    }
}
