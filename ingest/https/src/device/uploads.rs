//! File uploads as devices ask for them; the file itself goes to the blob endpoint.
//! - Source: Azure IoT Hub: `POST files`, then `POST files/notifications` (the upload in the body) or `/notifications/{upload}`.

use std::sync::Arc;

use axum::Json;
use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{FromRequestParts as _, Request, State};
use axum::http::StatusCode;
use millrace_control_files::{Files, Outcome, Upload};
use millrace_model::HubError;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::caller::parameter;
use super::{Caller, DeviceApi};
use crate::error::Refusal;
use crate::limits::FILE_BODY_BYTES_MAX;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    blob_name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Finished {
    #[serde(default)]
    correlation_id: Option<String>,
    #[serde(flatten)]
    outcome: Outcome,
}

/// `POST /devices/{device}/files`
pub(super) async fn begin(State(api): State<DeviceApi>, request: Request) -> Result<Json<Upload>, Refusal> {
    let (mut parts, body) = request.into_parts();
    let Caller(caller) = Caller::from_request_parts(&mut parts, &api).await?;
    let files = files(&api)?;
    let asked: Asked = read(body).await?;
    Ok(Json(files.begin(&caller.name, &asked.blob_name).await?))
}

/// `POST /devices/{device}/files/notifications[/{upload}]`
pub(super) async fn finish(State(api): State<DeviceApi>, request: Request) -> Result<StatusCode, Refusal> {
    let (mut parts, body) = request.into_parts();
    let Caller(caller) = Caller::from_request_parts(&mut parts, &api).await?;
    let files = files(&api)?;
    let finished: Finished = read(body).await?;
    let upload = match parameter(&mut parts, &api, "upload").await {
        Ok(upload) => upload,
        Err(_) => finished.correlation_id.ok_or_else(|| HubError::ARGUMENT_NULL.because("correlationId is missing"))?,
    };
    files.finish(&caller.name, &upload, &finished.outcome).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn files(api: &DeviceApi) -> Result<&Arc<Files>, HubError> {
    api.files.as_ref().ok_or_else(|| HubError::OPERATION.because("this hub takes no files"))
}

async fn read<T: DeserializeOwned>(body: Body) -> Result<T, HubError> {
    // What claims to be too large is not waited for.
    if usize::try_from(body.size_hint().lower()).is_ok_and(|bytes| bytes > FILE_BODY_BYTES_MAX) {
        return Err(HubError::TOO_LARGE);
    }
    let json = to_bytes(body, FILE_BODY_BYTES_MAX).await.map_err(|_| HubError::TOO_LARGE)?;
    serde_json::from_slice(&json).map_err(|_| HubError::FORMAT)
}
