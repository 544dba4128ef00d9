//! Cloud-to-device messages, fetched one by one.
//! - Source: Azure IoT Hub: GET locks the oldest one and answers it, DELETE completes or (`?reject`) rejects it, POST `/abandon` puts it back.
//! - Invariants: the lock token is the ETag, in quotes; one that is over is answered with 412.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use axum::extract::FromRequestParts as _;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use millrace_control::{Control, Received, Refresher};
use millrace_model::{HubError, IdentityName};

use super::caller::parameter;
use super::{Caller, DeviceApi};
use crate::error::Refusal;
use crate::limits::LOCK_SECONDS;

/// What the methods of [`Commands`] return; boxed, so that they can be chosen at run time.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, HubError>> + Send + 'a>>;

/// What becomes of a locked command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// Back into the queue.
    Abandon,
    /// Done.
    Complete,
    /// Never again.
    Reject,
}

/// The control side as this door needs it.
pub trait Commands: Send + Sync {
    /// Locks and returns the oldest waiting command.
    fn receive<'a>(&'a self, name: &'a IdentityName, lock: Option<Duration>) -> Pending<'a, Option<Received>>;

    /// Ends a lock.
    fn settle<'a>(&'a self, name: &'a IdentityName, lock_token: &'a str, how: Settlement) -> Pending<'a, ()>;

    /// Waits until the directory is as new as the store.
    fn refresh(&self) -> Pending<'_, ()>;
}

/// The control side of this program.
pub struct ControlSide {
    /// The executor.
    pub control: Control,
    /// Brings the directory up to date.
    pub refresher: Refresher,
}

impl Commands for ControlSide {
    fn receive<'a>(&'a self, name: &'a IdentityName, lock: Option<Duration>) -> Pending<'a, Option<Received>> {
        Box::pin(self.control.receive_command(name, lock))
    }

    fn settle<'a>(&'a self, name: &'a IdentityName, lock_token: &'a str, how: Settlement) -> Pending<'a, ()> {
        Box::pin(async move {
            match how {
                Settlement::Abandon => self.control.abandon_command(name, lock_token).await,
                Settlement::Complete => self.control.complete_command(name, lock_token).await,
                Settlement::Reject => self.control.reject_command(name, lock_token).await,
            }
        })
    }

    fn refresh(&self) -> Pending<'_, ()> {
        Box::pin(async { if self.refresher.catch_up().await { Ok(()) } else { Err(HubError::UNAVAILABLE) } })
    }
}

impl std::fmt::Debug for ControlSide {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlSide").finish_non_exhaustive()
    }
}

/// `GET /devices/{device}/messages/devicebound`
pub(super) async fn receive(
    State(api): State<DeviceApi>,
    Caller(caller): Caller,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let lock = lock_time(&headers)?;
    let Some(received) = api.commands.receive(&caller.name, lock).await? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let mut response = received.body.into_response();
    let answered = response.headers_mut();
    // Bytes without a type of their own are just bytes.
    answered.remove(header::CONTENT_TYPE);
    for (name, value) in &received.headers {
        // A name that HTTP cannot carry is left out; the rest of the message is worth more than its refusal.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes())) {
            answered.insert(name, value);
        }
    }
    Ok(response)
}

/// `DELETE /devices/{device}/messages/devicebound/{lock}[?reject]`
pub(super) async fn settle(State(api): State<DeviceApi>, request: Request) -> Result<StatusCode, Refusal> {
    let query = request.uri().query().unwrap_or_default();
    let is_rejected = query.split('&').any(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, "true"));
        key == "reject" && !value.eq_ignore_ascii_case("false")
    });
    let how = if is_rejected { Settlement::Reject } else { Settlement::Complete };
    end_lock(&api, request, how).await
}

/// `POST /devices/{device}/messages/devicebound/{lock}/abandon`
pub(super) async fn abandon(State(api): State<DeviceApi>, request: Request) -> Result<StatusCode, Refusal> {
    end_lock(&api, request, Settlement::Abandon).await
}

async fn end_lock(api: &DeviceApi, request: Request, how: Settlement) -> Result<StatusCode, Refusal> {
    let (mut parts, _) = request.into_parts();
    let Caller(caller) = Caller::from_request_parts(&mut parts, api).await?;
    let lock_token = parameter(&mut parts, api, "lock").await?;
    api.commands.settle(&caller.name, &lock_token, how).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn lock_time(headers: &HeaderMap) -> Result<Option<Duration>, HubError> {
    let Some(value) = headers.get("iothub-messagelocktimeout") else { return Ok(None) };
    let seconds = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    let seconds = seconds.filter(|seconds| LOCK_SECONDS.contains(seconds));
    let why = "IotHub-MessageLockTimeout has to be 1 to 300 seconds";
    seconds.map(|seconds| Some(Duration::from_secs(seconds))).ok_or_else(|| HubError::ARGUMENT.because(why))
}
