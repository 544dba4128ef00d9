//! Operations on one identity, and the list.
//! - Invariants: PUT without `If-Match` creates, with it updates. An update leaves out what its body leaves out.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use millrace_control_jobs::shape::{IdentityBody, etag_text, parse_etag, record_of, update_of};
use millrace_control_store::limits::PAGE_IDENTITIES_MAX;
use millrace_control_store::registry::{Expected, Record};
use millrace_model::{HubError, IdentityName};
use serde::Deserialize;

use crate::answer::{Answer, json, with_continuation, with_etag};
use crate::request::{Body, CONTINUATION, Path, Query, identity, if_match, read_json, text};
use crate::state::ServiceState;

#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    top: Option<usize>,
}

pub(crate) async fn list(
    State(state): State<ServiceState>,
    headers: HeaderMap,
    Query(query): Query<ListQuery>,
) -> Answer {
    let count = query.top.unwrap_or(PAGE_IDENTITIES_MAX);
    if !(1..=PAGE_IDENTITIES_MAX).contains(&count) {
        return Err(HubError::ARGUMENT.because("top is 1 to 1000").into());
    }
    let after = text(&headers, CONTINUATION)?;
    state.control.throttle(millrace_control::Operation::Registry).await?;
    let records =
        state.control.store().devices(after, count).await.map_err(|error| millrace_control::hub_error(&error))?;
    let bodies: Vec<IdentityBody> = records.iter().map(|record| state.shown(record)).collect();
    // Ids are printable ASCII, so they are good header values.
    let more = records.last().filter(|_| records.len() == count).map(|last| last.name.device_id());
    Ok(with_continuation(json(&bodies), more))
}

pub(crate) async fn modules(State(state): State<ServiceState>, Path(device): Path<String>) -> Answer {
    state.control.identity(&identity(&device, None)?).await?;
    let modules = state.control.store().modules(&device).await.map_err(|error| millrace_control::hub_error(&error))?;
    Ok(json(&modules.iter().map(|record| state.shown(record)).collect::<Vec<_>>()))
}

pub(crate) async fn read(State(state): State<ServiceState>, Path(device): Path<String>) -> Answer {
    state.read(&identity(&device, None)?).await
}

pub(crate) async fn read_module(
    State(state): State<ServiceState>,
    Path((device, module)): Path<(String, String)>,
) -> Answer {
    state.read(&identity(&device, Some(&module))?).await
}

pub(crate) async fn write(
    State(state): State<ServiceState>,
    Path(device): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    state.write(identity(&device, None)?, &headers, &body).await
}

pub(crate) async fn write_module(
    State(state): State<ServiceState>,
    Path((device, module)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    state.write(identity(&device, Some(&module))?, &headers, &body).await
}

pub(crate) async fn delete(
    State(state): State<ServiceState>,
    Path(device): Path<String>,
    headers: HeaderMap,
) -> Answer {
    state.delete(&identity(&device, None)?, &headers).await
}

pub(crate) async fn delete_module(
    State(state): State<ServiceState>,
    Path((device, module)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    state.delete(&identity(&device, Some(&module))?, &headers).await
}

impl ServiceState {
    async fn read(&self, name: &IdentityName) -> Answer {
        let record = self.control.identity(name).await?;
        let mut body = self.shown(&record);
        if name.module_id().is_none() {
            body.cloud_to_device_message_count = Some(self.control.command_count(name).await?);
        }
        Ok(with_etag(json(&body), &etag_text(record.etag)))
    }

    async fn write(&self, name: IdentityName, headers: &HeaderMap, body: &Body) -> Answer {
        let body: IdentityBody = read_json(&body.0)?;
        if body.device_id != name.device_id() || body.module_id.as_deref() != name.module_id() {
            return Err(HubError::ARGUMENT.because("the ids in path and body differ").into());
        }
        let record = match if_match(headers)? {
            Some(etag) => self.control.update(&name, parse_etag(etag), update_of(&body)?).await?,
            None => {
                let record = record_of(name, &body)?;
                self.control.create(&record).await?;
                record
            }
        };
        self.jobs.note_twin(&record.name);
        Ok(with_etag(json(&self.shown(&record)), &etag_text(record.etag)))
    }

    async fn delete(&self, name: &IdentityName, headers: &HeaderMap) -> Answer {
        let expected = if_match(headers)?.map_or(Expected::Any, parse_etag);
        self.control.delete(name, expected).await?;
        // The Python SDK takes nothing else for a success.
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    /// An identity as answers show it.
    fn shown(&self, record: &Record) -> IdentityBody {
        IdentityBody::from(record).with_presence(self.control.presence(&record.name))
    }
}

/// Nothing to say but that it is done.
pub(crate) fn done() -> Response {
    StatusCode::NO_CONTENT.into_response()
}
