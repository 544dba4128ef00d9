//! Keys of devices in an enrollment group: HMAC-SHA256 of the registration id under the group's key.
//! - Source: Azure DPS, symmetric key attestation, group enrollments.

use aws_lc_rs::hmac;
use millrace_protocols_identity::Key;

/// The key of a device. The id counts as it is written: devices were seen to derive from upper case too.
#[must_use]
pub fn derive(group_key: &Key, registration_id: &str) -> Key {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, group_key.as_bytes()), registration_id.as_bytes());
    // A tag has 32 bytes, which is a key's length; the other arm cannot be taken.
    Key::from_bytes(tag.as_ref()).unwrap_or_else(|_| Key::decoy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vector() {
        let group = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
        let device = derive(&Key::from_base64(group).unwrap(), "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6");
        assert_eq!(device.to_base64().as_str(), "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=");
    }
}
