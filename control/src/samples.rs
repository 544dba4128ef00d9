//! Identities for tests.

use millrace_control_store::registry::{Authentication, IdentityName, Record};
use millrace_model::Timestamp;
use millrace_protocols_identity::Key;

pub(crate) fn name(device: &str, module: Option<&str>) -> IdentityName {
    IdentityName::new(device, module).unwrap()
}

pub(crate) fn record(device: &str, module: Option<&str>) -> Record {
    let key = |byte| Key::from_bytes(&[byte; 32]).unwrap();
    let authentication = Authentication::Sas { primary: key(b'k'), secondary: key(b'l') };
    Record::new(name(device, module), authentication, Timestamp(1_714_557_600_000), 7)
}
