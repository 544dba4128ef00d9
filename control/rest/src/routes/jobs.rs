//! Scheduled jobs.

use axum::extract::State;
use axum::http::HeaderMap;
use serde::Deserialize;

use crate::answer::{Answer, json, with_continuation, with_item_type};
use crate::request::{Json, Path, Query, page};
use crate::state::ServiceState;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobQuery {
    job_type: Option<String>,
    job_status: Option<String>,
}

/// One job or, for the word `query` in the place of an id, the list.
pub(crate) async fn read(
    State(state): State<ServiceState>,
    Path(job): Path<String>,
    headers: HeaderMap,
    Query(query): Query<JobQuery>,
) -> Answer {
    if job != "query" {
        return Ok(json(&state.jobs.job(&job).await?));
    }
    let (count, continuation) = page(&headers)?;
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let (job_type, status) = (given(&query.job_type), given(&query.job_status));
    let page = state.jobs.jobs(job_type.as_deref(), status.as_deref(), continuation, count).await?;
    let response = with_continuation(json(&page.rows), page.continuation.as_deref());
    Ok(with_item_type(response, "JobResponse"))
}

pub(crate) async fn create(State(state): State<ServiceState>, Path(job): Path<String>, Json(body): Json) -> Answer {
    Ok(json(&state.jobs.create_job(&job, &body).await?))
}

pub(crate) async fn cancel(State(state): State<ServiceState>, Path(job): Path<String>) -> Answer {
    Ok(json(&state.jobs.cancel_job(&job).await?))
}
