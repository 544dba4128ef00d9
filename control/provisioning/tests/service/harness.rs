//! A service with a store in a directory of its own, served over plain HTTP, and hubs that are kept in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, put};
use axum::{Extension, Json, Router};
use millrace_control::policies::{PROVISIONING_OWNER, Policies};
use millrace_control_provisioning::enrollment::InitialTwin;
use millrace_control_provisioning::hub::PendingHub;
use millrace_control_provisioning::{
    CertificateBook, DeviceSpec, HubRegistry, LinkedHubConfig, Provisioner, ProvisioningApi, ProvisioningConfig,
    Surroundings,
};
use millrace_control_store::clock;
use millrace_control_store::registry::Authentication;
use millrace_control_store::store::SqliteStore;
use millrace_model::HubError;
use millrace_model::door::{Doors, Full, SessionKey, ToDevice};
use millrace_protocols_identity::x509::ClientCertificates;
use millrace_protocols_identity::{Key, sas};
use reqwest::{Client, Method, StatusCode as Status};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

pub(crate) const SCOPE: &str = "0neTEST0001";
pub(crate) const OWN_HUB: &str = "own.example.net";
pub(crate) const KEY: &str = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";

/// A hub in memory: devices with their twins.
#[derive(Default)]
pub(crate) struct MemoryHub {
    pub(crate) devices: Mutex<BTreeMap<String, (Authentication, InitialTwin)>>,
    /// Calls that fail before one succeeds.
    pub(crate) failures: Mutex<u32>,
    /// Calls wait while somebody holds this.
    pub(crate) held: tokio::sync::RwLock<()>,
}

impl MemoryHub {
    async fn enter(&self) -> Result<(), HubError> {
        let _open = self.held.read().await;
        let mut failures = self.failures.lock().unwrap();
        if *failures == 0 {
            return Ok(());
        }
        *failures -= 1;
        Err(HubError::UNAVAILABLE)
    }

    pub(crate) fn twin_of(&self, id: &str) -> Option<InitialTwin> {
        self.devices.lock().unwrap().get(id).map(|(_, twin)| twin.clone())
    }
}

impl HubRegistry for MemoryHub {
    fn put_device<'a>(&'a self, device: &'a DeviceSpec) -> PendingHub<'a, ()> {
        Box::pin(async move {
            self.enter().await?;
            let mut devices = self.devices.lock().unwrap();
            let entry = devices.entry(device.device_id.clone()).or_default();
            entry.0 = device.authentication.clone();
            Ok(())
        })
    }

    fn twin<'a>(&'a self, device_id: &'a str) -> PendingHub<'a, Option<InitialTwin>> {
        Box::pin(async move { self.enter().await.map(|()| self.twin_of(device_id)) })
    }

    fn replace_twin<'a>(&'a self, device_id: &'a str, twin: &'a InitialTwin) -> PendingHub<'a, ()> {
        Box::pin(async move {
            self.enter().await?;
            let mut devices = self.devices.lock().unwrap();
            devices.get_mut(device_id).ok_or(HubError::DEVICE_NOT_FOUND)?.1 = twin.clone();
            Ok(())
        })
    }

    fn delete_device<'a>(&'a self, device_id: &'a str) -> PendingHub<'a, ()> {
        Box::pin(async move {
            self.enter().await?;
            self.devices.lock().unwrap().remove(device_id);
            Ok(())
        })
    }
}

/// Another hub behind its REST API; ends when dropped.
pub(crate) struct RemoteHub {
    pub(crate) devices: Arc<Mutex<BTreeMap<String, Value>>>,
    url: String,
    host_name: String,
    task: JoinHandle<()>,
}

impl Drop for RemoteHub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Devices = Arc<Mutex<BTreeMap<String, Value>>>;

fn is_authorized(headers: &HeaderMap) -> bool {
    let text = headers.get("authorization").and_then(|text| text.to_str().ok()).unwrap_or_default();
    let key = Key::from_base64(KEY).unwrap();
    let token = millrace_protocols_identity::Token::parse(text);
    token.is_ok_and(|token| token.policy() == Some("registryReadWrite") && token.verify(&[&key], 0, 0).is_ok())
}

impl RemoteHub {
    pub(crate) async fn start(host_name: &str) -> Self {
        let devices = Devices::default();
        let device = put(put_device).delete(delete_device);
        let router = Router::new()
            .route("/devices/{id}", device)
            .route("/twins/{id}", get(read_twin).put(write_twin))
            .with_state(Arc::clone(&devices));
        let (url, task) = serve(router).await;
        Self { devices, url, host_name: host_name.to_owned(), task }
    }

    pub(crate) fn config(&self) -> LinkedHubConfig {
        let connection =
            format!("HostName={};SharedAccessKeyName=registryReadWrite;SharedAccessKey={KEY}", self.host_name);
        LinkedHubConfig {
            connection_string: Some(connection),
            service_url: Some(self.url.clone()),
            ..LinkedHubConfig::default()
        }
    }

    pub(crate) fn device(&self, id: &str) -> Option<Value> {
        self.devices.lock().unwrap().get(id).cloned()
    }
}

