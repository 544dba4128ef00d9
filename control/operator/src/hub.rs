//! Looks after the registry of a running hub through its REST API.
//! - Invariants: no redirects, so that a token goes to the named host only. Tokens live five minutes.
//! - Limits: an answer has at most `RESPONSE_BODY_BYTES_MAX`; connecting may take 10 s, a call 60 s.
//! - Errors: an import is checked as a whole before anything is sent, but what the hub refuses of it (a device that exists)
//!   shows on the way: the hundreds before stay. An import into a data directory is all or nothing.

use std::fs;
use std::path::Path;
use std::time::Duration;

use millrace_protocols_identity::connection_string::Credential;
use millrace_protocols_identity::{ConnectionString, Key, sas};
use reqwest::{Certificate, Client, Method, RequestBuilder, StatusCode, header, redirect};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::import::{ImportReport, ImportRow, ImportRows, Problem};
use crate::limits::{BULK_IDENTITIES_MAX, IMPORT_ROWS_HELD_MAX, RESPONSE_BODY_BYTES_MAX};
use crate::{Device, Operator, OperatorError, Work};
use millrace_control_rest::CONTINUATION;
use millrace_control_rest::shape::{
    AuthenticationBody, BulkIdentity, BulkResult, IdentityBody, ImportMode, KeyText, StatusText, SymmetricKeyBody,
};
use millrace_control_store::clock;
use millrace_control_store::limits::PAGE_IDENTITIES_MAX;
use millrace_control_store::registry::{IdentityName, Status};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
const TOKEN_SECONDS: u64 = 300;
const API_VERSION: &str = "api-version=2021-04-12";

/// Works through a hub's admin listener.
#[derive(Debug)]
pub struct HubOperator {
    client: Client,
    base: String,
    service: ConnectionString,
}

