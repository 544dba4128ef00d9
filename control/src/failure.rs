//! What the store's failures are in the hub's own words.
//! - Invariants: the text is for whoever asked; what only operators should know is in the log, once.

use millrace_control_store::documents::ApplyError;
use millrace_control_store::error::RegistryError;
use millrace_model::{Classify, HubError, IdentityName, Kind};

use crate::events;

/// The hub's error for a failure of the registry or of a store.
#[must_use]
pub fn hub_error(error: &RegistryError) -> HubError {
    match error {
        RegistryError::DeviceNotFound => HubError::DEVICE_NOT_FOUND,
        RegistryError::ModuleNotFound => HubError::MODULE_NOT_FOUND,
        RegistryError::DeviceExists => HubError::DEVICE_EXISTS,
        RegistryError::ModuleExists => HubError::MODULE_EXISTS,
        RegistryError::TooManyModules => HubError::TOO_MANY_MODULES,
        RegistryError::EtagMismatch => HubError::PRECONDITION,
        other => match other.kind() {
            Kind::Malformed => HubError::ARGUMENT.because(other.to_string()),
            Kind::Unavailable | Kind::Throttled => {
                events::store_failed(other);
                HubError::UNAVAILABLE
            }
            _ => {
                events::store_failed(other);
                HubError::SERVER
            }
        },
    }
}

/// The same for a batch of documents that belong to `name`.
pub(crate) fn apply_error(error: &ApplyError, name: &IdentityName) -> HubError {
    match error {
        ApplyError::Conflict { .. } => HubError::PRECONDITION,
        ApplyError::NoIdentity => not_found(name),
        ApplyError::TooLarge => HubError::TOO_LARGE,
        ApplyError::Store(error) => hub_error(error),
    }
}

pub(crate) fn not_found(name: &IdentityName) -> HubError {
    if name.module_id().is_some() { HubError::MODULE_NOT_FOUND } else { HubError::DEVICE_NOT_FOUND }
}
