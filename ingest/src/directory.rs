//! Who may connect, as the data path sees it: a look-up in memory, at CONNECT only.

use std::sync::Arc;

use millrace_protocols_identity::x509::Authorities;
use millrace_protocols_identity::{Key, Thumbprint};

/// What is known of an identity.
#[derive(Debug, Clone)]
pub struct Found {
    /// Disabled identities are refused like unknown ones.
    pub enabled: bool,
    /// Changes when the identity is deleted and created again.
    pub generation_id: Arc<str>,
    /// How it shows who it is.
    pub proof: Proof,
}

/// How an identity shows who it is.
#[derive(Debug, Clone)]
pub enum Proof {
    /// A certificate that leads to a registered authority and is made out to the identity.
    Authority,
    /// A token signed with its primary or secondary key.
    Keys(Arc<[Key; 2]>),
    /// Not at all.
    None,
    /// A certificate with its primary or secondary thumbprint.
    Thumbprints(Arc<[Option<Thumbprint>; 2]>),
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

    /// Who may vouch for certificates; nobody where nothing else is said.
    fn authorities(&self) -> Arc<Authorities> {
        Arc::default()
    }
}
