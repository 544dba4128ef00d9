//! Certificates and revocation lists out of what people paste into a registry: PEM, DER, or either of them in base64.
//! - Limits: [`CHAIN_CERTIFICATES_MAX`] certificates of [`CERTIFICATE_BYTES_MAX`]; a list of [`REVOCATION_LIST_BYTES_MAX`].
//! - Not here: whether what is inside can be read; [`super::certificate_info`] says that.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::{PemObject, SectionKind};

use super::error::X509Error;
use super::{CERTIFICATE_BYTES_MAX, CHAIN_CERTIFICATES_MAX, REVOCATION_LIST_BYTES_MAX};

/// PEM's share on top of DER: base64 is four thirds, and lines and labels stay below another third.
const PEM_FACTOR: usize = 2;

/// The certificates in `text`, as DER, in their order.
///
/// # Errors
/// When there is none, too many, or one too large.
pub fn certificates_from_text(text: &[u8]) -> Result<Vec<Vec<u8>>, X509Error> {
    let most = CERTIFICATE_BYTES_MAX.saturating_mul(CHAIN_CERTIFICATES_MAX);
    let certificates = sections(text, SectionKind::Certificate, most, CHAIN_CERTIFICATES_MAX)?;
    let fits = certificates.iter().all(|der| der.len() <= CERTIFICATE_BYTES_MAX);
    if fits { Ok(certificates) } else { Err(X509Error::Malformed) }
}

/// The revocation list in `text`, as DER.
///
/// # Errors
/// When there is none, more than one, or it is too large.
pub fn revocation_list_from_text(text: &[u8]) -> Result<Vec<u8>, X509Error> {
    let mut lists = sections(text, SectionKind::Crl, REVOCATION_LIST_BYTES_MAX, 1)?;
    lists.pop().filter(|der| der.len() <= REVOCATION_LIST_BYTES_MAX).ok_or(X509Error::Malformed)
}

fn sections(text: &[u8], wanted: SectionKind, bytes_max: usize, count_max: usize) -> Result<Vec<Vec<u8>>, X509Error> {
    // Base64 around PEM is the largest of the forms.
    if text.len() > bytes_max.saturating_mul(PEM_FACTOR).saturating_mul(PEM_FACTOR) {
        return Err(X509Error::Malformed);
    }
    let text = text.trim_ascii();
    let decoded = match is_plain(text) {
        true => text.to_vec(),
        false => {
            let compact: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
            STANDARD.decode(compact).map_err(|_| X509Error::Malformed)?
        }
    };
    if is_der(&decoded) {
        return Ok(vec![decoded]);
    }
    let mut found = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(&decoded) {
        let (kind, der) = section.map_err(|_| X509Error::Malformed)?;
        if kind == wanted {
            if found.len() >= count_max {
                return Err(X509Error::TooMany);
            }
            found.push(der);
        }
    }
    if found.is_empty() { Err(X509Error::Missing) } else { Ok(found) }
}

/// Whether it is DER or PEM, and not base64 around one of them.
fn is_plain(text: &[u8]) -> bool {
    is_der(text) || text.windows(b"-----BEGIN".len()).any(|window| window == b"-----BEGIN")
}

/// A SEQUENCE whose length takes two bytes, as any certificate's does: `30 82`. Base64 text cannot begin so.
fn is_der(bytes: &[u8]) -> bool {
    matches!(bytes, [0x30, 0x81..=0x84, ..])
}
