//! Who may call the service API: a token of a policy with the right permission, for this service.
//! - Invariants: signature first, then scope, then permission; every refusal looks the same from outside.

use axum::http::{HeaderMap, header};
use millrace_control::policies::Permissions;
use millrace_control_store::clock;
use millrace_model::HubError;
use millrace_protocols_identity::Token;

use super::ProvisioningApi;
use crate::error::Refused;
use crate::events;

impl ProvisioningApi {
    /// Checks that the caller may do what needs `wanted` at `path`.
    pub(super) fn authorize(&self, headers: &HeaderMap, wanted: Permissions, path: &[&str]) -> Result<(), Refused> {
        self.permits(headers, wanted, path).ok_or_else(|| {
            events::refused();
            HubError::UNAUTHORIZED.into()
        })
    }

    fn permits(&self, headers: &HeaderMap, wanted: Permissions, path: &[&str]) -> Option<()> {
        let token = Token::parse(headers.get(header::AUTHORIZATION)?.to_str().ok()?).ok()?;
        let policy = self.policies.find(token.policy()?)?;
        let [primary, secondary] = policy.keys.as_ref();
        let now = u64::try_from(clock::now().unix_seconds()).unwrap_or_default();
        let config = self.provisioner.config();
        token.verify(&[primary, secondary], now, config.token_skew_seconds).ok()?;
        // The service may be reached by a name of its machine that it does not know itself. The signature already says that the token was
        // made with this service's key, so the name that the caller dialled is as good as a configured one.
        let dialled = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let names = config.host_names.iter().map(String::as_str).chain([dialled]);
        let is_scoped = names.into_iter().any(|name| token.covers_path(name, path));
        (is_scoped && policy.permissions.contain(wanted)).then_some(())
    }
}
