//! The HTTP client for webhooks and other hubs.
//! - Invariants: no redirect is followed, no proxy of the environment is used, nothing is read past a bound.
//! - Errors: [`CallError`], which shows neither the body nor a token.

use std::path::Path;
use std::time::Duration;

use reqwest::{Certificate, Client, RequestBuilder, StatusCode};

use crate::error::StartError;

/// Largest file of authorities.
const CA_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// Nobody answered, or not in time.
    #[error("no answer: {source}")]
    NoAnswer {
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The answer does not end.
    #[error("the answer is too large")]
    TooLarge,
}

/// A client with a time limit for each call.
pub(crate) fn new(ca_file: Option<&Path>, timeout: Duration, https_only: bool) -> Result<Client, StartError> {
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(timeout)
        .connect_timeout(timeout)
        .pool_max_idle_per_host(8)
        .https_only(https_only);
    if let Some(path) = ca_file {
        builder = builder.tls_certs_merge(authorities(path)?);
    }
    builder.build().map_err(StartError::Client)
}

/// Sends a request and reads its answer up to `bytes_max`.
pub(crate) async fn call(request: RequestBuilder, bytes_max: usize) -> Result<(StatusCode, Vec<u8>), CallError> {
    let no_answer = |source: reqwest::Error| CallError::NoAnswer { source: source.without_url() };
    let mut response = request.send().await.map_err(no_answer)?;
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(no_answer)? {
        if body.len() + part.len() > bytes_max {
            return Err(CallError::TooLarge);
        }
        body.extend_from_slice(&part);
    }
    Ok((response.status(), body))
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, StartError> {
    let failed = || StartError::Certificates { path: path.to_owned() };
    let is_small = std::fs::metadata(path).is_ok_and(|file| file.len() <= CA_FILE_BYTES_MAX);
    let text = is_small.then(|| std::fs::read(path).ok()).flatten().ok_or_else(failed)?;
    Certificate::from_pem_bundle(&text).ok().filter(|found| !found.is_empty()).ok_or_else(failed)
}