impl HubOperator {
    /// Will speak to the hub at `url` with the key or token of `service`, trusting `ca` besides the system's authorities.
    ///
    /// # Errors
    /// When the URL is none or the certificate cannot be read.
    pub fn new(url: &str, service: ConnectionString, ca: Option<&Path>) -> Result<Self, OperatorError> {
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(OperatorError::Usage("--hub is not an http or https URL"));
        }
        let mut client =
            Client::builder().redirect(redirect::Policy::none()).connect_timeout(CONNECT_TIMEOUT).timeout(CALL_TIMEOUT);
        if let Some(path) = ca {
            let pem = fs::read(path).map_err(|source| OperatorError::File { path: path.to_owned(), source })?;
            let certificates = Certificate::from_pem_bundle(&pem);
            client = client.tls_certs_merge(certificates.map_err(|_| OperatorError::Usage("--ca is not PEM"))?);
        }
        let client = client.build().map_err(OperatorError::Unreachable)?;
        Ok(Self { client, base: url.trim_end_matches('/').to_owned(), service })
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder, OperatorError> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let url = format!("{}{path}{separator}{API_VERSION}", self.base);
        let token = self.token()?;
        let mut token =
            header::HeaderValue::from_str(&token).map_err(|_| OperatorError::Usage("the token is not text"))?;
        token.set_sensitive(true);
        Ok(self.client.request(method, url).header(header::AUTHORIZATION, token))
    }

    fn token(&self) -> Result<Zeroizing<String>, OperatorError> {
        match &self.service.credential {
            Credential::Key(key) => {
                let now = u64::try_from(clock::now().unix_seconds()).unwrap_or_default();
                let expiry = now.saturating_add(TOKEN_SECONDS);
                let host = sas::encode(&self.service.host_name);
                Ok(Zeroizing::new(sas::sign(&host, key, expiry, self.service.policy.as_deref())))
            }
            Credential::Token(token) => Ok(Zeroizing::new(token.expose().to_owned())),
            Credential::Certificate => Err(OperatorError::Usage("a service connection string needs a key or a token")),
        }
    }

    async fn create(&self, name: &IdentityName, key: Option<Key>) -> Result<Device, OperatorError> {
        let body = body_of(name, key.as_ref(), None);
        self.device(self.request(Method::PUT, &path_of(name)?)?.body(json(&body)?)).await
    }

    async fn list(&self, after: Option<&str>, count: usize) -> Result<Vec<Device>, OperatorError> {
        let count = count.clamp(1, PAGE_IDENTITIES_MAX);
        let mut request = self.request(Method::GET, &format!("/devices?top={count}"))?;
        if let Some(after) = after {
            request = request.header(CONTINUATION, after);
        }
        let bodies: Vec<IdentityBody> = read(send(request).await?, &[StatusCode::OK]).await?;
        Ok(bodies.into_iter().map(Device::from).collect())
    }

    async fn set_status(
        &self,
        name: &IdentityName,
        status: Status,
        reason: Option<String>,
    ) -> Result<Device, OperatorError> {
        let mut body = body_of(name, None, Some(status.into()));
        body.status_reason = Some(reason.unwrap_or_default());
        let request = self.request(Method::PUT, &path_of(name)?)?.header(header::IF_MATCH, "\"*\"");
        self.device(request.body(json(&body)?)).await
    }

    async fn delete(&self, name: &IdentityName) -> Result<(), OperatorError> {
        let request = self.request(Method::DELETE, &path_of(name)?)?.header(header::IF_MATCH, "\"*\"");
        let response = send(request).await?;
        if response.status() == StatusCode::NO_CONTENT { Ok(()) } else { Err(refusal(response).await) }
    }

    async fn device(&self, request: RequestBuilder) -> Result<Device, OperatorError> {
        let body: IdentityBody = read(send(request).await?, &[StatusCode::OK]).await?;
        Ok(Device::from(body))
    }

    async fn import(
        &self,
        mut rows: ImportRows<'_>,
        skip_bad: bool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<ImportReport, OperatorError> {
        let mut report = ImportReport::default();
        let mut good = Vec::new();
        while let Some(row) = rows.next_row()? {
            match row {
                Ok(row) => good.push(row),
                Err(bad) => report.add_bad(bad.line, bad.problem),
            }
            if good.len() > IMPORT_ROWS_HELD_MAX {
                return Err(OperatorError::Usage("through --hub an import has at most 1,000,000 lines"));
            }
        }
        for hundred in good.chunks(BULK_IDENTITIES_MAX) {
            if report.bad > 0 && !skip_bad {
                break;
            }
            self.import_some(hundred, &mut report).await?;
            progress(hundred.last().map_or(0, |row| row.line));
        }
        Ok(report.sorted())
    }

    async fn import_some(&self, rows: &[ImportRow], report: &mut ImportReport) -> Result<(), OperatorError> {
        let identities: Vec<BulkIdentity> = rows
            .iter()
            .map(|row| BulkIdentity {
                id: row.name.device_id().to_owned(),
                import_mode: ImportMode::Create,
                body: body_of(&row.name, Some(&row.key), None),
                ..BulkIdentity::default()
            })
            .collect();
        let response = send(self.request(Method::POST, "/devices")?.body(json(&identities)?)).await?;
        let result: BulkResult = read(response, &[StatusCode::OK, StatusCode::BAD_REQUEST]).await?;
        let created = rows.len().saturating_sub(result.errors.len());
        report.created = report.created.saturating_add(u64::try_from(created).unwrap_or(u64::MAX));
        let mut blamed = vec![false; rows.len()];
        for error in result.errors {
            let problem = if error.error_code == 409_001 { Problem::Exists } else { Problem::Refused };
            // Of equal ids the first one went in: blame from the end.
            let is_it = |(row, blamed): &(&ImportRow, &mut bool)| row.name.device_id() == error.device_id && !**blamed;
            let found = rows.iter().zip(blamed.iter_mut()).rev().find(is_it);
            let (row, blamed) = found.ok_or(OperatorError::Answer)?;
            *blamed = true;
            report.add_bad(row.line, problem);
        }
        Ok(())
    }
}

impl Operator for HubOperator {
    fn create<'a>(&'a self, name: &'a IdentityName, key: Option<Key>) -> Work<'a, Device> {
        Box::pin(self.create(name, key))
    }

    fn list<'a>(&'a self, after: Option<&'a str>, count: usize) -> Work<'a, Vec<Device>> {
        Box::pin(self.list(after, count))
    }

    fn show<'a>(&'a self, name: &'a IdentityName) -> Work<'a, Device> {
        Box::pin(async move { self.device(self.request(Method::GET, &path_of(name)?)?).await })
    }

    fn set_status<'a>(&'a self, name: &'a IdentityName, status: Status, reason: Option<String>) -> Work<'a, Device> {
        Box::pin(self.set_status(name, status, reason))
    }

