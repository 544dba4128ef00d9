//! `POST /devices/query`: the query language over twins and over what jobs did.
//! - Invariants: the answer is always an array; a continuation is given only if there is more, or may be.

use axum::extract::State;
use axum::http::HeaderMap;
use millrace_control_query::ItemType;
use millrace_model::HubError;
use serde_json::Value;

use crate::answer::{Answer, json, with_continuation, with_item_type};
use crate::request::{Json, Path, page};
use crate::state::ServiceState;

pub(crate) async fn read(
    State(state): State<ServiceState>,
    Path(word): Path<String>,
    headers: HeaderMap,
    Json(body): Json,
) -> Answer {
    if word != "query" {
        return Err(HubError::METHOD.into());
    }
    let query = body.get("query").and_then(Value::as_str);
    let query = query.ok_or_else(|| HubError::ARGUMENT.because("query is not there, or not a text"))?;
    let (count, continuation) = page(&headers)?;
    let answer = state.control.query(query, continuation, count).await?;
    let response = with_continuation(json(&answer.rows), answer.continuation.as_deref());
    Ok(with_item_type(response, name_of(answer.item_type)))
}

/// The header's word for it.
const fn name_of(item_type: ItemType) -> &'static str {
    match item_type {
        ItemType::Twin => "Twin",
        ItemType::Raw => "Raw",
        ItemType::DeviceJob => "DeviceJob",
        ItemType::JobResponse => "JobResponse",
        ItemType::Enrollment => "Enrollment",
        ItemType::EnrollmentGroup => "EnrollmentGroup",
        ItemType::DeviceRegistration => "DeviceRegistration",
    }
}
