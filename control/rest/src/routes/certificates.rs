//! Certificates of authorities, and lists of what they revoked; an extension, because the hub has these in another API.
//! - Shape: `PUT` takes `{"certificate": TEXT, "isVerified": bool}` or `{"revocationList": TEXT}`, `verify` `{"certificate": TEXT}`; TEXT is
//!   PEM, or DER or PEM in base64. The members may stand inside of `properties`, as in the hub's own shape.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millrace_control::CertificateView;
use millrace_model::HubError;
use serde_json::Value;

use super::devices::done;
use crate::answer::{Answer, json, with_etag};
use crate::request::{Body, Path, if_match, read_json};
use crate::state::ServiceState;

pub(crate) async fn list(State(state): State<ServiceState>) -> Answer {
    Ok(json(&state.control.certificates().await?))
}

pub(crate) async fn read(State(state): State<ServiceState>, Path(name): Path<String>) -> Answer {
    Ok(shown(&state.control.certificate(&name).await?))
}

pub(crate) async fn write(
    State(state): State<ServiceState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(body): Body,
) -> Answer {
    let body: Value = read_json(&body)?;
    let if_match = if_match(&headers)?;
    if let Some(list) = member(&body, "revocationList") {
        return Ok(shown(&state.control.add_revocation_list(&name, &bytes(list)?, if_match).await?));
    }
    let is_verified = member(&body, "isVerified").and_then(Value::as_bool).unwrap_or_default();
    let certificate = bytes(certificate(&body)?)?;
    Ok(shown(&state.control.add_certificate(&name, &certificate, is_verified, if_match).await?))
}

pub(crate) async fn delete(State(state): State<ServiceState>, Path(name): Path<String>, headers: HeaderMap) -> Answer {
    state.control.delete_certificate(&name, if_match(&headers)?).await?;
    Ok(done())
}

pub(crate) async fn generate_code(
    State(state): State<ServiceState>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Answer {
    Ok(shown(&state.control.generate_verification_code(&name, if_match(&headers)?).await?))
}

pub(crate) async fn verify(
    State(state): State<ServiceState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Body(body): Body,
) -> Answer {
    let body: Value = read_json(&body)?;
    let proof = bytes(certificate(&body)?)?;
    Ok(shown(&state.control.verify_certificate(&name, &proof, if_match(&headers)?).await?))
}

fn member<'a>(body: &'a Value, name: &str) -> Option<&'a Value> {
    let found = body.get(name).or_else(|| body.get("properties")?.get(name));
    found.filter(|value| !value.is_null())
}

fn certificate(body: &Value) -> Result<&Value, HubError> {
    member(body, "certificate").ok_or_else(|| HubError::ARGUMENT.because("certificate is missing"))
}

/// PEM as it is, anything else out of its base64.
fn bytes(text: &Value) -> Result<Vec<u8>, HubError> {
    let text = text.as_str().map(str::trim).unwrap_or_default();
    if text.starts_with("-----BEGIN") {
        return Ok(text.as_bytes().to_vec());
    }
    STANDARD.decode(text).map_err(|_| HubError::ARGUMENT.because("a certificate or list is PEM, or DER in base64"))
}

fn shown(view: &CertificateView) -> Response {
    with_etag(json(view), &view.etag)
}
