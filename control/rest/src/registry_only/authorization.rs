//! Who may call what: a token of a policy with the right permission, for this hub.
//! - Invariants: signature first, then scope, then permission; every refusal looks the same from outside.

use axum::http::{HeaderMap, header};
use millrace_protocols_identity::Token;

use super::Service;
use super::error::ServiceError;
use crate::events;
use millrace_control::policies::Permissions;
use millrace_control_store::clock;

impl Service {
    /// Checks that the caller may do what needs `wanted` below `path`.
    pub(super) fn authorize(
        &self,
        headers: &HeaderMap,
        wanted: Permissions,
        path: &[&str],
    ) -> Result<(), ServiceError> {
        if self.permits(headers, wanted, path).is_some() {
            return Ok(());
        }
        events::refused();
        Err(ServiceError::UNAUTHORIZED)
    }

    fn permits(&self, headers: &HeaderMap, wanted: Permissions, path: &[&str]) -> Option<()> {
        let token = Token::parse(headers.get(header::AUTHORIZATION)?.to_str().ok()?).ok()?;
        let policy = self.policies.find(token.policy()?)?;
        let [primary, secondary] = policy.keys.as_ref();
        let now = u64::try_from(clock::now().unix_seconds()).unwrap_or_default();
        token.verify(&[primary, secondary], now, self.token_skew_seconds).ok()?;
        // The hub may be reached by a name of its machine that it does not know itself. The signature already says that
        // the token was made with this hub's key, so the name that the caller dialled is as good as the configured one.
        let dialled = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let scoped = token.covers_path(&self.host_name, path) || token.covers_path(dialled, path);
        (scoped && policy.permissions.contain(wanted)).then_some(())
    }
}
