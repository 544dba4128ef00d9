//! Direct methods.
//! - Invariants: whatever status the device answers, the call itself has succeeded.

use axum::extract::State;
use millrace_control_command::MethodCall;

use crate::answer::{Answer, json_text};
use crate::request::{Body, Path, identity};
use crate::state::ServiceState;

pub(crate) async fn call(State(state): State<ServiceState>, Path(device): Path<String>, Body(body): Body) -> Answer {
    let call = MethodCall::parse(&body)?;
    Ok(json_text(state.control.invoke(&identity(&device, None)?, call).await?.to_json()))
}

pub(crate) async fn call_module(
    State(state): State<ServiceState>,
    Path((device, module)): Path<(String, String)>,
    Body(body): Body,
) -> Answer {
    let call = MethodCall::parse(&body)?;
    Ok(json_text(state.control.invoke(&identity(&device, Some(&module))?, call).await?.to_json()))
}
