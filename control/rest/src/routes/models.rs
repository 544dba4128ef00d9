//! DTDL models; an extension.
//! - Shape: `POST /models` takes an interface or an array of them and answers their ids; a model is never changed under its id.

use axum::extract::State;
use serde_json::json;

use super::devices::done;
use crate::answer::{self, Answer};
use crate::request::{Body, Path};
use crate::state::ServiceState;

pub(crate) async fn list(State(state): State<ServiceState>) -> Answer {
    Ok(answer::json(&state.control.models()))
}

pub(crate) async fn add(State(state): State<ServiceState>, Body(body): Body) -> Answer {
    Ok(answer::json(&json!({ "ids": state.control.add_models(&body).await? })))
}

pub(crate) async fn read(State(state): State<ServiceState>, Path(id): Path<String>) -> Answer {
    Ok(answer::json(&state.control.model(&id).await?))
}

pub(crate) async fn delete(State(state): State<ServiceState>, Path(id): Path<String>) -> Answer {
    state.control.delete_model(&id).await?;
    Ok(done())
}
