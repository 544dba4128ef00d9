//! The API in-process, with requests as the SDKs send them, over SQLite in a folder of its own.

use axum::http::Method;
use serde_json::{Value, json};

use crate::testing::{Answered, HOST, Served, serve};

mod certificates;
mod configurations;
mod devices;
mod digital_twins;
mod document;
mod hostile;
mod jobs;
mod messages;
mod permissions;
mod queries;
mod transfers;
mod twins;

/// A device as Python sends it.
fn device(id: &str) -> Value {
    json!({"deviceId": id, "status": "enabled", "capabilities": {"iotEdge": false},
        "authentication": {"type": "sas", "symmetricKey": {"primaryKey": "a2tra2tra2tra2tra2tra2tra2s=", "secondaryKey": null}}})
}

/// A served API with these devices.
async fn with_devices(ids: &[&str]) -> Served {
    let served = serve().await;
    for id in ids {
        let answer = put(&served, &format!("/devices/{id}"), device(id)).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
    served
}

async fn get(served: &Served, path: &str) -> Answered {
    served.call(Method::GET, path, Value::Null).await
}

async fn put(served: &Served, path: &str, body: Value) -> Answered {
    served.call(Method::PUT, path, body).await
}

async fn post(served: &Served, path: &str, body: Value) -> Answered {
    served.call(Method::POST, path, body).await
}

async fn delete(served: &Served, path: &str) -> Answered {
    served.call(Method::DELETE, path, Value::Null).await
}

fn name(device: &str, module: Option<&str>) -> millrace_model::IdentityName {
    millrace_model::IdentityName::new(device, module).unwrap()
}
