//! X.509 certificates of devices and of those who vouch for them.
//! - Source: RFC 5280; Azure IoT Hub's rules for `selfSigned` and `certificateAuthority` devices; the provisioning service's certificate JSON.
//! - Shape: [`Authorities`] judges chains, [`CertificateInfo`] says what stands in a certificate, [`verify_possession`] that somebody holds
//!   an authority's key.
//! - Invariants: TLS has shown that the peer holds the leaf's key; nothing here repeats that. The time is an argument.
//! - Limits: [`CERTIFICATE_BYTES_MAX`], [`CHAIN_CERTIFICATES_MAX`], [`REVOCATION_LIST_BYTES_MAX`]; the work for one chain is bounded by webpki.
//! - Not here: which certificate belongs to which identity (`control`), how a thumbprint is written ([`crate::thumbprint`]).

use std::sync::Arc;

mod authorities;
mod certificate;
mod error;
mod pem;
mod possession;
#[cfg(test)]
mod tests;

pub use authorities::{Authorities, Verified};
pub use certificate::{CertificateInfo, Validity, certificate_info, leaf_validity};
pub use error::X509Error;
pub use pem::{certificates_from_text, revocation_list_from_text};
pub use possession::verify_possession;

/// Largest certificate that is read; device certificates have 500 to 2,000 bytes.
pub const CERTIFICATE_BYTES_MAX: usize = 16 * 1024;

/// Certificates in a chain that is looked at, leaf included.
pub const CHAIN_CERTIFICATES_MAX: usize = 10;

/// Largest revocation list that is kept: some 30,000 revoked certificates.
pub const REVOCATION_LIST_BYTES_MAX: usize = 1024 * 1024;

/// Authorities of one hub. Looking for the right one compares names in turn, which is small beside checking a signature.
pub const AUTHORITIES_MAX: usize = 1_000;

/// Revocation lists of one hub.
pub const REVOCATION_LISTS_MAX: usize = 1_000;

/// What the client showed in the TLS handshake, as DER, leaf first; empty: nothing. Doors put it where requests are handled.
#[derive(Debug, Clone, Default)]
pub struct ClientCertificates(pub Arc<[Vec<u8>]>);
