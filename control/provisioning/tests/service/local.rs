//! The program's own hub, with the real executor behind it.

use std::sync::Arc;

use millrace_control::{Control, Follower, Parts, Policies, RegistryConfig, RegistryDirectory, Settings};
use millrace_control_provisioning::enrollment::InitialTwin;
use millrace_control_provisioning::{CertificateBook, DeviceSpec, HubRegistry, LocalHub};
use millrace_control_store::registry::{Authentication, Expected, IdentityName, Status, Update};
use millrace_control_store::store::SqliteStore;
use millrace_model::door::{Intake, Submission, Submitted};
use serde_json::json;

use crate::harness::{Told, key};

/// Takes every message at once.
struct Taken;

impl Intake for Taken {
    fn submit(&self, _: Submission, done: Submitted) {
        done(Ok(()));
    }
}

async fn executor(dir: &std::path::Path) -> Control {
    let store = Arc::new(SqliteStore::open(dir).await.unwrap());
    let directory = Arc::new(RegistryDirectory::new(1_000, Arc::new(Policies::open(dir).unwrap())));
    let follower = Follower::start(store.clone(), Arc::clone(&directory), &RegistryConfig::default()).await.unwrap();
    let parts = Parts {
        store: store.clone(),
        documents: store,
        directory,
        follower,
        doors: Arc::new(Told::default()),
        intake: Arc::new(Taken),
        on_change: Box::new(|_| {}),
    };
    Control::start(Settings { hub_name: "own".to_owned(), ..Settings::default() }, parts).await.unwrap()
}

fn device(authentication: Authentication) -> DeviceSpec {
    DeviceSpec { device_id: "d1".to_owned(), authentication, iot_edge: Some(true) }
}

#[tokio::test]
async fn devices_are_put_moved_and_deleted_again_and_again() {
    let dir = tempfile::tempdir().unwrap();
    let control = executor(dir.path()).await;
    let hub = LocalHub::new(control.clone());
    let name = IdentityName::new("d1", None).unwrap();
    assert!(hub.twin("d1").await.unwrap().is_none());
    let keyed = device(Authentication::Sas { primary: key(), secondary: key() });
    hub.put_device(&keyed).await.unwrap();
    let twin: InitialTwin =
        serde_json::from_value(json!({"tags": {"site": "A"}, "properties": {"desired": {"interval": 5}}})).unwrap();
    hub.replace_twin("d1", &twin).await.unwrap();
    assert_eq!(hub.twin("d1").await.unwrap().unwrap(), twin);

    let disabled = Update { status: Some(Status::Disabled), ..Update::default() };
    let before = control.update(&name, Expected::Any, disabled).await.unwrap();
    hub.put_device(&keyed).await.unwrap();
    assert_eq!(control.identity(&name).await.unwrap().etag, before.etag, "what is as it is to be is not written");
    hub.put_device(&device(Authentication::CertificateAuthority)).await.unwrap();
    let found = control.identity(&name).await.unwrap();
    assert!(matches!(found.authentication, Authentication::CertificateAuthority) && found.capabilities_iot_edge);
    assert_eq!(found.status, Status::Disabled, "what an operator has set stays");

    for _ in 0..2 {
        hub.delete_device("d1").await.unwrap();
    }
    assert!(control.identity(&name).await.is_err());
    assert!(hub.put_device(&DeviceSpec { device_id: "a/b".to_owned(), ..keyed }).await.is_err());
    assert!(hub.verified_certificate("nobody").is_none());
    control.shutdown().await;
}
