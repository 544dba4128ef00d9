//! `POST /devices`: up to 100 identities created, changed or deleted in one call.
//! - Source: Azure IoT Hub, BulkRegistryOperationResult: 200 when all succeeded, 400 with the same body when some failed.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use millrace_control_jobs::bulk;
use millrace_control_jobs::shape::{BulkIdentity, BulkResult};
use millrace_model::HubError;

use crate::answer::{Answer, json};
use crate::limits::BULK_IDENTITIES_MAX;
use crate::request::{Body, read_json};
use crate::state::ServiceState;

pub(crate) async fn apply(State(state): State<ServiceState>, Body(body): Body) -> Answer {
    let identities: Vec<BulkIdentity> = read_json(&body)?;
    if identities.len() > BULK_IDENTITIES_MAX {
        return Err(HubError::BULK.because("a bulk call has at most 100 identities").into());
    }
    let errors = bulk::apply(&state.control, &identities).await?;
    let is_successful = errors.is_empty();
    let status = if is_successful { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let result = BulkResult { is_successful, errors, warnings: Vec::new() };
    Ok((status, json(&result)).into_response())
}
