//! The registry as a service, and its lifecycle events: each at least once, whoever caused it and whatever happened since.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use millrace_control::Settings;
use millrace_control_store::registry::{Expected, Update};
use millrace_control_store::{SqliteStore, Store};
use millrace_model::{IdentityName, MessageSource};

use crate::harness::{Event, Hub, name, record};

const LIFECYCLE: MessageSource = MessageSource::DeviceLifecycleEvents;

fn operation(event: &Event) -> (&str, &str) {
    (event.properties["opType"].as_str(), event.device.as_str())
}

#[tokio::test]
async fn creations_and_deletions_are_announced() {
    let hub = Hub::new().await;
    let device = hub.create("d").await;
    let module = IdentityName::new("d", Some("m")).unwrap();
    let event = hub.event(LIFECYCLE).await;
    assert_eq!(operation(&event), ("createDeviceIdentity", "d"));
    assert_eq!(event.properties["iothub-message-schema"], "deviceLifecycleNotification");
    assert_eq!((&event.body["deviceId"], &event.body["version"]), (&"d".into(), &1.into()));
    assert_eq!(event.generation, record(&device).generation.to_string());
    hub.control.create(&record(&module)).await.unwrap();
    let event = hub.event(LIFECYCLE).await;
    assert_eq!((operation(&event), event.module.as_deref()), (("createModuleIdentity", "d"), Some("m")));
    hub.control.update(&device, Expected::Any, Update::default()).await.unwrap();
    hub.control
        .patch_twin(&device, None, &serde_json::json!({ "properties": { "desired": { "a": 1 } } }))
        .await
        .unwrap();
    hub.control.delete(&device, Expected::Any).await.unwrap();
    let mut gone = HashMap::new();
    for _ in 0..2 {
        let event = hub.event(LIFECYCLE).await;
        gone.insert(event.properties["opType"].clone(), event);
    }
    let event = &gone["deleteDeviceIdentity"];
    assert_eq!(event.body["properties"]["desired"]["a"], 1, "as it was");
    assert!(gone.contains_key("deleteModuleIdentity"));
}

#[tokio::test]
async fn what_another_process_does_is_announced_too() {
    let hub = Hub::new().await;
    let other: Arc<dyn Store> = Arc::new(SqliteStore::open(hub.dir.path()).await.unwrap());
    other.create(&record(&name("d"))).await.unwrap();
    assert_eq!(operation(&hub.event(LIFECYCLE).await), ("createDeviceIdentity", "d"));
    other.delete(&name("d"), Expected::Any).await.unwrap();
    assert_eq!(operation(&hub.event(LIFECYCLE).await), ("deleteDeviceIdentity", "d"));
}

#[tokio::test]
async fn what_happened_while_nobody_could_announce_it_is_announced_after_a_restart() {
    let hub = Hub::new().await;
    hub.create("first").await;
    assert_eq!(operation(&hub.event(LIFECYCLE).await), ("createDeviceIdentity", "first"));
    let (dir, settings) = (Arc::clone(&hub.dir), Settings::default());
    hub.control.shutdown().await;
    drop(hub);
    // The journal takes nothing, then everything stops again.
    let hub = Hub::over(Arc::clone(&dir), settings.clone(), true).await;
    hub.create("second").await;
    while hub.intake.refused.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    hub.control.shutdown().await;
    drop(hub);
    let other: Arc<dyn Store> = Arc::new(SqliteStore::open(dir.path()).await.unwrap());
    other.create(&record(&name("third"))).await.unwrap();
    let hub = Hub::over(dir, settings, false).await;
    let mut told = Vec::new();
    while told.last() != Some(&"third".to_owned()) {
        told.push(hub.event(LIFECYCLE).await.device);
    }
    told.dedup();
    let rest: Vec<_> = told.iter().map(String::as_str).filter(|device| *device != "first").collect();
    assert_eq!(rest, ["second", "third"]);
}

#[tokio::test]
async fn refusals_have_the_hubs_codes() {
    let hub = Hub::new().await;
    let device = hub.create("d").await;
    let module = IdentityName::new("x", Some("m")).unwrap();
    assert_eq!(hub.control.create(&record(&device)).await.unwrap_err().code, 409_001);
    assert_eq!(hub.control.create(&record(&module)).await.unwrap_err().code, 404_001);
    assert_eq!(hub.control.identity(&name("x")).await.unwrap_err().code, 404_001);
    assert_eq!(hub.control.delete(&module, Expected::Any).await.unwrap_err().code, 404_010);
    let stale = Expected::Etag(millrace_control_store::registry::Stamp(1));
    assert_eq!(hub.control.update(&device, stale, Update::default()).await.unwrap_err().code, 412_001);
}
