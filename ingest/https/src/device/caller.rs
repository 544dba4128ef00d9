//! Who calls: the device in the path, once it has shown that it is that device.
//! - Invariants: the id is percent-decoded exactly once, by the router. Unknown, disabled and wrong all look the same from outside.

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use millrace_control_store::clock;
use millrace_ingest::{Admitted, Credentials, Refused, RefusedKind, admit};
use millrace_model::{HubError, IdentityName};
use millrace_protocols_identity::Token;
use millrace_protocols_identity::x509::ClientCertificates;

use super::DeviceApi;
use crate::error::Refusal;

/// An identity that has shown who it is.
pub(crate) struct Caller(pub(crate) Admitted);

impl FromRequestParts<DeviceApi> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, api: &DeviceApi) -> Result<Self, Refusal> {
        let device_id = parameter(parts, api, "device").await?;
        if let Err(error) = IdentityName::new(&device_id, None) {
            return Err(Refusal(HubError::ARGUMENT.because(error.to_string())));
        }
        let certificates = parts.extensions.get::<ClientCertificates>().cloned().unwrap_or_default();
        let text = token(&parts.headers)?;
        // What a client dials may be a gateway: the name that counts is the one in its token.
        let token = text.and_then(|text| Token::parse(text).ok());
        let credentials = Credentials {
            device_id: &device_id,
            module_id: None,
            host: token.as_ref().map(|token| token.resource().split('/').next().unwrap_or_default()),
            token: text,
            certificates: &certificates.0,
            model_id: None,
        };
        let judge = || {
            let now = u64::try_from(clock::now().unix_seconds()).unwrap_or_default();
            admit(&credentials, api.directory.as_ref(), &api.host_names, now)
        };
        let judged = match judge() {
            // Another node may know more: a device that was created a moment ago gets in.
            Err(Refused { kind: RefusedKind::Unknown, .. }) => {
                api.commands.refresh().await?;
                judge()
            }
            judged => judged,
        };
        judged.map(Self).map_err(|_| Refusal(HubError::UNAUTHORIZED))
    }
}

/// A parameter of the path, decoded.
pub(super) async fn parameter(parts: &mut Parts, api: &DeviceApi, name: &'static str) -> Result<String, Refusal> {
    let malformed = || Refusal(HubError::ARGUMENT.because("the path does not decode to UTF-8"));
    let parameters = RawPathParams::from_request_parts(parts, api).await.map_err(|_| malformed())?;
    let found = parameters.iter().find(|(key, _)| *key == name);
    found.map(|(_, value)| value.to_owned()).ok_or_else(malformed)
}

/// The token, where there is one. Two of them, or one that is no text, are none to guess about.
fn token(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).into_iter();
    let Some(value) = values.next() else { return Ok(None) };
    let is_only = values.next().is_none();
    let text = value.to_str().ok().filter(|_| is_only);
    text.map(Some).ok_or(Refusal(HubError::UNAUTHORIZED))
}
