//! What both stores keep of an identity in more than one column: how it proves itself, its scopes, its name.
//! - Shape: kind 0 none, 1 keys, 2 thumbprints, 3 authority; keys and thumbprints as bytes; scopes one a line.
//! - Errors: [`RegistryError::Corrupt`] when the columns hold what was never written.

use millrace_protocols_identity::{Key, Thumbprint};

use crate::error::RegistryError;
use crate::registry::{Authentication, IdentityName};

const NONE: i16 = 0;
const SAS: i16 = 1;
const SELF_SIGNED: i16 = 2;
const CERTIFICATE_AUTHORITY: i16 = 3;

/// The columns that an [`Authentication`] becomes.
pub(super) struct Proof<'a> {
    pub(super) kind: i16,
    pub(super) primary_key: Option<&'a [u8]>,
    pub(super) secondary_key: Option<&'a [u8]>,
    pub(super) primary_thumbprint: Option<&'a [u8]>,
    pub(super) secondary_thumbprint: Option<&'a [u8]>,
}

impl<'a> Proof<'a> {
    const fn empty(kind: i16) -> Self {
        Self { kind, primary_key: None, secondary_key: None, primary_thumbprint: None, secondary_thumbprint: None }
    }

    /// What stands in the columns.
    pub(super) fn read(&self) -> Result<Authentication, RegistryError> {
        match (self.kind, self.primary_key, self.secondary_key) {
            (NONE, None, None) => Ok(Authentication::None),
            (SAS, Some(primary), Some(secondary)) => {
                Ok(Authentication::Sas { primary: key(primary)?, secondary: key(secondary)? })
            }
            (SELF_SIGNED, None, None) => Ok(Authentication::SelfSigned {
                primary: self.primary_thumbprint.map(thumbprint).transpose()?,
                secondary: self.secondary_thumbprint.map(thumbprint).transpose()?,
            }),
            (CERTIFICATE_AUTHORITY, None, None) => Ok(Authentication::CertificateAuthority),
            _ => Err(RegistryError::Corrupt { what: "authentication" }),
        }
    }
}

impl<'a> From<&'a Authentication> for Proof<'a> {
    fn from(authentication: &'a Authentication) -> Self {
        match authentication {
            Authentication::None => Self::empty(NONE),
            Authentication::Sas { primary, secondary } => Self {
                primary_key: Some(primary.as_bytes()),
                secondary_key: Some(secondary.as_bytes()),
                ..Self::empty(SAS)
            },
            Authentication::SelfSigned { primary, secondary } => Self {
                primary_thumbprint: primary.as_ref().map(Thumbprint::as_bytes),
                secondary_thumbprint: secondary.as_ref().map(Thumbprint::as_bytes),
                ..Self::empty(SELF_SIGNED)
            },
            Authentication::CertificateAuthority => Self::empty(CERTIFICATE_AUTHORITY),
        }
    }
}

pub(super) fn name(device_id: &str, module_id: &str) -> Result<IdentityName, RegistryError> {
    IdentityName::new(device_id, (!module_id.is_empty()).then_some(module_id))
        .map_err(|_| RegistryError::Corrupt { what: "name" })
}

/// The column of these scopes; empty when there are none.
pub(super) fn scopes_column(scopes: &[String]) -> Option<String> {
    (!scopes.is_empty()).then(|| scopes.join("\n"))
}

pub(super) fn scopes(column: Option<&str>) -> Vec<String> {
    column.into_iter().flat_map(str::lines).map(str::to_owned).collect()
}

fn key(bytes: &[u8]) -> Result<Key, RegistryError> {
    Key::from_bytes(bytes).map_err(|_| RegistryError::Corrupt { what: "key" })
}

fn thumbprint(bytes: &[u8]) -> Result<Thumbprint, RegistryError> {
    Thumbprint::from_bytes(bytes).map_err(|_| RegistryError::Corrupt { what: "thumbprint" })
}
