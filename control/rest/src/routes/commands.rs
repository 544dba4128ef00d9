//! Cloud-to-device messages: sent one by one, purged all at once.
//! - Shape: extension: `POST /devices/{id}/messages/devicebound`, the body as it is, properties in headers named as where devices receive
//!   them: `iothub-messageid`, `iothub-correlationid`, `iothub-userid`, `iothub-expiry`, `iothub-ack`, `iothub-contenttype`,
//!   `iothub-contentencoding`, `iothub-app-{name}`. Answer: 204 once the message is durable. The hub itself takes these messages over AMQP only.
//! - Invariants: names and values of properties are percent-decoded once. Headers have no case and few characters: a name with capital
//!   letters or a space comes as `%4cevel` or `k%20x`.

use axum::extract::State;
use axum::http::HeaderMap;
use millrace_control_command::Draft;
use millrace_control_command::message::expiry_from_text;
use millrace_model::HubError;
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::devices::done;
use crate::answer::{self, Answer};
use crate::request::{Body, Path, identity, text};
use crate::state::ServiceState;

/// Begins the names of headers with application properties.
const PROPERTY: &str = "iothub-app-";

pub(crate) async fn send(
    State(state): State<ServiceState>,
    Path(device): Path<String>,
    headers: HeaderMap,
    Body(body): Body,
) -> Answer {
    let device = identity(&device, None)?;
    let message = state.control.message(Draft { body, ..draft(&headers)? })?;
    state.control.send_command(&device, &message).await?;
    Ok(done())
}

pub(crate) async fn purge(State(state): State<ServiceState>, Path(device): Path<String>) -> Answer {
    let purged = state.control.purge_commands(&identity(&device, None)?).await?;
    Ok(answer::json(&json!({ "totalMessagesPurged": purged, "deviceId": device, "moduleId": null })))
}

/// What the headers say of a message.
fn draft(headers: &HeaderMap) -> Result<Draft, HubError> {
    let owned = |name: &str| Ok::<_, HubError>(text(headers, name)?.map(str::to_owned));
    let mut properties = Vec::new();
    for name in headers.keys().filter(|name| name.as_str().starts_with(PROPERTY)) {
        let value = text(headers, name.as_str())?.unwrap_or_default();
        let name = name.as_str().strip_prefix(PROPERTY).unwrap_or_default();
        properties.push((decoded(name)?, decoded(value)?));
    }
    Ok(Draft {
        message_id: owned("iothub-messageid")?,
        correlation_id: owned("iothub-correlationid")?,
        user_id: owned("iothub-userid")?,
        content_type: owned("iothub-contenttype")?,
        content_encoding: owned("iothub-contentencoding")?,
        expiry: text(headers, "iothub-expiry")?.map(expiry_from_text).transpose()?,
        ack: text(headers, "iothub-ack")?.map(str::parse).transpose()?.unwrap_or_default(),
        properties,
        ..Draft::default()
    })
}

fn decoded(text: &str) -> Result<String, HubError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(Into::into).map_err(|_| HubError::ARGUMENT.because("a property is not percent-encoded UTF-8"))
}
