//! What `millrace device ...` does: the arguments, the work and the results. Prints nothing: the program does.
//! - Shape: `command` are the arguments, `run` chooses an [`Operator`]: [`LocalOperator`] opens the registry of a data directory,
//!   whether a hub runs on it or not; [`HubOperator`] speaks to a hub's REST API.
//! - Invariants: a key leaves only as a [`ConnectionString`], for the commands that ask for one.

use std::future::Future;
use std::pin::Pin;

use millrace_protocols_identity::{ConnectionString, Key};
use serde::Serialize;

use millrace_control_store::registry::{Authentication, IdentityName, Record, Status};

pub mod command;
mod error;
pub mod host_name;
mod hub;
pub mod import;
mod limits;
mod local;
mod run;

pub use command::{DeviceCommand, PolicyCommand};
pub use error::OperatorError;
pub use hub::HubOperator;
pub use import::{BadLine, ImportReport, ImportRows, Problem};
pub use local::LocalOperator;
pub use run::{Context, Outcome, run, run_policy};

/// What an operator's methods return.
pub type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, OperatorError>> + 'a>>;

/// Somebody who looks after identities.
pub trait Operator {
    /// Creates an identity with this primary key, or a new one.
    fn create<'a>(&'a self, name: &'a IdentityName, key: Option<Key>) -> Work<'a, Device>;

    /// Devices in the order of their ids, from the first one behind `after`; at most `count`, at most 1,000.
    fn list<'a>(&'a self, after: Option<&'a str>, count: usize) -> Work<'a, Vec<Device>>;

    /// Reads an identity.
    fn show<'a>(&'a self, name: &'a IdentityName) -> Work<'a, Device>;

    /// Enables or disables an identity.
    fn set_status<'a>(&'a self, name: &'a IdentityName, status: Status, reason: Option<String>) -> Work<'a, Device>;

    /// Deletes an identity; with a device go its modules.
    fn delete<'a>(&'a self, name: &'a IdentityName) -> Work<'a, ()>;

    /// Creates all devices of a file: all or none of them, or with `skip_bad` those that are good.
    /// `progress` is told the number of lines read.
    fn import<'a>(
        &'a self,
        rows: ImportRows<'a>,
        skip_bad: bool,
        progress: &'a mut dyn FnMut(u64),
    ) -> Work<'a, ImportReport>;
}

/// An identity as operators see it. Serialized and shown without its key.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Device id.
    pub device_id: String,
    /// Module id, for a module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module_id: Option<String>,
    /// Whether it may connect.
    pub enabled: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// Changes when the identity is deleted and created again.
    pub generation_id: String,
    /// When its status last changed.
    pub status_updated_time: String,
    /// `sas` or `none`.
    pub authentication: String,
    /// The key for a connection string.
    #[serde(skip)]
    pub primary_key: Option<Key>,
}

impl Device {
    /// The connection string for this identity; `None` when it has no key.
    #[must_use]
    pub fn connection_string(&self, host_name: &str) -> Option<ConnectionString> {
        let key = self.primary_key.clone()?;
        Some(ConnectionString::for_device(host_name, &self.device_id, self.module_id.as_deref(), key))
    }
}

impl From<&Record> for Device {
    fn from(record: &Record) -> Self {
        let (authentication, primary_key) = match &record.authentication {
            Authentication::None => ("none", None),
            Authentication::Sas { primary, .. } => ("sas", Some(primary.clone())),
            Authentication::SelfSigned { .. } => ("selfSigned", None),
            Authentication::CertificateAuthority => ("certificateAuthority", None),
        };
        Self {
            device_id: record.name.device_id().to_owned(),
            module_id: record.name.module_id().map(str::to_owned),
            enabled: record.status == Status::Enabled,
            status_reason: record.status_reason.clone(),
            generation_id: record.generation.to_string(),
            status_updated_time: millrace_control_rest::shape::time_text(record.status_updated),
            authentication: authentication.to_owned(),
            primary_key,
        }
    }
}

#[cfg(test)]
mod tests;
