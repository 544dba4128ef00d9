//! Certificates of devices: their own, or signed by somebody whom an enrollment names.
//! - Invariants: TLS has shown that the device holds the leaf's key. Its common name is the registration id, in any case.

use millrace_control_store::registry::Authentication;
use millrace_protocols_identity::thumbprint::Thumbprint;
use millrace_protocols_identity::x509::{Authorities, certificate_info};

use super::Denied;
use crate::enrollment::{Certificates, X509Mechanism};
use crate::limits::CHAIN_CERTIFICATES_MAX;
use crate::registration::Evidence;
use crate::registration_id::RegistrationId;

/// Authorities that the hub knows, as far as they are verified. A look-up in memory.
pub trait CertificateBook: Send + Sync {
    /// The certificate of that name as DER; `None` when it is not there or nobody has proven to hold its key.
    fn verified_certificate(&self, name: &str) -> Option<Vec<u8>>;

    /// Revocation lists as DER.
    fn revocation_lists(&self) -> Vec<Vec<u8>>;

    /// Changes with every change.
    fn revision(&self) -> u64;
}

/// Judges a device's chain by an individual enrollment.
pub(super) fn judge(
    mechanism: &X509Mechanism,
    chain: &[Vec<u8>],
    id: &RegistrationId,
    book: &dyn CertificateBook,
    now_unix_seconds: u64,
) -> Result<(Authentication, Evidence), Denied> {
    let chain = bounded(chain)?;
    let mut evidence = evidence(chain, id)?;
    if let Some(own) = &mechanism.client_certificates {
        return Ok((judge_own(own, chain, now_unix_seconds)?, evidence));
    }
    let signers = signers(mechanism, book).ok_or(Denied::NotEnrolled)?;
    let infos: Vec<_> = signers.iter().filter_map(|der| certificate_info(der).ok()).collect();
    let authorities = Authorities::new(signers, book.revocation_lists()).map_err(|_| Denied::NotEnrolled)?;
    let verified = authorities.verify(chain, now_unix_seconds).map_err(|_| Denied::Certificate)?;
    let digest = hex(&verified.authority);
    evidence.signing_certificate = infos.iter().find(|info| info.sha256_thumbprint == digest).map(Into::into);
    Ok((Authentication::CertificateAuthority, evidence))
}

/// The chain, if it has a length that is worth looking at.
pub(super) fn bounded(chain: &[Vec<u8>]) -> Result<&[Vec<u8>], Denied> {
    if (1..=CHAIN_CERTIFICATES_MAX).contains(&chain.len()) { Ok(chain) } else { Err(Denied::Certificate) }
}

/// What is shown of a chain; refused when it is made out to somebody else.
pub(super) fn evidence(chain: &[Vec<u8>], id: &RegistrationId) -> Result<Evidence, Denied> {
    let leaf = chain.first().ok_or(Denied::Certificate)?;
    let info = certificate_info(leaf).map_err(|_| Denied::Certificate)?;
    if !info.common_name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(id.as_str())) {
        return Err(Denied::Certificate);
    }
    Ok(Evidence { certificate: Some((&info).into()), ..Evidence::default() })
}

/// The certificates that an enrollment or group trusts; `None` when it names none that is there.
pub(super) fn signers(mechanism: &X509Mechanism, book: &dyn CertificateBook) -> Option<Vec<Vec<u8>>> {
    let found = match (&mechanism.signing_certificates, &mechanism.ca_references) {
        (Some(certificates), _) => certificates.der().ok()?,
        (None, Some(names)) => {
            let names = [&names.primary, &names.secondary].into_iter().flatten();
            names.filter_map(|name| book.verified_certificate(name)).collect()
        }
        (None, None) => Vec::new(),
    };
    (!found.is_empty()).then_some(found)
}

/// Digest of a certificate as its thumbprint is written.
pub(super) fn hex(digest: &[u8; 32]) -> String {
    Thumbprint::Sha256(*digest).to_string()
}

/// The device's certificate has to be exactly one of those that are enrolled, and good at this time.
fn judge_own(own: &Certificates, chain: &[Vec<u8>], now_unix_seconds: u64) -> Result<Authentication, Denied> {
    let leaf = chain.first().ok_or(Denied::Certificate)?;
    let enrolled = own.der().map_err(|_| Denied::NotEnrolled)?;
    if !enrolled.contains(leaf) {
        return Err(Denied::Certificate);
    }
    let info = certificate_info(leaf).map_err(|_| Denied::Certificate)?;
    info.validity.check(now_unix_seconds).map_err(|_| Denied::Certificate)?;
    let thumbprint = |der: &Option<Vec<u8>>| {
        let info = certificate_info(der.as_deref()?).ok()?;
        info.sha256_thumbprint.parse().ok()
    };
    let der =
        |body: &Option<crate::enrollment::CertificateBody>| body.as_ref().and_then(|body| body.der().ok().flatten());
    Ok(Authentication::SelfSigned {
        primary: thumbprint(&der(&own.primary)),
        secondary: thumbprint(&der(&own.secondary)),
    })
}
