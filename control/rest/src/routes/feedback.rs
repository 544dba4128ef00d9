//! What became of cloud-to-device messages, and news of uploaded files: received under a lock, then completed or abandoned.

use axum::extract::State;
use axum::response::Response;
use millrace_control_files::Files;
use millrace_model::HubError;

use super::devices::done;
use crate::answer::{Answer, json_text, with_etag};
use crate::request::Path;
use crate::state::ServiceState;

pub(crate) async fn receive(State(state): State<ServiceState>) -> Answer {
    let received = state.control.receive_feedback().await?;
    Ok(received.map_or_else(done, |feedback| locked(feedback.json, &feedback.lock_token)))
}

pub(crate) async fn complete(State(state): State<ServiceState>, Path(lock): Path<String>) -> Answer {
    state.control.complete_feedback(&lock).await?;
    Ok(done())
}

pub(crate) async fn abandon(State(state): State<ServiceState>, Path(lock): Path<String>) -> Answer {
    state.control.abandon_feedback(&lock).await?;
    Ok(done())
}

pub(crate) async fn receive_file(State(state): State<ServiceState>) -> Answer {
    let Some(files) = &state.files else { return Ok(done()) };
    let received = files.receive_notification().await?;
    Ok(received.map_or_else(done, |notification| locked(notification.body, &notification.lock_token)))
}

pub(crate) async fn complete_file(State(state): State<ServiceState>, Path(lock): Path<String>) -> Answer {
    state.uploads()?.complete_notification(&lock).await?;
    Ok(done())
}

pub(crate) async fn abandon_file(State(state): State<ServiceState>, Path(lock): Path<String>) -> Answer {
    state.uploads()?.abandon_notification(&lock).await?;
    Ok(done())
}

impl ServiceState {
    /// Where there are no uploads, no lock can hold.
    fn uploads(&self) -> Result<&Files, HubError> {
        self.files.as_deref().ok_or(HubError::LOCK_LOST)
    }
}

/// A body that stays locked until its reader is done with it.
fn locked(body: impl Into<axum::body::Body>, lock_token: &str) -> Response {
    with_etag(json_text(body), lock_token)
}
