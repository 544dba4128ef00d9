//! The blob that carries a key into one TPM.
//! - Source: Azure DPS, TPM attestation; TPM 2.0 Library, part 3: TPM2_MakeCredential, TPM2_ActivateCredential, TPM2_Import.
//! - Shape: credential blob | encrypted secret | wrapped key | encrypted seed of the wrapping | public area | unused, each
//!   behind its length. The credential is the inner wrapping key, so both the endorsement key and the storage root key are needed.

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use super::TpmError;
use super::protection::{encrypt, protect, share};
use super::structures::{PublicArea, hmac_key_area, hmac_key_sensitive, name, sized};

/// What one blob needs of randomness. Used once.
pub struct Randomness {
    /// Protects the credential.
    pub credential_seed: Zeroizing<[u8; 32]>,
    /// Protects the wrapped key.
    pub wrapping_seed: Zeroizing<[u8; 32]>,
    /// Blinds the digest of the key.
    pub key_seed: Zeroizing<[u8; 32]>,
    /// The credential.
    pub credential: Zeroizing<[u8; 16]>,
}

impl std::fmt::Debug for Randomness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Randomness(..)")
    }
}

/// Wraps an HMAC key for the TPM that holds both keys.
///
/// # Errors
/// When one of the keys cannot be used.
pub fn activation(
    endorsement_key: &PublicArea,
    storage_root_key: &PublicArea,
    key: &[u8],
    random: &Randomness,
) -> Result<Vec<u8>, TpmError> {
    let credential = sized(random.credential.as_slice());
    let credential = protect(&random.credential_seed, &storage_root_key.name(), credential)?;
    let secret = share(&random.credential_seed, endorsement_key, "IDENTITY")?;

    let area = hmac_key_area(&random.key_seed, key);
    let wrapped = wrapped_key(&area, key, random)?;
    let seed = share(&random.wrapping_seed, storage_root_key, "DUPLICATE")?;
    Ok([sized(&credential), sized(&secret), sized(&wrapped), sized(&seed), sized(&area), sized(&[])].concat())
}

/// The key inside two wrappings: the inner one by the credential, the outer one by the storage root key's seed.
fn wrapped_key(area: &[u8], key: &[u8], random: &Randomness) -> Result<Vec<u8>, TpmError> {
    let name = name(area);
    let sensitive = Zeroizing::new(hmac_key_sensitive(&random.key_seed, key));
    let integrity = digest(&SHA256, &[sensitive.as_slice(), &name].concat());
    let mut inner = [sized(integrity.as_ref()).as_slice(), &sensitive].concat();
    encrypt(&random.credential, &mut inner)?;
    protect(&random.wrapping_seed, &name, inner)
}
