//! The ciphers of TPM protected storage: KDFa, AES-128-CFB, HMAC-SHA256, RSA-OAEP with a label.
//! - Source: TPM 2.0 Library, part 1, sections 11.4.10.2, 22, B.4.
//! - Invariants: CFB with a vector of zeros is what the specification says; it is sound because each key encrypts once.

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use zeroize::Zeroizing;

use super::TpmError;
use super::structures::{PublicArea, sized};

/// Derives 16 or 32 bytes from a seed.
fn derive<const BYTES: usize>(seed: &[u8; 32], label: &str, context: &[u8]) -> Zeroizing<[u8; BYTES]> {
    let bits = u32::try_from(BYTES * 8).unwrap_or_default();
    let mut hmac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, seed));
    // One round: no more than a digest's bytes are ever asked for.
    hmac.update(&1_u32.to_be_bytes());
    hmac.update(label.as_bytes());
    hmac.update(&[0]);
    hmac.update(context);
    hmac.update(&bits.to_be_bytes());
    let tag = hmac.sign();
    Zeroizing::new(tag.as_ref().first_chunk().copied().unwrap_or([0; BYTES]))
}

/// Encrypts in place.
pub(super) fn encrypt(key: &[u8; 16], bytes: &mut [u8]) -> Result<(), TpmError> {
    let failed = |_| TpmError::Key;
    let key = UnboundCipherKey::new(&AES_128, key).map_err(failed)?;
    let context = EncryptionContext::Iv128(FixedLength::from([0; 16]));
    EncryptingKey::cfb128(key).and_then(|key| key.less_safe_encrypt(bytes, context)).map_err(failed)?;
    Ok(())
}

/// Encrypts and seals bytes under a seed, bound to the name of an object: its digest, then the encrypted bytes.
pub(super) fn protect(seed: &[u8; 32], name: &[u8], mut bytes: Vec<u8>) -> Result<Vec<u8>, TpmError> {
    encrypt(&derive::<16>(seed, "STORAGE", name), &mut bytes)?;
    let integrity = derive::<32>(seed, "INTEGRITY", &[]);
    let mut hmac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, integrity.as_slice()));
    hmac.update(&bytes);
    hmac.update(name);
    Ok([sized(hmac.sign().as_ref()), bytes].concat())
}

/// Encrypts a seed so that only the holder of the key's private part gets it back. Randomised by RSA-OAEP itself.
pub(super) fn share(seed: &[u8; 32], key: &PublicArea, label: &str) -> Result<Vec<u8>, TpmError> {
    let key = PublicEncryptingKey::from_der(&key.to_der()).map_err(|_| TpmError::Key)?;
    let key = OaepPublicEncryptingKey::new(key).map_err(|_| TpmError::Key)?;
    let mut secret = vec![0; key.ciphertext_size()];
    // The label's closing zero is part of it.
    let label = [label.as_bytes(), &[0]].concat();
    let secret = key.encrypt(&OAEP_SHA256_MGF1SHA256, seed, &mut secret, Some(&label)).map_err(|_| TpmError::Key)?;
    Ok(secret.to_vec())
}
