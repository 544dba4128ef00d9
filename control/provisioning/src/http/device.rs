//! What devices call.
//! - Source: Azure DPS device API: register, operation status, registration state.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use millrace_model::door::Registrant;
use millrace_protocols_identity::x509::ClientCertificates;

use super::ProvisioningApi;
use super::answer::{Body, Path, bytes, path};
use crate::error::Refused;
use crate::provisioner::Reply;

/// The client's certificate, if the door saw one.
type Certificates = Option<Extension<ClientCertificates>>;

pub(super) async fn register(
    State(api): State<ProvisioningApi>,
    place: Path<(String, String)>,
    headers: HeaderMap,
    certificates: Certificates,
    body: Body,
) -> Result<Reply, Refused> {
    let (scope, id) = path(place)?;
    let who = registrant(&scope, &id, &headers, certificates);
    let body = bytes(body)?;
    if who.token.is_none() && who.certificates.is_empty() {
        // A TPM begins without any proof.
        return api.provisioner.challenge(&who, &body).await;
    }
    api.provisioner.register(&who, &body).await
}

pub(super) async fn operation(
    State(api): State<ProvisioningApi>,
    place: Path<(String, String, String)>,
    headers: HeaderMap,
    certificates: Certificates,
) -> Result<Reply, Refused> {
    let (scope, id, operation) = path(place)?;
    let who = registrant(&scope, &id, &headers, certificates);
    api.provisioner.operation(&who, &operation).await
}

pub(super) async fn state(
    State(api): State<ProvisioningApi>,
    place: Path<(String, String)>,
    headers: HeaderMap,
    certificates: Certificates,
) -> Result<Reply, Refused> {
    let (scope, id) = path(place)?;
    let who = registrant(&scope, &id, &headers, certificates);
    api.provisioner.state(&who).await
}

fn registrant(scope: &str, id: &str, headers: &HeaderMap, certificates: Certificates) -> Registrant {
    let token = headers.get(header::AUTHORIZATION).and_then(|token| token.to_str().ok());
    Registrant {
        id_scope: scope.into(),
        registration_id: id.into(),
        token: token.map(Into::into),
        certificates: certificates.map(|Extension(certificates)| certificates.0).unwrap_or_default(),
    }
}
