//! Queries over enrollments, groups and a group's registrations, a page at a time.
//! - Source: Azure DPS service API, query operations; `x-ms-max-item-count`, `x-ms-continuation`, `x-ms-item-type`.
//! - Limits: a page has at most [`PAGE_ITEMS_MAX`] items and looks at no more than [`PAGE_DOCUMENTS_MAX`] documents.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use millrace_control::policies::Permissions;
use millrace_control_query::{Answer, End, Query, Run, Source};
use millrace_control_store::documents::Collection;
use millrace_model::HubError;
use serde::Deserialize;
use serde_json::Value;

use super::ProvisioningApi;
use super::answer::{Body, Path, header, json, path};
use super::enrollments::{segment, shown};
use crate::enrollment::EnrollmentGroup;
use crate::enrollments::Enrolled;
use crate::error::{ENROLLMENT_NOT_FOUND, Refused};
use crate::limits::{PAGE_DOCUMENTS_MAX, PAGE_ITEMS, PAGE_ITEMS_MAX};
use crate::registration_id::RegistrationId;

const CONTINUATION: &str = "x-ms-continuation";
const ITEM_TYPE: &str = "x-ms-item-type";
const MAX_ITEM_COUNT: &str = "x-ms-max-item-count";

/// Documents read at a time.
const CHUNK_DOCUMENTS: usize = 250;

/// What is asked.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Specification {
    query: String,
}

pub(super) async fn enrollments<E: Enrolled>(
    State(api): State<ProvisioningApi>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    api.authorize(&headers, Permissions::ENROLLMENT_READ, &[segment::<E>(), "query"])?;
    let source = if E::COLLECTION == Collection::Enrollment { Source::Enrollments } else { Source::EnrollmentGroups };
    let query = parse(source, body)?;
    let mut run = run(&query, &headers)?;
    let mut after = run.after().last().map(ToString::to_string);
    let mut looked_at = 0;
    while run.wants_more() {
        if looked_at >= PAGE_DOCUMENTS_MAX {
            return Ok(answer(run.finish(End::More), E::ITEM_TYPE));
        }
        let page = api.provisioner.enrollments().page::<E>(after.as_deref(), CHUNK_DOCUMENTS).await?;
        looked_at += page.len();
        after = page.last().map(|enrollment| enrollment.id().to_owned());
        let is_last = page.len() < CHUNK_DOCUMENTS;
        for enrollment in page {
            if !run.wants_more() {
                break;
            }
            let id = enrollment.id().to_owned();
            offer(&mut run, &id, shown(&api, enrollment).await?)?;
        }
        if is_last {
            break;
        }
    }
    Ok(answer(run.finish(End::Exhausted), E::ITEM_TYPE))
}

pub(super) async fn registrations(
    State(api): State<ProvisioningApi>,
    place: Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refused> {
    const ITEMS: &str = "DeviceRegistration";
    let group = path(place)?;
    api.authorize(&headers, Permissions::REGISTRATION_STATUS_READ, &["registrations", &group, "query"])?;
    let group = RegistrationId::new(&group).map_err(|_| ENROLLMENT_NOT_FOUND)?;
    api.provisioner.enrollments().read::<EnrollmentGroup>(group.as_str()).await?.ok_or(ENROLLMENT_NOT_FOUND)?;
    let query = parse(Source::Registrations, body)?;
    let mut run = run(&query, &headers)?;
    let mut after = run.after().last().map(ToString::to_string);
    let mut looked_at = 0;
    while run.wants_more() {
        if looked_at >= PAGE_DOCUMENTS_MAX {
            return Ok(answer(run.finish(End::More), ITEMS));
        }
        let page = api.provisioner.registrations().page(group.as_str(), after.as_deref(), CHUNK_DOCUMENTS).await?;
        looked_at += page.len();
        after = page.last().map(|found| found.registration.registration_id.clone());
        for found in &page {
            offer(&mut run, &found.registration.registration_id, found.registration.state())?;
        }
        if page.len() < CHUNK_DOCUMENTS {
            break;
        }
    }
    Ok(answer(run.finish(End::Exhausted), ITEMS))
}

fn parse(source: Source, body: Body) -> Result<Query, Refused> {
    let Specification { query } = json(body)?;
    Query::parse_for(source, &query).map_err(|error| HubError::ARGUMENT.because(error.to_string()).into())
}

fn run<'a>(query: &'a Query, headers: &HeaderMap) -> Result<Run<'a>, Refused> {
    let count = match header(headers, MAX_ITEM_COUNT) {
        None => PAGE_ITEMS,
        Some(text) => {
            let count = text.trim().parse().ok().filter(|count| (1..=PAGE_ITEMS_MAX).contains(count));
            count.ok_or_else(|| HubError::ARGUMENT.because(format!("{MAX_ITEM_COUNT} is 1 to {PAGE_ITEMS_MAX}")))?
        }
    };
    let continuation = header(headers, CONTINUATION).filter(|text| !text.is_empty());
    Run::new(query, continuation, count).map_err(|error| HubError::ARGUMENT.because(error.to_string()).into())
}

fn offer(run: &mut Run<'_>, key: &str, row: Value) -> Result<(), Refused> {
    run.offer(&[key], row).map_err(|error| HubError::ARGUMENT.because(error.to_string()).into())
}

fn answer(answer: Answer, item_type: &'static str) -> Response {
    let mut response = Json(answer.rows).into_response();
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static(ITEM_TYPE), HeaderValue::from_static(item_type));
    if let Some(value) = answer.continuation.and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert(HeaderName::from_static(CONTINUATION), value);
    }
    response
}
