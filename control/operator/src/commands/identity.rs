//! Arguments that devices, modules and all that belongs to them have in common.

use clap::Args;
use millrace_control_jobs::shape::{AuthenticationBody, ThumbprintBody};
use millrace_control_store::registry::IdentityName;
use millrace_protocols_identity::{Key, Thumbprint};

use crate::error::OperatorError;
use crate::identity::key_authentication;
use crate::service::path;
use crate::target::Secret;

/// Names a device or one of its modules.
#[derive(Debug, Args)]
pub struct IdentityArguments {
    /// Device id.
    #[arg(value_name = "DEVICE")]
    pub device_id: String,
    /// Module id, for a module of the device.
    #[arg(long = "module", value_name = "ID")]
    pub module_id: Option<String>,
}

/// How a new identity proves itself.
#[derive(Debug, Args)]
pub struct CredentialArguments {
    /// Primary key, base64 of 16 to 64 bytes; a new one if left out.
    #[arg(long, value_name = "BASE64", group = "credential")]
    pub key: Option<Secret>,
    /// Let it connect with the certificate of this thumbprint (SHA-1 or SHA-256, hexadecimal); give it twice for the one that comes next.
    #[arg(long, value_name = "HEX", num_args = 1, group = "credential")]
    pub x509_thumbprint: Vec<Thumbprint>,
    /// Let it connect with a certificate for its id from any authority of the hub.
    #[arg(long, group = "credential")]
    pub x509_ca: bool,
}

impl IdentityArguments {
    /// The name.
    pub(crate) fn name(&self) -> Result<IdentityName, OperatorError> {
        Ok(IdentityName::new(&self.device_id, self.module_id.as_deref())?)
    }

    /// The path of its twin, and of what is below that.
    pub(crate) fn twin_path(&self, below: &[&str]) -> Result<String, OperatorError> {
        let name = self.name()?;
        let mut segments = vec!["twins", name.device_id()];
        segments.extend(name.module_id().into_iter().flat_map(|module| ["modules", module]));
        segments.extend(below);
        path(&segments)
    }
}

impl CredentialArguments {
    /// What is asked for.
    pub(crate) fn body(&self) -> Result<AuthenticationBody, OperatorError> {
        if self.x509_ca {
            return Ok(AuthenticationBody {
                kind: Some("certificateAuthority".to_owned()),
                ..AuthenticationBody::default()
            });
        }
        let text = |thumbprint: &Thumbprint| Some(thumbprint.to_string());
        match self.x509_thumbprint.as_slice() {
            [] => {}
            [primary, secondary @ ..] if secondary.len() <= 1 => {
                let thumbprints = ThumbprintBody {
                    primary_thumbprint: text(primary),
                    secondary_thumbprint: secondary.first().and_then(text),
                };
                return Ok(AuthenticationBody {
                    kind: Some("selfSigned".to_owned()),
                    symmetric_key: None,
                    x509_thumbprint: Some(thumbprints),
                });
            }
            _ => return Err(OperatorError::usage("--x509-thumbprint may be given twice, not more")),
        }
        let key = self.key.as_ref().map(|key| Key::from_base64(key.expose())).transpose();
        Ok(key_authentication(key.map_err(OperatorError::Key)?.as_ref()))
    }
}
