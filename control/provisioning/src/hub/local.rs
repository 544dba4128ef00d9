//! The program's own hub, asked directly.
//! - Invariants: a device that is as it is to be is not written, so that registering again ends no session.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use millrace_control::Control;
use millrace_control_store::clock;
use millrace_control_store::random;
use millrace_control_store::registry::{Authentication, Expected, IdentityName, Record, Update};
use millrace_model::HubError;
use millrace_protocols_identity::Key;
use serde_json::json;

use super::{DeviceSpec, HubRegistry, PendingHub, without_metadata};
use crate::attestation::CertificateBook;
use crate::enrollment::InitialTwin;

/// Attempts at a device that others create and delete at the same time.
const ATTEMPTS_MAX: usize = 3;

/// See the module's documentation.
#[derive(Clone)]
pub struct LocalHub(Control);

impl LocalHub {
    /// The hub of this program.
    #[must_use]
    pub const fn new(control: Control) -> Self {
        Self(control)
    }

    async fn put(&self, device: &DeviceSpec) -> Result<(), HubError> {
        let name = name(&device.device_id)?;
        for _ in 0..ATTEMPTS_MAX {
            let outcome = match self.0.identity(&name).await {
                Ok(found) if is_as_wanted(&found, device) => Ok(()),
                Ok(_) => {
                    let update = Update {
                        authentication: Some(device.authentication.clone()),
                        capabilities_iot_edge: device.iot_edge,
                        ..Update::default()
                    };
                    self.0.update(&name, Expected::Any, update).await.map(drop)
                }
                Err(error) if error.code == HubError::DEVICE_NOT_FOUND.code => self.create(name.clone(), device).await,
                Err(error) => Err(error),
            };
            match outcome {
                // It came or went between the two calls.
                Err(error) if matches!(error.status, 404 | 409) => {}
                outcome => return outcome,
            }
        }
        Err(HubError::UNAVAILABLE)
    }

    async fn create(&self, name: IdentityName, device: &DeviceSpec) -> Result<(), HubError> {
        let salt = random::salt().map_err(|_| HubError::UNAVAILABLE)?;
        let mut record = Record::new(name, device.authentication.clone(), clock::now(), salt);
        record.capabilities_iot_edge = device.iot_edge.unwrap_or_default();
        self.0.create(&record).await
    }
}

impl HubRegistry for LocalHub {
    fn put_device<'a>(&'a self, device: &'a DeviceSpec) -> PendingHub<'a, ()> {
        Box::pin(self.put(device))
    }

    fn twin<'a>(&'a self, device_id: &'a str) -> PendingHub<'a, Option<InitialTwin>> {
        Box::pin(async move {
            match self.0.twin(&name(device_id)?).await {
                Ok(twin) => Ok(Some(without_metadata(&twin))),
                Err(error) if error.status == 404 => Ok(None),
                Err(error) => Err(error),
            }
        })
    }

    fn replace_twin<'a>(&'a self, device_id: &'a str, twin: &'a InitialTwin) -> PendingHub<'a, ()> {
        Box::pin(async move {
            let body = json!({"tags": twin.tags, "properties": {"desired": twin.properties.desired}});
            self.0.replace_twin(&name(device_id)?, None, &body).await.map(drop)
        })
    }

    fn delete_device<'a>(&'a self, device_id: &'a str) -> PendingHub<'a, ()> {
        Box::pin(async move {
            match self.0.delete(&name(device_id)?, Expected::Any).await {
                Err(error) if error.status != 404 => Err(error),
                _ => Ok(()),
            }
        })
    }
}

impl CertificateBook for LocalHub {
    fn verified_certificate(&self, name: &str) -> Option<Vec<u8>> {
        self.0.trusted().certificates.get(name).cloned()
    }

    fn revocation_lists(&self) -> Vec<Vec<u8>> {
        self.0.trusted().revocation_lists.clone()
    }

    fn revision(&self) -> u64 {
        self.0.trusted().revision
    }
}

impl std::fmt::Debug for LocalHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LocalHub(..)")
    }
}

fn name(device_id: &str) -> Result<IdentityName, HubError> {
    IdentityName::new(device_id, None).map_err(|error| HubError::ARGUMENT.because(error.to_string()))
}

fn is_as_wanted(found: &Record, device: &DeviceSpec) -> bool {
    let same = |a: &Key, b: &Key| verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok();
    let is_same_proof = match (&found.authentication, &device.authentication) {
        (Authentication::None, Authentication::None)
        | (Authentication::CertificateAuthority, Authentication::CertificateAuthority) => true,
        (Authentication::Sas { primary: a, secondary: b }, Authentication::Sas { primary: c, secondary: d }) => {
            same(a, c) && same(b, d)
        }
        (
            Authentication::SelfSigned { primary: a, secondary: b },
            Authentication::SelfSigned { primary: c, secondary: d },
        ) => (a, b) == (c, d),
        _ => false,
    };
    is_same_proof && device.iot_edge.is_none_or(|wanted| wanted == found.capabilities_iot_edge)
}
