//! Imports and exports: the jobs of the first kind.

use axum::extract::State;
use millrace_model::HubError;

use super::devices::done;
use crate::answer::{Answer, json};
use crate::request::{Json, Path};
use crate::state::ServiceState;

pub(crate) async fn list(State(state): State<ServiceState>) -> Answer {
    Ok(json(&state.jobs.transfers().await?))
}

pub(crate) async fn read(State(state): State<ServiceState>, Path(job): Path<String>) -> Answer {
    Ok(json(&state.jobs.transfer(&job).await?))
}

/// `POST /jobs/create`.
pub(crate) async fn create(State(state): State<ServiceState>, Path(word): Path<String>, Json(body): Json) -> Answer {
    if word != "create" {
        return Err(HubError::METHOD.into());
    }
    Ok(json(&state.jobs.create_transfer(&body).await?))
}

pub(crate) async fn cancel(State(state): State<ServiceState>, Path(job): Path<String>) -> Answer {
    state.jobs.cancel_transfer(&job).await?;
    Ok(done())
}
