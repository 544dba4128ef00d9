//! A hub that answers what it was told to, and notes what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use millrace_control::policies::{OWNER, PROVISIONING_OWNER, Policies};
use millrace_control_rest::testing::HOST;
use millrace_model::HubError;
use millrace_protocols_identity::Token;
use serde_json::Value;

use super::{run, written};
use crate::{OperatorError, host_name};

/// What the hub was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// Method, path and query without the version: `GET /devices?top=5`.
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// An answer: status, headers, body.
pub(crate) type Told = (u16, Vec<(&'static str, &'static str)>, String);

#[derive(Clone, Default)]
struct Notes {
    asked: Arc<Mutex<Vec<Asked>>>,
    answers: Arc<Mutex<VecDeque<Told>>>,
}

/// A hub with a data directory. Ends when dropped.
pub(crate) struct Fake {
    notes: Notes,
    task: tokio::task::JoinHandle<()>,
    dir: tempfile::TempDir,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn ok(body: &Value) -> Told {
    (200, Vec::new(), body.to_string())
}

pub(crate) fn nothing() -> Told {
    (204, Vec::new(), String::new())
}

pub(crate) fn refused(error: &HubError) -> Told {
    (error.status, Vec::new(), error.body("0a", "2024-05-01T10:00:00Z"))
}

impl Fake {
    /// Will answer in this order.
    pub(crate) async fn telling(answers: Vec<Told>) -> Self {
        let notes = Notes { answers: Arc::new(Mutex::new(answers.into())), ..Notes::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        host_name::announce(dir.path(), HOST, listener.local_addr().unwrap()).unwrap();
        let router = Router::new().fallback(note).with_state(notes.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { notes, task, dir }
    }

    /// Runs a command on its data directory; answers standard output and standard error.
    pub(crate) async fn try_run(&self, arguments: &[&str], input: &str) -> Result<(String, String), OperatorError> {
        let at = ["--data-dir", self.dir.path().to_str().unwrap()];
        let outcomes = run(&[arguments, &at].concat(), None, input).await?;
        Ok(written(outcomes, arguments.contains(&"--json")))
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> (String, String) {
        self.try_run(arguments, "").await.unwrap()
    }

    /// All that was asked, each with a good token of the right policy.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let asked = std::mem::take(&mut *self.notes.asked.lock().unwrap());
        for Asked { line, headers, .. } in &asked {
            let is_provisioning = line.contains(" /enrollment") || line.contains(" /registrations");
            let (policies, name) = match is_provisioning {
                true => (Policies::open_provisioning(self.dir.path()), PROVISIONING_OWNER),
                false => (Policies::open(self.dir.path()), OWNER),
            };
            let policies = policies.unwrap();
            let [primary, secondary] = policies.find(name).unwrap().keys.as_ref();
            let token = Token::parse(headers["authorization"].to_str().unwrap()).unwrap();
            let now = u64::try_from(millrace_control_store::clock::now().unix_seconds()).unwrap();
            token.verify(&[primary, secondary], now, 0).unwrap();
            assert!(
                token.policy() == Some(name) && token.covers_path(headers["host"].to_str().unwrap(), &["devices", "x"]),
                "{line}"
            );
        }
        asked
    }

    /// The lines of all that was asked.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    /// The only thing that was asked.
    pub(crate) fn only(&self) -> Asked {
        let mut asked = self.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked.remove(0)
    }
}

impl Asked {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

async fn note(State(notes): State<Notes>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let query = uri.query().unwrap_or_default();
    assert!(query.starts_with("api-version=2021-04-12"), "{uri}");
    let query = query.split_once('&').map(|(_, rest)| format!("?{rest}")).unwrap_or_default();
    let line = format!("{method} {}{query}", uri.path());
    notes.asked.lock().unwrap().push(Asked { line, headers, body: body.to_vec() });
    let told = notes.answers.lock().unwrap().pop_front();
    let (status, headers, body) = told.unwrap_or_else(|| (500, Vec::new(), "nothing more to tell".to_owned()));
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}