    fn delete<'a>(&'a self, name: &'a IdentityName) -> Work<'a, ()> {
        Box::pin(self.delete(name))
    }

    fn import<'a>(
        &'a self,
        rows: ImportRows<'a>,
        skip_bad: bool,
        progress: &'a mut dyn FnMut(u64),
    ) -> Work<'a, ImportReport> {
        Box::pin(self.import(rows, skip_bad, progress))
    }
}

impl From<IdentityBody> for Device {
    fn from(body: IdentityBody) -> Self {
        let keys = body.authentication.as_ref().and_then(|authentication| authentication.symmetric_key.as_ref());
        let primary = keys.and_then(|keys| keys.primary_key.as_ref());
        Self {
            enabled: !matches!(body.status, Some(StatusText::Disabled)),
            status_reason: body.status_reason.filter(|reason| !reason.is_empty()),
            generation_id: body.generation_id.unwrap_or_default(),
            status_updated_time: body.status_updated_time.unwrap_or_default(),
            primary_key: primary.and_then(|text| Key::from_base64(&text.0).ok()),
            authentication: body.authentication.and_then(|authentication| authentication.kind).unwrap_or_default(),
            device_id: body.device_id,
            module_id: body.module_id,
        }
    }
}

fn body_of(name: &IdentityName, key: Option<&Key>, status: Option<StatusText>) -> IdentityBody {
    let authentication = key.map(|key| AuthenticationBody {
        kind: Some("sas".to_owned()),
        symmetric_key: Some(SymmetricKeyBody { primary_key: Some(KeyText(key.to_base64())), secondary_key: None }),
        x509_thumbprint: None,
    });
    IdentityBody {
        device_id: name.device_id().to_owned(),
        module_id: name.module_id().map(str::to_owned),
        status,
        authentication,
        ..IdentityBody::default()
    }
}

fn path_of(name: &IdentityName) -> Result<String, OperatorError> {
    // URLs fold these two away, encoded or not.
    let folded = |id: &str| id == "." || id == "..";
    if folded(name.device_id()) || name.module_id().is_some_and(folded) {
        return Err(OperatorError::Usage("an id of only dots cannot stand in a URL: use --data-dir"));
    }
    let device = sas::encode(name.device_id());
    Ok(match name.module_id() {
        Some(module) => format!("/devices/{device}/modules/{}", sas::encode(module)),
        None => format!("/devices/{device}"),
    })
}

fn json(body: &impl serde::Serialize) -> Result<String, OperatorError> {
    serde_json::to_string(body).map_err(|_| OperatorError::Answer)
}

async fn send(request: RequestBuilder) -> Result<reqwest::Response, OperatorError> {
    let request = request.header(header::CONTENT_TYPE, "application/json; charset=utf-8");
    request.send().await.map_err(OperatorError::Unreachable)
}

async fn read<T: DeserializeOwned>(
    mut response: reqwest::Response,
    accepted: &[StatusCode],
) -> Result<T, OperatorError> {
    let status = response.status();
    let body = bounded(&mut response).await?;
    if accepted.contains(&status) {
        if let Ok(value) = serde_json::from_slice(&body) {
            return Ok(value);
        }
        if status.is_success() {
            return Err(OperatorError::Answer);
        }
    }
    Err(refused(status, &body))
}

async fn refusal(mut response: reqwest::Response) -> OperatorError {
    match bounded(&mut response).await {
        Ok(body) => refused(response.status(), &body),
        Err(error) => error,
    }
}

fn refused(status: StatusCode, body: &[u8]) -> OperatorError {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let member = |name| body.get(name);
    let text = member("message").and_then(serde_json::Value::as_str).unwrap_or("no explanation");
    let code = member("errorCode").and_then(serde_json::Value::as_u64).unwrap_or_default();
    // What comes from outside goes to a terminal: no control characters, and not without end.
    let text = text.chars().filter(|character| !character.is_control()).take(300).collect();
    OperatorError::Refused { status: status.as_u16(), code, text }
}

async fn bounded(response: &mut reqwest::Response) -> Result<Zeroizing<Vec<u8>>, OperatorError> {
    let mut body = Zeroizing::new(Vec::new());
    while let Some(chunk) = response.chunk().await.map_err(OperatorError::Unreachable)? {
        if body.len().saturating_add(chunk.len()) > RESPONSE_BODY_BYTES_MAX {
            return Err(OperatorError::Answer);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