async fn put_device(
    State(devices): State<Devices>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> StatusCode {
    if !is_authorized(&headers) {
        return StatusCode::UNAUTHORIZED;
    }
    let mut devices = devices.lock().unwrap();
    match (devices.get_mut(&id), headers.contains_key("if-match")) {
        (Some(_), false) => return StatusCode::CONFLICT,
        (None, true) => return StatusCode::NOT_FOUND,
        (Some(device), true) => device["device"] = body,
        (None, false) => drop(devices.insert(id, json!({"device": body}))),
    }
    StatusCode::OK
}

async fn delete_device(State(devices): State<Devices>, Path(id): Path<String>, headers: HeaderMap) -> StatusCode {
    assert!(is_authorized(&headers));
    if devices.lock().unwrap().remove(&id).is_some() { StatusCode::NO_CONTENT } else { StatusCode::NOT_FOUND }
}

async fn read_twin(State(devices): State<Devices>, Path(id): Path<String>) -> (StatusCode, Json<Value>) {
    let Some(device) = devices.lock().unwrap().get(&id).cloned() else {
        return (StatusCode::NOT_FOUND, Json(Value::Null));
    };
    let mut desired = device.pointer("/twin/properties/desired").cloned().unwrap_or_else(|| json!({}));
    desired["$version"] = json!(7);
    desired["$metadata"] = json!({"$lastUpdated": "2024-05-01T10:00:00Z"});
    let tags = device.pointer("/twin/tags").cloned().unwrap_or_else(|| json!({}));
    (StatusCode::OK, Json(json!({"deviceId": id, "tags": tags, "properties": {"desired": desired, "reported": {}}})))
}

async fn write_twin(State(devices): State<Devices>, Path(id): Path<String>, Json(body): Json<Value>) -> StatusCode {
    match devices.lock().unwrap().get_mut(&id) {
        Some(device) => device["twin"] = body,
        None => return StatusCode::NOT_FOUND,
    }
    StatusCode::OK
}

/// Serves routes on a free port.
pub(crate) async fn serve(router: Router) -> (String, JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (url, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}

/// Sessions that note what they are told.
#[derive(Default)]
pub(crate) struct Told(Mutex<Vec<(SessionKey, ToDevice)>>);

impl Doors for Told {
    fn tell(&self, session: SessionKey, what: ToDevice) -> Result<(), Full> {
        self.0.lock().unwrap().push((session, what));
        Ok(())
    }
}

impl Told {
    /// What was told next, as soon as it is told.
    pub(crate) async fn next(&self) -> (SessionKey, ToDevice) {
        let found = || {
            let mut told = self.0.lock().unwrap();
            (!told.is_empty()).then(|| told.remove(0))
        };
        eventually(found).await
    }
}

/// Waits until there is something.
pub(crate) async fn eventually<T>(mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < deadline, "it never came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The hub's authorities.
#[derive(Default)]
pub(crate) struct Book(pub(crate) BTreeMap<String, Vec<u8>>);

impl CertificateBook for Book {
    fn verified_certificate(&self, name: &str) -> Option<Vec<u8>> {
        self.0.get(name).cloned()
    }

    fn revocation_lists(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn revision(&self) -> u64 {
        1
    }
}

/// A running service; ends when dropped.
pub(crate) struct Service {
    pub(crate) provisioner: Provisioner,
    pub(crate) hub: Arc<MemoryHub>,
    pub(crate) told: Arc<Told>,
    pub(crate) policies: Arc<Policies>,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) url: String,
    dir: tempfile::TempDir,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Settings under which tests need not wait.
pub(crate) fn config() -> ProvisioningConfig {
    ProvisioningConfig {
        id_scope: Some(SCOPE.to_owned()),
        retry_after_seconds: 1,
        polls_per_ten_seconds: 1_000,
        registrations_per_minute: 100_000,
        ..ProvisioningConfig::default()
    }
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::with(config()).await
    }

    pub(crate) async fn with(config: ProvisioningConfig) -> Self {
        Self::open(tempfile::tempdir().unwrap(), config, Book::default(), Arc::default()).await
    }

    pub(crate) async fn open(
        dir: tempfile::TempDir,
        config: ProvisioningConfig,
        book: Book,
        hub: Arc<MemoryHub>,
    ) -> Self {
        assert_eq!(config.validate(), Vec::<String>::new());
        let (store, told) = (Arc::new(SqliteStore::open(dir.path()).await.unwrap()), Arc::new(Told::default()));
        let surroundings = Surroundings {
            documents: store.clone(),
            doors: told.clone(),
            book: Arc::new(book),
            host_name: OWN_HUB.to_owned(),
            registry: hub.clone(),
        };
        let provisioner = Provisioner::start(config, surroundings).await.unwrap();
        let policies = Arc::new(Policies::open_provisioning(dir.path()).unwrap());
        let api = ProvisioningApi { provisioner: provisioner.clone(), policies: Arc::clone(&policies) };
        let (url, task) = serve(api.router()).await;
        Self { provisioner, hub, told, policies, store, url, dir, tasks: vec![task] }
    }

    /// Ends the program and starts it again on the same data.
    pub(crate) async fn restart(mut self, config: ProvisioningConfig) -> Self {
        self.provisioner.shutdown().await;
        let dir = std::mem::replace(&mut self.dir, tempfile::tempdir().unwrap());
        Self::open(dir, config, Book::default(), Arc::clone(&self.hub)).await
    }

    /// The same routes for a client that has shown a certificate.
    pub(crate) async fn with_certificates(&mut self, chain: Vec<Vec<u8>>) -> String {
        let api = ProvisioningApi { provisioner: self.provisioner.clone(), policies: Arc::clone(&self.policies) };
        let (url, task) = serve(api.router().layer(Extension(ClientCertificates(chain.into())))).await;
        self.tasks.push(task);
        url
    }

    /// A call of the service API by its owner. With `If-Match` behind a space in `path`.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        if_match: Option<&str>,
        body: &Value,
    ) -> (Status, Value) {
        let host = self.url.trim_start_matches("http://");
        let key = &self.policies.find(PROVISIONING_OWNER).unwrap().keys[0];
        let token = sas::sign(host, key, in_an_hour(), Some(PROVISIONING_OWNER));
        let headers = if_match.map(|etag| ("if-match", etag));
        let (status, _, body) = send(&format!("{}{path}", self.url), method, Some(&token), headers, body).await;
        (status, body)
    }

    /// Enrolls, which must succeed.
    pub(crate) async fn enroll(&self, body: Value) -> Value {
        let (kind, id) = match body["registrationId"].as_str() {
            Some(id) => ("enrollments", id),
            None => ("enrollmentGroups", body["enrollmentGroupId"].as_str().unwrap()),
        };
        let path = format!("/{kind}/{id}?api-version=2021-10-01");
        let (status, answer) = self.call(Method::PUT, &path, None, &body).await;
        assert_eq!(status, Status::OK, "{answer}");
        answer
    }

    /// An enrollment that a device with [`KEY`] fulfils.
    pub(crate) async fn enroll_key(&self, id: &str, more: Value) -> Value {
        let mut body = json!({"registrationId": id, "attestation": {"type": "symmetricKey",
            "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}}});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.enroll(body).await
    }

    /// One request of a device.
    pub(crate) async fn device(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: &Value,
    ) -> (Status, HeaderMap, Value) {
        send(&format!("{}/{SCOPE}/registrations/{path}", self.url), method, token, None, body).await
    }

    /// Registers as Node does, until there is an outcome.
    pub(crate) async fn register(&self, id: &str, token: &str, body: &Value) -> Value {
        register_at(&self.url, id, Some(token), body).await
    }
}

/// Registers at a service, until there is an outcome.
pub(crate) async fn register_at(url: &str, id: &str, token: Option<&str>, body: &Value) -> Value {
    let base = format!("{url}/{SCOPE}/registrations/{id}");
    let register = format!("{base}/register?api-version=2019-03-31");
    let (status, headers, begun) = send(&register, Method::PUT, token, None, body).await;
    assert_eq!(status, Status::ACCEPTED, "{begun}");
    assert_eq!((&begun["status"], headers["retry-after"].to_str().unwrap()), (&json!("assigning"), "1"));
    finish_at(&base, begun["operationId"].as_str().unwrap(), token).await
}

/// Polls an operation until there is an outcome.
pub(crate) async fn finish_at(base: &str, operation: &str, token: Option<&str>) -> Value {
    let poll = format!("{base}/operations/{operation}?api-version=2019-03-31");
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let (status, _, answer) = send(&poll, Method::GET, token, None, &Value::Null).await;
        if status == Status::OK {
            return answer;
        }
        assert_eq!(status, Status::ACCEPTED, "{answer}");
        assert!(Instant::now() < deadline, "the assignment does not end");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One client for all, because making one takes long; each test has a runtime of its own, so that no connection outlives its request.
fn client() -> &'static Client {
    static CLIENT: OnceLock<Client> = OnceLock::new();
    CLIENT.get_or_init(|| Client::builder().pool_max_idle_per_host(0).build().unwrap())
}

pub(crate) async fn send(
    url: &str,
    method: Method,
    token: Option<&str>,
    header: Option<(&str, &str)>,
    body: &Value,
) -> (Status, HeaderMap, Value) {
    let mut request = client().request(method, url);
    for (name, value) in token.map(|token| ("authorization", token)).into_iter().chain(header) {
        request = request.header(name, value);
    }
    if !body.is_null() {
        request = request.body(body.to_string());
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    (status, headers, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or_default())
}

/// The token of a device, as Node makes it.
pub(crate) fn token(id: &str, key: &Key) -> String {
    sas::sign(&format!("{SCOPE}/registrations/{id}"), key, in_an_hour(), Some("registration"))
}

pub(crate) fn key() -> Key {
    Key::from_base64(KEY).unwrap()
}

pub(crate) fn in_an_hour() -> u64 {
    u64::try_from(clock::now().unix_seconds()).unwrap() + 3_600
}
