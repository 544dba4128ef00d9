//! Twins of devices and modules, as the service sees and writes them.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use millrace_model::IdentityName;
use serde_json::Value;

use crate::answer::{Answer, json, with_etag};
use crate::request::{Json, Path, identity, if_match};
use crate::state::ServiceState;

pub(crate) async fn read(State(state): State<ServiceState>, Path(device): Path<String>) -> Answer {
    Ok(shown(&state.control.twin(&identity(&device, None)?).await?))
}

pub(crate) async fn read_module(
    State(state): State<ServiceState>,
    Path((device, module)): Path<(String, String)>,
) -> Answer {
    Ok(shown(&state.control.twin(&identity(&device, Some(&module))?).await?))
}

pub(crate) async fn merge(
    State(state): State<ServiceState>,
    Path(device): Path<String>,
    headers: HeaderMap,
    Json(patch): Json,
) -> Answer {
    state.merge_twin(&identity(&device, None)?, &headers, &patch).await
}

pub(crate) async fn merge_module(
    State(state): State<ServiceState>,
    Path((device, module)): Path<(String, String)>,
    headers: HeaderMap,
    Json(patch): Json,
) -> Answer {
    state.merge_twin(&identity(&device, Some(&module))?, &headers, &patch).await
}

pub(crate) async fn replace(
    State(state): State<ServiceState>,
    Path(device): Path<String>,
    headers: HeaderMap,
    Json(twin): Json,
) -> Answer {
    state.replace_twin(&identity(&device, None)?, &headers, &twin).await
}

pub(crate) async fn replace_module(
    State(state): State<ServiceState>,
    Path((device, module)): Path<(String, String)>,
    headers: HeaderMap,
    Json(twin): Json,
) -> Answer {
    state.replace_twin(&identity(&device, Some(&module))?, &headers, &twin).await
}

impl ServiceState {
    async fn merge_twin(&self, name: &IdentityName, headers: &HeaderMap, patch: &Value) -> Answer {
        let twin = self.control.patch_twin(name, if_match(headers)?, patch).await?;
        self.jobs.note_twin(name);
        Ok(shown(&twin))
    }

    async fn replace_twin(&self, name: &IdentityName, headers: &HeaderMap, twin: &Value) -> Answer {
        let twin = self.control.replace_twin(name, if_match(headers)?, twin).await?;
        self.jobs.note_twin(name);
        Ok(shown(&twin))
    }
}

fn shown(twin: &Value) -> Response {
    with_etag(json(twin), twin.get("etag").and_then(Value::as_str).unwrap_or_default())
}
