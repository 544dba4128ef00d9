//! All enrollment groups, ready to judge devices by.
//! - Shape: groups in the order of their ids; keys read, and one set of authorities over all signing certificates, so that a chain
//!   is built once and ends at the nearest of them.
//! - Limits: [`crate::limits::GROUPS_MAX`] groups.

use std::collections::HashMap;
use std::sync::Arc;

use millrace_protocols_identity::Key;
use millrace_protocols_identity::x509::{Authorities, certificate_info};

use super::certificate::{CertificateBook, hex, signers};
use crate::enrollment::{CertificateInfoBody, EnrollmentGroup, MechanismKind};

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Groups {
    all: Vec<Arc<EnrollmentGroup>>,
    keys: Vec<(Arc<EnrollmentGroup>, [Key; 2])>,
    authorities: Authorities,
    signers: HashMap<String, (Arc<EnrollmentGroup>, CertificateInfoBody)>,
}

impl Groups {
    /// Makes groups ready. What cannot be used of a group admits nobody.
    #[must_use]
    pub fn new(groups: Vec<EnrollmentGroup>, book: &dyn CertificateBook) -> Self {
        let mut ready = Self { all: groups.into_iter().map(Arc::new).collect(), ..Self::default() };
        let mut certificates = Vec::new();
        for group in &ready.all {
            let mechanism = &group.attestation;
            match mechanism.kind {
                MechanismKind::SymmetricKey => {
                    let keys = mechanism.symmetric_key.as_ref().and_then(|keys| keys.keys());
                    ready.keys.extend(keys.map(|keys| (Arc::clone(group), keys)));
                }
                MechanismKind::X509 => {
                    let found = mechanism.x509.as_ref().and_then(|x509| signers(x509, book)).unwrap_or_default();
                    for der in found {
                        let Ok(info) = certificate_info(&der) else { continue };
                        let signer = (Arc::clone(group), (&info).into());
                        ready.signers.entry(info.sha256_thumbprint).or_insert(signer);
                        certificates.push(der);
                    }
                }
                MechanismKind::Tpm | MechanismKind::None => {}
            }
        }
        ready.authorities = authorities(certificates, book.revocation_lists());
        ready
    }

    /// All groups.
    #[must_use]
    pub fn all(&self) -> &[Arc<EnrollmentGroup>] {
        &self.all
    }

    /// Those that derive keys, with their own.
    pub(super) fn with_keys(&self) -> impl Iterator<Item = &(Arc<EnrollmentGroup>, [Key; 2])> {
        self.keys.iter()
    }

    pub(super) const fn authorities(&self) -> &Authorities {
        &self.authorities
    }

    /// The group with that signing certificate, given by its SHA-256.
    pub(super) fn signed_by(&self, authority: &[u8; 32]) -> Option<&Arc<EnrollmentGroup>> {
        self.signers.get(&hex(authority)).map(|(group, _)| group)
    }

    pub(super) fn signing_info(&self, authority: &[u8; 32]) -> Option<CertificateInfoBody> {
        self.signers.get(&hex(authority)).map(|(_, info)| info.clone())
    }
}

/// All certificates that can be used. One that cannot, or a list that cannot, must not shut out the devices of the other groups; but
/// without a list that there should be, nobody is trusted.
fn authorities(certificates: Vec<Vec<u8>>, lists: Vec<Vec<u8>>) -> Authorities {
    let usable =
        certificates.into_iter().filter(|der| Authorities::new(vec![der.clone()], Vec::new()).is_ok()).collect();
    Authorities::new(usable, lists).unwrap_or_default()
}
