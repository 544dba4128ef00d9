//! What a TPM 2.0 gets from the service: a secret that only that TPM can open, and a key wrapped with it.
//! - Source: TPM 2.0 Library, part 1 sections 11.4.10 (KDFa), 22 (protected storage), 23 (duplication), 24 (credentials).
//! - Shape: `structures` reads and writes what is on the wire, `protection` are the ciphers, [`activation`] puts a blob together.
//! - Invariants: pure; randomness is an argument. Nothing here panics on any input.
//! - Limits: RSA-2048 or larger keys with SHA-256 names and AES-128 in CFB mode: the template of every TPM's endorsement key and
//!   the one that SDKs use for storage root keys. Others are refused with the reason.

mod activation;
mod protection;
mod structures;

pub use activation::{Randomness, activation};
pub use structures::PublicArea;

/// Why something of a TPM cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TpmError {
    /// Not base64, or not of the form it has to be.
    #[error("not a TPM2B_PUBLIC structure in base64")]
    Malformed,
    /// A kind of key that is not known here.
    #[error("only RSA storage keys with SHA-256 and AES-128-CFB are known")]
    Unsupported,
    /// The RSA key cannot be one.
    #[error("the RSA key cannot be used")]
    Key,
}
