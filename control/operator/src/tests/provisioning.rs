//! Enrollments over the provisioning service itself, and a device that registers with what an operator gave it.

use std::sync::Arc;

use millrace_control::policies::Policies;
use millrace_control_provisioning::{
    CertificateBook, LocalHub, Provisioner, ProvisioningApi, ProvisioningConfig, Surroundings,
};
use millrace_control_rest::testing::{HOST, Served, serve};
use millrace_control_store::clock;
use millrace_model::door::{Doors, Full, SessionKey, ToDevice};
use millrace_protocols_identity::{Key, sas};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{KEY, run, written};
use crate::{OperatorError, host_name};

const SCOPE: &str = "0neTEST0001";

struct NoDoors;

impl Doors for NoDoors {
    fn tell(&self, _: SessionKey, _: ToDevice) -> Result<(), Full> {
        Ok(())
    }
}

struct NoAuthorities;

impl CertificateBook for NoAuthorities {
    fn verified_certificate(&self, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn revocation_lists(&self) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn revision(&self) -> u64 {
        1
    }
}

/// A provisioning service beside a hub; ends when dropped.
struct Service {
    served: Served,
    url: String,
    task: JoinHandle<()>,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Service {
    async fn start() -> Self {
        let served = serve().await;
        let control = &served.state.control;
        let surroundings = Surroundings {
            documents: Arc::clone(control.documents()),
            doors: Arc::new(NoDoors),
            book: Arc::new(NoAuthorities),
            host_name: HOST.to_owned(),
            registry: Arc::new(LocalHub::new(control.clone())),
        };
        let config = ProvisioningConfig { id_scope: Some(SCOPE.to_owned()), ..ProvisioningConfig::default() };
        let provisioner = Provisioner::start(config, surroundings).await.unwrap();
        let policies = Arc::new(Policies::open_provisioning(served.directory()).unwrap());
        let router = ProvisioningApi { provisioner, policies }.router();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        host_name::announce(served.directory(), HOST, address).unwrap();
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { served, url: format!("http://{address}"), task }
    }

    async fn try_run(&self, arguments: &[&str]) -> Result<String, OperatorError> {
        let place = ["--data-dir", self.served.directory().to_str().unwrap()];
        let shown = run(&[arguments, &place].concat(), None, "").await?;
        Ok(written(shown, arguments.contains(&"--json")).0)
    }

    async fn run(&self, arguments: &[&str]) -> String {
        self.try_run(arguments).await.unwrap()
    }

    /// Registers as a device that has this key.
    async fn register(&self, id: &str, key: &str) -> u16 {
        let resource = format!("{SCOPE}/registrations/{id}");
        let expiry = u64::try_from(clock::now().unix_seconds() + 60).unwrap();
        let token = sas::sign(&sas::encode(&resource), &Key::from_base64(key).unwrap(), expiry, Some("registration"));
        let call = reqwest::Client::new().put(format!("{}/{resource}/register?api-version=1", self.url));
        let body = json!({ "registrationId": id }).to_string();
        call.header("authorization", token).body(body).send().await.unwrap().status().as_u16()
    }
}

#[tokio::test]
async fn an_enrollment_lives_and_dies() {
    let service = Service::start().await;
    let create =
        ["enrollment", "create", "r1", "--key", KEY, "--device-id", "d1", "--tags", r#"{"x":1}"#, "--edge-enabled"];
    assert_eq!(service.run(&create).await, "r1\tenabled\tsymmetricKey\td1\t\t\n");
    let taken = service.try_run(&create).await.unwrap_err();
    assert!(matches!(taken, OperatorError::Refused { status: 409, .. }), "{taken:?}");
    let shown: Value = serde_json::from_str(&service.run(&["enrollment", "show", "r1"]).await).unwrap();
    assert_eq!((&shown["initialTwin"]["tags"], &shown["capabilities"]), (&json!({"x": 1}), &json!({"iotEdge": true})));
    assert!(!shown.to_string().contains("symmetricKey\":{"), "{shown}");
    assert_eq!(service.run(&["enrollment", "show-keys", "r1"]).await.trim(), KEY);
    assert_eq!(service.run(&["enrollment", "disable", "r1"]).await, "r1\tdisabled\tsymmetricKey\td1\t\t\n");
    assert_eq!(service.register("r1", KEY).await, 401);
    assert_eq!(service.run(&["enrollment", "enable", "r1"]).await, "r1\tenabled\tsymmetricKey\td1\t\t\n");
    assert_eq!(service.run(&["enrollment", "show-keys", "r1"]).await.trim(), KEY, "changes leave the keys alone");
    service.run(&["enrollment", "create", "r2"]).await;
    assert_eq!(service.run(&["enrollment", "list"]).await.lines().count(), 2);
    service.run(&["enrollment", "delete", "r1"]).await;
    let gone = service.try_run(&["enrollment", "show", "r1"]).await.unwrap_err();
    assert!(matches!(gone, OperatorError::Refused { status: 404, .. }), "{gone:?}");
}

#[tokio::test]
async fn a_device_registers_with_a_derived_key() {
    let service = Service::start().await;
    service.run(&["enrollment", "group", "create", "line-7", "--desired", r#"{"interval":5}"#]).await;
    let key = service.run(&["enrollment", "derive-key", "pump-7", "--group", "line-7"]).await;
    assert_ne!(key, service.run(&["enrollment", "group", "show-keys", "line-7"]).await);
    assert_eq!(service.register("pump-7", KEY).await, 401);
    assert_eq!(service.register("pump-7", key.trim()).await, 202);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let mut registered = String::new();
    while !registered.starts_with("pump-7\tassigned\thub.example.net\tpump-7\t") {
        assert!(std::time::Instant::now() < deadline, "{registered}");
        registered = service.run(&["enrollment", "registration", "list", "line-7"]).await;
    }
    assert!(service.run(&["enrollment", "registration", "show", "pump-7"]).await.starts_with("pump-7\tassigned"));
    let string = service.run(&["device", "connection-string", "pump-7"]).await;
    assert!(string.trim().ends_with(&format!("SharedAccessKey={}", key.trim())), "it connects with the same key");
    service.run(&["enrollment", "registration", "delete", "pump-7"]).await;
    assert_eq!(service.run(&["enrollment", "registration", "list", "line-7"]).await, "");
}
