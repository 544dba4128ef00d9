//! One call of the REST API.

use std::time::Duration;

use millrace_protocols_identity::sas;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_MATCH};
use reqwest::{Body, Method};
use serde::Serialize;

use super::answer::Answer;
use super::{CONTINUATION, ServiceClient};
use crate::error::OperatorError;
use crate::limits::CALL_TIMEOUT;

const API_VERSION: &str = "api-version=2021-04-12";
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

/// A call that is to be sent.
#[derive(Debug)]
#[must_use = "a call does nothing until it is sent"]
pub struct Call<'a> {
    client: &'a ServiceClient,
    method: Method,
    url: String,
    headers: HeaderMap,
    body: Body,
    timeout: Duration,
    /// What is wrong with its parts; told when it is sent.
    problem: Option<OperatorError>,
}

impl<'a> Call<'a> {
    pub(super) fn new(client: &'a ServiceClient, method: Method, path: &str) -> Self {
        let url = format!("{}{path}?{API_VERSION}", client.base);
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, JSON)]);
        Self { client, method, url, headers, body: Body::default(), timeout: CALL_TIMEOUT, problem: None }
    }

    /// With a query parameter.
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.url = format!("{}&{name}={}", self.url, sas::encode(value));
        self
    }

    /// With a header, whose value may be any text on one line.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        match (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes())) {
            (Ok(name), Ok(value)) => drop(self.headers.insert(name, value)),
            _ => self.problem = Some(OperatorError::usage(format!("{name:?} and its value cannot be sent"))),
        }
        self
    }

    /// Only if what is changed has this etag; `*`: whatever it has.
    pub fn if_match(self, etag: &str) -> Self {
        self.header(IF_MATCH.as_str(), &format!("\"{}\"", etag.trim_matches('"')))
    }

    /// From there on, if there was a page before.
    pub fn continued(self, continuation: Option<&str>) -> Self {
        match continuation {
            Some(continuation) => self.header(CONTINUATION, continuation),
            None => self,
        }
    }

    /// With a JSON body.
    pub fn json(mut self, body: &impl Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.body = body.into(),
            Err(_) => self.problem = Some(OperatorError::usage("the body cannot be written as JSON")),
        }
        self
    }

    /// With a body of any bytes.
    pub fn bytes(mut self, body: Vec<u8>) -> Self {
        self.body = body.into();
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        self
    }

    /// May take so long.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sends it; the answer has one of the `accepted` statuses.
    ///
    /// # Errors
    /// When the hub cannot be reached, refuses, or answers too much.
    pub async fn send(self, accepted: &[u16]) -> Result<Answer, OperatorError> {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let mut token = HeaderValue::from_str(&self.client.token()?)
            .map_err(|_| OperatorError::usage("the token in the connection string cannot be sent"))?;
        token.set_sensitive(true);
        let request = self.client.http.request(self.method, self.url).headers(self.headers);
        let request = request.header(AUTHORIZATION, token).timeout(self.timeout).body(self.body);
        let response = request.send().await.map_err(|error| self.client.unreachable(error))?;
        Answer::read(response).await?.checked(accepted).map_err(|error| self.client.advised(error))
    }
}
