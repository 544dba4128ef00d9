//! Proof of possession: whoever registers an authority shows that they can sign with its key, by a certificate that carries a code of ours.
//! - Source: Azure IoT Hub, "verify the CA certificate": a leaf whose common name is the verification code, issued by the authority.
//! - Invariants: the signature is checked over the bytes as they were sent, whatever the version of the certificate: tools that make
//!   such a leaf on the fly often leave out all extensions, which makes it version 1.

use rustls_pki_types::AlgorithmIdentifier;
use x509_cert::Certificate;
use x509_cert::der::asn1::AnyRef;
use x509_cert::der::{Decode, Encode, Reader, SliceReader};

use super::certificate::{common_name, decode, is_authority, validity};
use super::error::X509Error;

/// Checks that `proof` is made out to `code` and signed with the key of `authority`. Both must be valid at that time.
///
/// # Errors
/// Which of these does not hold.
pub fn verify_possession(authority: &[u8], proof: &[u8], code: &str, now_unix: u64) -> Result<(), X509Error> {
    let (issuer, leaf) = (decode(authority)?, decode(proof)?);
    if !is_authority(&issuer)? {
        return Err(X509Error::NotAuthority);
    }
    validity(&issuer).check(now_unix)?;
    validity(&leaf).check(now_unix)?;
    let body = leaf.tbs_certificate();
    if code.is_empty() || common_name(body.subject()).as_deref() != Some(code) {
        return Err(X509Error::Name);
    }
    if body.issuer() != issuer.tbs_certificate().subject() {
        return Err(X509Error::UnknownIssuer);
    }
    check_signature(&leaf, proof, &issuer)
}

/// Checks that the key in `issuer` made the signature of `certificate`, whose bytes are `der`.
fn check_signature(certificate: &Certificate, der: &[u8], issuer: &Certificate) -> Result<(), X509Error> {
    let malformed = |_| X509Error::Malformed;
    let outer = AnyRef::from_der(der).map_err(malformed)?;
    let signed = SliceReader::new(outer.value()).and_then(|mut reader| reader.tlv_bytes()).map_err(malformed)?;
    // Two places name the algorithm, and only one of them is signed.
    if certificate.signature_algorithm() != certificate.tbs_certificate().signature() {
        return Err(X509Error::Signature);
    }
    let key = issuer.tbs_certificate().subject_public_key_info();
    let signature = certificate.signature_algorithm().to_der().map_err(malformed)?;
    let public_key = key.algorithm.to_der().map_err(malformed)?;
    let is_made_so = |wanted: &AlgorithmIdentifier, found: &[u8]| {
        AnyRef::from_der(found).is_ok_and(|found| found.value() == wanted.as_ref())
    };
    let fitting = webpki::ALL_VERIFICATION_ALGS.iter().filter(|algorithm| {
        is_made_so(&algorithm.signature_alg_id(), &signature) && is_made_so(&algorithm.public_key_alg_id(), &public_key)
    });
    let bytes = (key.subject_public_key.raw_bytes(), certificate.signature().raw_bytes());
    let is_signed = fitting.into_iter().any(|algorithm| algorithm.verify_signature(bytes.0, signed, bytes.1).is_ok());
    if is_signed { Ok(()) } else { Err(X509Error::Signature) }
}
