//! Who may connect, as the data path sees it: a look-up in memory, at CONNECT only.

use std::sync::Arc;

use millrace_protocols_identity::Key;

/// What is known of an identity.
#[derive(Debug, Clone)]
pub struct Found {
    /// Disabled identities are refused like unknown ones.
    pub enabled: bool,
    /// Changes when the identity is deleted and created again.
    pub generation_id: Arc<str>,
    /// Primary and secondary key; `None` when the identity does not use shared keys.
    pub keys: Option<Arc<[Key; 2]>>,
}

/// Keys of a shared access policy of the hub.
#[derive(Debug, Clone)]
pub struct PolicyKeys {
    /// Primary and secondary key.
    pub keys: Arc<[Key; 2]>,
    /// Whether the policy lets its holder act as a device.
    pub device_connect: bool,
}

/// An immutable view of the registry. Called on shard threads: it must not block.
pub trait Directory: Send + Sync {
    /// The identity of that name.
    fn find(&self, device_id: &str, module_id: Option<&str>) -> Option<Found>;

    /// The policy of that name.
    fn policy(&self, name: &str) -> Option<PolicyKeys>;
}
