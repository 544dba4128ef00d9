//! Digital twins: the twin through its model, JSON Patch, commands.
//! - Source: Azure IoT Hub service REST API, digital twins.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::IntoResponse;
use millrace_control_twin::json::{Bounds, JsonError, parse};
use millrace_model::HubError;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

use crate::answer::{Answer, json, json_text, with_etag};
use crate::request::{Body, Path, Query, identity, if_match, text};
use crate::state::ServiceState;

const COMMAND_STATUS: HeaderName = HeaderName::from_static("x-ms-command-statuscode");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Timeouts {
    connect_timeout_in_seconds: Option<u64>,
    response_timeout_in_seconds: Option<u64>,
}

pub(crate) async fn read(State(state): State<ServiceState>, Path(device): Path<String>) -> Answer {
    let twin = state.control.digital_twin(&identity(&device, None)?).await?;
    Ok(with_etag(json(&twin.document), &twin.etag))
}

pub(crate) async fn merge(
    State(state): State<ServiceState>,
    Path(device): Path<String>,
    headers: HeaderMap,
    Body(body): Body,
) -> Answer {
    let name = identity(&device, None)?;
    let operations = parse(&body, Bounds::JSON_PATCH).map_err(refused)?;
    let etag = state.control.patch_digital_twin(&name, if_match(&headers)?, &operations).await?;
    state.jobs.note_twin(&name);
    let location = format!("/digitaltwins/{}", utf8_percent_encode(&device, NON_ALPHANUMERIC));
    let mut response = with_etag(StatusCode::ACCEPTED.into_response(), &etag);
    // Percent-encoded, it is a good header value.
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

pub(crate) async fn call(
    State(state): State<ServiceState>,
    Path((device, command)): Path<(String, String)>,
    Query(timeouts): Query<Timeouts>,
    headers: HeaderMap,
    Body(body): Body,
) -> Answer {
    state.call_command(&device, None, &command, &timeouts, &headers, &body).await
}

pub(crate) async fn call_component(
    State(state): State<ServiceState>,
    Path((device, component, command)): Path<(String, String, String)>,
    Query(timeouts): Query<Timeouts>,
    headers: HeaderMap,
    Body(body): Body,
) -> Answer {
    state.call_command(&device, Some(&component), &command, &timeouts, &headers, &body).await
}

impl ServiceState {
    async fn call_command(
        &self,
        device: &str,
        component: Option<&str>,
        command: &str,
        timeouts: &Timeouts,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Answer {
        let name = identity(device, None)?;
        let payload = if body.is_empty() { Value::Null } else { parse(body, Bounds::PAYLOAD).map_err(refused)? };
        let (response, connect) = (timeouts.response_timeout_in_seconds, timeouts.connect_timeout_in_seconds);
        let result = self.control.invoke_command(&name, component, command, &payload, response, connect).await?;
        let payload = result.payload().clone();
        let mut response = json_text(if payload.is_empty() { "null".into() } else { payload });
        response.headers_mut().insert(COMMAND_STATUS, HeaderValue::from(result.status()));
        if let Some(Ok(id)) = text(headers, REQUEST_ID.as_str())?.map(HeaderValue::from_str) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        Ok(response)
    }
}

fn refused(error: JsonError) -> HubError {
    match error {
        JsonError::TooLong(_) => HubError::TOO_LARGE,
        JsonError::Malformed(_) => HubError::FORMAT.because(error.to_string()),
        _ => HubError::ARGUMENT.because(error.to_string()),
    }
}
