//! Automatic configurations, and contents applied to one device.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use millrace_model::HubError;
use serde::Deserialize;
use serde_json::Value;

use super::devices::done;
use crate::answer::{Answer, json, with_etag};
use crate::limits::QUERY_ROWS_MAX;
use crate::request::{Json, Path, Query, identity, if_match};
use crate::state::ServiceState;

#[derive(Debug, Deserialize)]
pub(crate) struct ListQuery {
    top: Option<usize>,
}

pub(crate) async fn list(State(state): State<ServiceState>, Query(query): Query<ListQuery>) -> Answer {
    let count = query.top.unwrap_or(QUERY_ROWS_MAX);
    if !(1..=QUERY_ROWS_MAX).contains(&count) {
        return Err(HubError::ARGUMENT.because("top is 1 to 1000").into());
    }
    Ok(json(&state.jobs.configurations(count).await?))
}

pub(crate) async fn read(State(state): State<ServiceState>, Path(id): Path<String>) -> Answer {
    Ok(shown(&state.jobs.configuration(&id).await?))
}

pub(crate) async fn write(
    State(state): State<ServiceState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json,
) -> Answer {
    Ok(shown(&state.jobs.put_configuration(&id, &body, if_match(&headers)?).await?))
}

pub(crate) async fn delete(State(state): State<ServiceState>, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    state.jobs.delete_configuration(&id, if_match(&headers)?).await?;
    Ok(done())
}

/// `POST /configurations/testQueries`.
pub(crate) async fn test(State(state): State<ServiceState>, Path(word): Path<String>, Json(body): Json) -> Answer {
    if word != "testQueries" {
        return Err(HubError::METHOD.into());
    }
    Ok(json(&state.jobs.test_queries(&body)?))
}

pub(crate) async fn apply(State(state): State<ServiceState>, Path(device): Path<String>, Json(body): Json) -> Answer {
    state.jobs.apply_content(&identity(&device, None)?, &body).await?;
    Ok(done())
}

fn shown(configuration: &Value) -> Response {
    with_etag(json(configuration), configuration.get("etag").and_then(Value::as_str).unwrap_or_default())
}
