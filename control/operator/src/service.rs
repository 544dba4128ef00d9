//! A client of a hub's service REST API.
//! - Source: Azure IoT Hub and DPS service REST APIs; routes of ours beside them are named where they are used.
//! - Invariants: no redirects, so that a token goes to the named host only. Tokens live five minutes and stand in no text of `Debug`.
//! - Limits: an answer has at most `ANSWER_BYTES_MAX`; connecting may take 10 s, a call 60 s unless it waits for a device.
//! - Errors: what the hub refuses, in its own words and with its code.

use std::fs;
use std::path::{Path, PathBuf};

use millrace_control_store::clock;
use millrace_protocols_identity::connection_string::Credential;
use millrace_protocols_identity::{ConnectionString, sas};
use reqwest::{Certificate, Client, Method, redirect};
use zeroize::Zeroizing;

use crate::error::OperatorError;
use crate::limits::{CALL_TIMEOUT, CONNECT_TIMEOUT, TOKEN_SECONDS};

mod answer;
mod call;
mod path;

pub use answer::Answer;
pub use call::Call;
pub(crate) use path::path;

/// Header of lists: where the next page begins.
pub(crate) const CONTINUATION: &str = "x-ms-continuation";

/// Which service of a hub is meant: each has policies of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    /// The hub itself.
    Hub,
    /// Its provisioning service.
    Provisioning,
}

/// Speaks to one hub.
#[derive(Debug)]
pub struct ServiceClient {
    http: Client,
    base: String,
    service: ConnectionString,
    audience: Audience,
    /// The data directory whose hub this is, for what is said when it does not answer.
    data_dir: Option<PathBuf>,
}

impl ServiceClient {
    /// Will speak to the hub at `url` with the key or token of `service`, trusting `ca` besides the system's authorities.
    ///
    /// # Errors
    /// When the URL is none or the certificate cannot be read.
    pub fn new(url: &str, service: ConnectionString, ca: Option<&Path>) -> Result<Self, OperatorError> {
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(OperatorError::usage("--hub is not an http or https URL"));
        }
        let mut http =
            Client::builder().redirect(redirect::Policy::none()).connect_timeout(CONNECT_TIMEOUT).timeout(CALL_TIMEOUT);
        if let Some(path) = ca {
            let pem = fs::read(path).map_err(|source| OperatorError::File { path: path.to_owned(), source })?;
            let certificates = Certificate::from_pem_bundle(&pem);
            http = http.tls_certs_merge(certificates.map_err(|_| OperatorError::usage("--ca is not PEM"))?);
        }
        let http = http.build().map_err(OperatorError::Unreachable)?;
        Ok(Self { http, base: url.trim_end_matches('/').to_owned(), service, audience: Audience::Hub, data_dir: None })
    }

    /// The same, for that service.
    #[must_use]
    pub(crate) fn of(mut self, audience: Audience) -> Self {
        self.audience = audience;
        self
    }

    /// The same, known to be the hub of a data directory.
    #[must_use]
    pub(crate) fn of_data_dir(mut self, data_dir: &Path) -> Self {
        self.data_dir = Some(data_dir.to_owned());
        self
    }

    /// A call that is to be sent; `path` begins with a slash and is encoded.
    pub fn call(&self, method: Method, path: &str) -> Call<'_> {
        Call::new(self, method, path)
    }

    /// `GET`
    pub(crate) fn get(&self, path: &str) -> Call<'_> {
        self.call(Method::GET, path)
    }

    /// `PUT`
    pub(crate) fn put(&self, path: &str) -> Call<'_> {
        self.call(Method::PUT, path)
    }

    /// `POST`
    pub(crate) fn post(&self, path: &str) -> Call<'_> {
        self.call(Method::POST, path)
    }

    /// `DELETE`
    pub(crate) fn delete(&self, path: &str) -> Call<'_> {
        self.call(Method::DELETE, path)
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
            Credential::Certificate => Err(OperatorError::usage("a service connection string needs a key or a token")),
        }
    }

    /// A refusal, with what the operator can do about it.
    fn advised(&self, error: OperatorError) -> OperatorError {
        let advice = match (&error, self.audience) {
            (OperatorError::Refused { status: 404, code: 0, .. }, Audience::Provisioning) => {
                "there is no provisioning service: is it enabled in the section [provisioning] of the hub's configuration?"
            }
            (OperatorError::Refused { status: 404, code: 0, .. }, Audience::Hub) => {
                "there is no such address: is this a hub, and as new as this program?"
            }
            (OperatorError::Refused { status: 401, .. }, Audience::Provisioning) if self.data_dir.is_none() => {
                "a connection string of the policy provisioningserviceowner is required"
            }
            _ => return error,
        };
        error.explained(advice)
    }

    /// What it means that the hub was not reached.
    fn unreachable(&self, error: reqwest::Error) -> OperatorError {
        match &self.data_dir {
            Some(data_dir) if error.is_connect() => OperatorError::NotRunning(data_dir.clone()),
            _ => OperatorError::Unreachable(error.without_url()),
        }
    }
}
