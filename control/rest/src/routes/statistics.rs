//! Numbers of the registry and of connections.

use axum::extract::State;
use serde_json::json;

use crate::answer::{self, Answer};
use crate::state::ServiceState;

pub(crate) async fn devices(State(state): State<ServiceState>) -> Answer {
    let counts = state.control.store().count().await.map_err(|error| millrace_control::hub_error(&error))?;
    Ok(answer::json(&json!({
        "totalDeviceCount": counts.total,
        "enabledDeviceCount": counts.total.saturating_sub(counts.disabled),
        "disabledDeviceCount": counts.disabled,
    })))
}

pub(crate) async fn service(State(state): State<ServiceState>) -> Answer {
    Ok(answer::json(&json!({ "connectedDeviceCount": state.control.connected_count() })))
}
