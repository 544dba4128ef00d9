//! Keys that the service gives to TPMs, derived from its own secret, so that no challenge has to be remembered.
//! - Shape: a nonce is HMAC-SHA256(secret, "nonce" | window | registration id | endorsement key), good for its window and the next one.
//! - Units: a window is an hour.
//! - Invariants: only the TPM with that endorsement key can unwrap what it is sent; whoever signs with a nonce is that TPM. Any node with
//!   the same secret knows it. `Debug` shows nothing of the secret.

use aws_lc_rs::hmac;
use millrace_protocols_identity::Key;

const WINDOW_SECONDS: u64 = 3_600;

/// The service's secret. Made once, kept in the store, shared by all nodes.
#[derive(Debug, Clone)]
pub struct ServiceSecret(Key);

impl ServiceSecret {
    /// Takes the secret.
    #[must_use]
    pub const fn new(key: Key) -> Self {
        Self(key)
    }

    /// The nonce of this window, and of the one before.
    #[must_use]
    pub fn nonces(&self, registration_id: &str, endorsement_key: &str, now_unix_seconds: u64) -> [Key; 2] {
        let window = now_unix_seconds / WINDOW_SECONDS;
        [window, window.saturating_sub(1)].map(|window| {
            self.derive(&[b"nonce", &window.to_be_bytes(), registration_id.as_bytes(), endorsement_key.as_bytes()])
        })
    }

    /// The key that the device has at its hub.
    #[must_use]
    pub fn device_key(&self, registration_id: &str, endorsement_key: &str) -> Key {
        self.derive(&[b"device", registration_id.as_bytes(), endorsement_key.as_bytes()])
    }

    /// Each part behind its length, so that no two lists of parts look the same.
    fn derive(&self, parts: &[&[u8]]) -> Key {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes()));
        for part in parts {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        // A tag has 32 bytes, which is a key's length; the other arm cannot be taken.
        Key::from_bytes(context.sign().as_ref()).unwrap_or_else(|_| Key::decoy())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_live_for_two_windows() {
        let secret = ServiceSecret::new(Key::from_bytes(&[7; 32]).unwrap());
        let at = |seconds| secret.nonces("a", "EK", seconds).map(|key| key.as_bytes().to_vec());
        let first = at(3_600)[0].clone();
        assert_eq!((at(7_199)[0].clone(), at(7_200)[1].clone()), (first.clone(), first.clone()));
        assert!(!at(10_800).contains(&first));
        assert!(!secret.nonces("aE", "K", 3_600).iter().any(|key| key.as_bytes() == first));
        assert_ne!(secret.device_key("a", "EK").as_bytes(), first);
    }
}
