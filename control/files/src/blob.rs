//! The blob endpoint: the part of Azure's Blob service that its storage libraries use for a block blob.
//! - Source: Azure Storage REST API: Put Blob, Put Block, Put Block List, Get Block List, Get Blob, Get Blob Properties.
//! - Invariants: nothing is read of a body before the signature is checked and the upload is found open.
//! - Errors: XML, and `x-ms-error-code`.
//! - Not here: containers, listings, leases, tiers, snapshots, deletion: a device has leave to write one blob.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use percent_encoding::percent_decode_str;

use crate::files::{Files, now_unix};
use crate::name::BlobName;
use crate::sas::parameter;

mod block_list;
mod blocks;
mod checks;
mod error;
mod meter;
mod read;
mod sweep;
mod write;

pub(crate) use error::BlobError;
pub(crate) use meter::Meters;

const VERSION: &str = "x-ms-version";
const REQUEST_ID: &str = "x-ms-request-id";
const CLIENT_REQUEST_ID: &str = "x-ms-client-request-id";

/// The version answered to a client that names none.
const DEFAULT_VERSION: HeaderValue = HeaderValue::from_static("2020-10-02");

/// A request that may be carried out.
pub(crate) struct Granted {
    pub(crate) blob: BlobName,
    /// The upload.
    pub(crate) correlation_id: String,
}

impl Files {
    /// The routes of the blob endpoint, to be merged into those that devices reach. Bodies are streamed: no limit of a layer above may
    /// hold them back.
    pub fn router(self: &Arc<Self>) -> Router {
        let path = format!("/{}/{{*blob}}", self.config.container);
        Router::new().route(&path, any(serve)).layer(DefaultBodyLimit::disable()).with_state(Arc::clone(self))
    }
}

async fn serve(State(files): State<Arc<Files>>, request: Request) -> Response {
    let version = request.headers().get(VERSION).cloned().unwrap_or(DEFAULT_VERSION);
    let client_request_id = request.headers().get(CLIENT_REQUEST_ID).cloned();
    let mut response = answer(&files, request).await.unwrap_or_else(IntoResponse::into_response);
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static(VERSION), version);
    if let Some(id) = crate::files::random_id().ok().and_then(|id| HeaderValue::try_from(id).ok()) {
        headers.insert(HeaderName::from_static(REQUEST_ID), id);
    }
    // Libraries compare it with what they sent.
    if let Some(id) = client_request_id {
        headers.insert(HeaderName::from_static(CLIENT_REQUEST_ID), id);
    }
    response
}

async fn answer(files: &Arc<Files>, request: Request) -> Result<Response, BlobError> {
    let (parts, body) = request.into_parts();
    let granted = grant(files, &parts.uri).await?;
    let query = parts.uri.query().unwrap_or_default();
    let comp = parameter(query, "comp");
    match (&parts.method, comp.as_deref()) {
        (&Method::PUT, None) => files.put_blob(granted, &parts.headers, body).await,
        (&Method::PUT, Some("block")) => {
            let id = parameter(query, "blockid").ok_or(BlobError::INVALID_QUERY)?;
            files.put_block(granted, &id, &parts.headers, body).await
        }
        (&Method::PUT, Some("blocklist")) => files.put_block_list(granted, &parts.headers, body).await,
        (&Method::GET, Some("blocklist")) => {
            files.block_list(granted, parameter(query, "blocklisttype").as_deref()).await
        }
        (&Method::GET | &Method::HEAD, None) => {
            files.read_blob(granted, &parts.headers, parts.method == Method::GET).await
        }
        _ => Err(BlobError::UNSUPPORTED),
    }
}

/// Checks the signature, then that the upload is still under way.
async fn grant(files: &Files, uri: &Uri) -> Result<Granted, BlobError> {
    let encoded = uri.path().strip_prefix('/').and_then(|path| path.split_once('/')).map(|(_, blob)| blob);
    let decoded = percent_decode_str(encoded.unwrap_or_default()).decode_utf8().map_err(|_| BlobError::INVALID_NAME)?;
    let query = uri.query().unwrap_or_default();
    let container = &files.config.container;
    let correlation_id =
        files.signer.check(container, &decoded, query, now_unix()).map_err(|_| BlobError::AUTHENTICATION)?;
    let blob = BlobName::parse(&decoded).ok_or(BlobError::INVALID_NAME)?;
    let record = files.open_upload(blob.device_id(), &correlation_id).await?.ok_or(BlobError::AUTHENTICATION)?;
    if record.blob_name != blob.as_str() {
        return Err(BlobError::AUTHENTICATION);
    }
    Ok(Granted { blob, correlation_id })
}

/// The answer to a write that went well.
fn created(headers: impl IntoIterator<Item = (HeaderName, String)>) -> Response {
    let mut response = (axum::http::StatusCode::CREATED, Body::empty()).into_response();
    let own = [(HeaderName::from_static("x-ms-request-server-encrypted"), "false".to_owned())];
    for (name, value) in own.into_iter().chain(headers) {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The headers that say which state of a blob there is.
fn state_headers(meta: &object_store::ObjectMeta) -> [(HeaderName, String); 2] {
    [(header::ETAG, etag(meta)), (header::LAST_MODIFIED, http_date(meta))]
}

/// In quotes, as HTTP wants it, whatever the store calls it.
fn etag(meta: &object_store::ObjectMeta) -> String {
    let micros = meta.last_modified.timestamp_micros();
    let own = meta.e_tag.clone().unwrap_or_else(|| format!("{micros:x}-{:x}", meta.size));
    format!("\"{}\"", own.trim_matches('"'))
}

fn http_date(meta: &object_store::ObjectMeta) -> String {
    meta.last_modified.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
