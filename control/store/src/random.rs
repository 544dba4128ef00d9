//! The one place of this crate that asks for randomness: keys, and the salt of stamps.
//! - Errors: [`RegistryError::Random`] when the system has none to give.

use aws_lc_rs::rand;
use millrace_protocols_identity::Key;
use zeroize::Zeroizing;

use crate::error::RegistryError;

/// A key of 32 random bytes.
///
/// # Errors
/// When the system gives no randomness.
pub fn key() -> Result<Key, RegistryError> {
    let mut bytes = Zeroizing::new([0; 32]);
    rand::fill(bytes.as_mut()).map_err(|_| RegistryError::Random)?;
    Ok(Key::from_bytes(bytes.as_ref())?)
}

/// Eight random bytes, for what must not be the same twice among the processes of a hub.
pub(crate) fn number() -> Result<u64, RegistryError> {
    let mut bytes = [0; 8];
    rand::fill(&mut bytes).map_err(|_| RegistryError::Random)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Two random bytes.
///
/// # Errors
/// When the system gives no randomness.
pub fn salt() -> Result<u16, RegistryError> {
    let mut bytes = [0; 2];
    rand::fill(&mut bytes).map_err(|_| RegistryError::Random)?;
    Ok(u16::from_le_bytes(bytes))
}
