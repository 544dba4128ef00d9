//! The one place of this crate that asks for randomness: keys, operation ids, what TPM blobs need.

use aws_lc_rs::rand;
use millrace_model::HubError;
use millrace_protocols_identity::Key;
use zeroize::Zeroizing;

use crate::tpm::Randomness;

/// Secret bytes.
pub(crate) fn bytes<const COUNT: usize>() -> Result<Zeroizing<[u8; COUNT]>, HubError> {
    let mut bytes = Zeroizing::new([0; COUNT]);
    rand::fill(bytes.as_mut()).map_err(|_| HubError::UNAVAILABLE.because("the system gives no randomness"))?;
    Ok(bytes)
}

/// A key of 64 bytes, as the service makes them.
pub(crate) fn key() -> Result<Key, HubError> {
    Key::from_bytes(bytes::<64>()?.as_slice()).map_err(|_| HubError::SERVER)
}

/// An operation id, of characters that need no escape in a topic or path.
pub(crate) fn operation_id() -> Result<String, HubError> {
    let number = |bytes: &[u8]| bytes.iter().fold(0_u128, |number, byte| (number << 8) | u128::from(*byte));
    let (service, operation) = (bytes::<8>()?, bytes::<16>()?);
    let digits = format!("{:032x}", number(operation.as_slice()));
    let (a, rest) = digits.split_at(8);
    let (b, rest) = rest.split_at(4);
    let (c, rest) = rest.split_at(4);
    let (d, e) = rest.split_at(4);
    Ok(format!("4.{:016x}.{a}-{b}-{c}-{d}-{e}", number(service.as_slice())))
}

/// A token that also stands in the log.
pub(crate) fn tracking_id() -> String {
    bytes::<8>().map(|bytes| format!("{:016x}", u64::from_be_bytes(*bytes))).unwrap_or_default()
}

/// For one TPM blob.
pub(crate) fn for_tpm() -> Result<Randomness, HubError> {
    Ok(Randomness { credential_seed: bytes()?, wrapping_seed: bytes()?, key_seed: bytes()?, credential: bytes()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operation_ids_need_no_escape() {
        let id = operation_id().unwrap();
        assert_eq!(id.len(), 2 + 16 + 1 + 36);
        assert!(id.bytes().all(|byte| byte.is_ascii_hexdigit() || b".-".contains(&byte)), "{id}");
        assert_ne!(id, operation_id().unwrap());
    }
}
