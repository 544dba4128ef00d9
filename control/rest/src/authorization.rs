//! Who may call what: a token of a policy with the right permission, for this hub.
//! - Source: Azure IoT Hub, access control and permissions; module to module calls as the module SDKs send them.
//! - Invariants: judged before a body is read. Signature first, then scope, then permission; every refusal looks the same from outside.
//!   A token is good for what lies below its resource, segment by segment.

use std::future::Future;
use std::pin::Pin;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use millrace_control::Permissions;
use millrace_control_store::clock;
use millrace_control_store::registry::{Authentication, Status};
use millrace_model::{HubError, IdentityName};
use millrace_protocols_identity::{Key, Token};
use percent_encoding::percent_decode_str;

use crate::answer::Refusal;
use crate::events;
use crate::state::ServiceState;

/// Header that names the module which calls another one, as `device/module`.
const CALLING_MODULE: &str = "x-ms-edge-moduleid";

type Guarded = Pin<Box<dyn Future<Output = Response> + Send>>;

/// Lets only those call these methods who have `wanted`.
pub(crate) fn guarded(
    state: &ServiceState,
    wanted: Permissions,
    methods: MethodRouter<ServiceState>,
) -> MethodRouter<ServiceState> {
    let check = move |State(state): State<ServiceState>, request: Request, next: Next| -> Guarded {
        Box::pin(async move {
            if state.permits(request.headers(), wanted, request.uri().path()).is_some() {
                return next.run(request).await;
            }
            refused()
        })
    };
    methods.layer(from_fn_with_state(state.clone(), check))
}

/// Likewise for calls of methods, which modules of the same device may do too.
pub(crate) fn guarded_or_module(
    state: &ServiceState,
    wanted: Permissions,
    methods: MethodRouter<ServiceState>,
) -> MethodRouter<ServiceState> {
    let check = move |State(state): State<ServiceState>, request: Request, next: Next| -> Guarded {
        Box::pin(async move {
            let is_permitted = state.permits(request.headers(), wanted, request.uri().path()).is_some()
                || state.permits_module(request.headers(), request.uri().path()).await.is_some();
            if is_permitted { next.run(request).await } else { refused() }
        })
    };
    methods.layer(from_fn_with_state(state.clone(), check))
}

fn refused() -> Response {
    events::refused();
    Refusal(HubError::UNAUTHORIZED).into_response()
}

impl ServiceState {
    /// Whether the caller may do what needs `wanted` at this path.
    fn permits(&self, headers: &HeaderMap, wanted: Permissions, path: &str) -> Option<()> {
        let token = token(headers)?;
        let policy = self.policies.find(token.policy()?)?;
        let [primary, secondary] = policy.keys.as_ref();
        self.verified(&token, &[primary, secondary])?;
        let segments = segments(path)?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        (self.covers(headers, &token, &segments) && policy.permissions.contain(wanted)).then_some(())
    }

    /// Whether the caller is a module of the device that the path names, with a token of its own key.
    async fn permits_module(&self, headers: &HeaderMap, path: &str) -> Option<()> {
        let (device, module) = headers.get(CALLING_MODULE)?.to_str().ok()?.split_once('/')?;
        if segments(path)?.get(1)? != device {
            return None;
        }
        let name = IdentityName::new(device, Some(module)).ok()?;
        let token = token(headers)?;
        let device = IdentityName::new(device, None).ok()?;
        let device = self.control.identity(&device).await.ok()?;
        let record = self.control.identity(&name).await.ok()?;
        let Authentication::Sas { primary, secondary } = &record.authentication else { return None };
        if token.policy().is_some() || device.status != Status::Enabled {
            return None;
        }
        self.verified(&token, &[primary, secondary])?;
        let own = ["devices", name.device_id(), "modules", module];
        self.covers(headers, &token, &own).then_some(())
    }

    fn verified(&self, token: &Token<'_>, keys: &[&Key]) -> Option<()> {
        let now = u64::try_from(clock::now().unix_seconds()).unwrap_or_default();
        token.verify(keys, now, self.token_skew_seconds).ok()
    }

    /// The hub may be reached by a name of its machine that it does not know itself. The signature already says that the token was made
    /// with this hub's key, so the name that the caller dialled is as good as the configured one.
    fn covers(&self, headers: &HeaderMap, token: &Token<'_>, path: &[&str]) -> bool {
        let dialled = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        token.covers_path(&self.host_name, path) || token.covers_path(dialled, path)
    }
}

fn token(headers: &HeaderMap) -> Option<Token<'_>> {
    Token::parse(headers.get(header::AUTHORIZATION)?.to_str().ok()?).ok()
}

/// The decoded segments of a path, without a slash at its end.
fn segments(path: &str) -> Option<Vec<String>> {
    let path = path.trim_matches('/');
    path.split('/').map(|segment| percent_decode_str(segment).decode_utf8().ok().map(Into::into)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_decoded_once() {
        assert_eq!(segments("/devices/").unwrap(), ["devices"]);
        assert_eq!(segments("/devices/a%2Fb%2525").unwrap(), ["devices", "a/b%25"]);
        assert_eq!(segments("/devices/%ff"), None);
    }
}
