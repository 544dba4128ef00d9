//! Look-ups, differences, bounds.

use millrace_ingest::Proof;
use millrace_protocols_identity::{Key, Thumbprint};

use super::*;
use crate::samples::{name, record};
use millrace_control_store::registry::{Authentication, Stamp, Status};

fn directory(identities_max: usize) -> RegistryDirectory {
    let dir = tempfile::tempdir().unwrap();
    RegistryDirectory::new(identities_max, Arc::new(Policies::open(dir.path()).unwrap()))
}

#[test]
fn finds_devices_and_modules_by_their_exact_names() {
    let directory = directory(1_000);
    directory.put(&record("d", None));
    directory.put(&record("d", Some("m")));
    let found = directory.find("d", None).unwrap();
    assert!(found.enabled);
    assert_eq!(&*found.generation_id, record("d", None).generation.to_string());
    let Proof::Keys(keys) = found.proof else { panic!("{:?}", found.proof) };
    assert_eq!((keys[0].as_bytes(), keys[1].as_bytes()), (&[b'k'; 32][..], &[b'l'; 32][..]));
    assert!(directory.find("d", Some("m")).is_some());
    for (device, module) in [("D", None), ("dm", None), ("d", Some("")), ("d", Some("M")), ("", None)] {
        assert!(directory.find(device, module).is_none(), "{device} {module:?}");
    }
    assert_eq!(directory.len(), 2);
    assert!(directory.remove(&name("d", None)));
    assert!(!directory.remove(&name("d", None)));
    assert!(directory.find("d", None).is_none());
    assert!(directory.find("d", Some("m")).is_some());
}

#[test]
fn a_module_may_connect_only_while_its_device_may() {
    let directory = directory(1_000);
    directory.put(&record("d", Some("m")));
    let module_enabled = || directory.find("d", Some("m")).unwrap().enabled;
    assert!(!module_enabled(), "its device is not known");
    let device = record("d", None);
    directory.put(&device);
    assert!(module_enabled());
    let mut disabled = device.clone();
    disabled.status = Status::Disabled;
    directory.put(&disabled);
    assert!(!module_enabled());
    directory.put(&device);
    assert!(module_enabled());
    directory.remove(&name("d", None));
    assert!(!module_enabled());
}

#[test]
fn tells_what_a_session_has_to_know() {
    let directory = directory(1_000);
    let first = record("d", None);
    assert_eq!(directory.put(&first), Stored::Changed(ChangeKind::Created));
    assert_eq!(directory.put(&first), Stored::Same);
    let mut reason = first.clone();
    reason.status_reason = Some("x".to_owned());
    assert_eq!(directory.put(&reason), Stored::Same);

    let mut disabled = first.clone();
    disabled.status = Status::Disabled;
    assert_eq!(directory.put(&disabled), Stored::Changed(ChangeKind::Disabled));
    assert!(!directory.find("d", None).unwrap().enabled);
    assert_eq!(directory.put(&first), Stored::Changed(ChangeKind::Enabled));

    let mut rolled = first.clone();
    let key = || Key::from_bytes(&[1; 64]).unwrap();
    rolled.authentication = Authentication::Sas { primary: key(), secondary: key() };
    assert_eq!(directory.put(&rolled), Stored::Changed(ChangeKind::KeysChanged));
    let mut keyless = first.clone();
    keyless.authentication = Authentication::None;
    assert_eq!(directory.put(&keyless), Stored::Changed(ChangeKind::KeysChanged));
    assert!(matches!(directory.find("d", None).unwrap().proof, Proof::None));

    let mut recreated = first;
    recreated.generation = Stamp(1);
    assert_eq!(directory.put(&recreated), Stored::Changed(ChangeKind::Recreated));
    assert!(ChangeKind::Recreated.ends_sessions() && ChangeKind::Disabled.ends_sessions());
    assert!(!ChangeKind::Created.ends_sessions() && !ChangeKind::Enabled.ends_sessions());
}

#[test]
fn proofs_are_told_apart() {
    let directory = directory(1_000);
    let mut identity = record("d", None);
    directory.put(&identity);
    let thumbprint = Thumbprint::from_bytes(&[7; 20]).unwrap();
    for authentication in [
        Authentication::SelfSigned { primary: None, secondary: Some(thumbprint) },
        Authentication::CertificateAuthority,
        Authentication::None,
        Authentication::SelfSigned { primary: None, secondary: None },
    ] {
        identity.authentication = authentication;
        assert_eq!(directory.put(&identity), Stored::Changed(ChangeKind::KeysChanged));
        assert_eq!(directory.put(&identity), Stored::Same);
        let proof = directory.find("d", None).unwrap().proof;
        match &identity.authentication {
            Authentication::SelfSigned { primary, secondary } => {
                assert!(matches!(proof, Proof::Thumbprints(both) if both[0] == *primary && both[1] == *secondary));
            }
            Authentication::CertificateAuthority => assert!(matches!(proof, Proof::Authority)),
            _ => assert!(matches!(proof, Proof::None)),
        }
    }
}

#[test]
fn a_full_directory_refuses_new_names_and_keeps_the_old() {
    let directory = directory(DIRECTORY_PARTS * 4);
    let stored: Vec<_> = (0..1_000).map(|number| directory.put(&record(&format!("d{number}"), None))).collect();
    let kept = stored.iter().filter(|stored| **stored != Stored::Full).count();
    assert_eq!(kept, directory.len());
    // Names spread by a random seed, so a part may stay a little below its share; none goes over it.
    assert!((DIRECTORY_PARTS * 3..=DIRECTORY_PARTS * 4).contains(&kept), "{kept}");
    let known = (0..1_000).find(|number| directory.find(&format!("d{number}"), None).is_some()).unwrap();
    assert_eq!(directory.put(&record(&format!("d{known}"), None)), Stored::Same);
}

#[test]
fn retain_names_what_is_gone() {
    let directory = directory(1_000);
    for (device, module) in [("a", None), ("a", Some("m")), ("b", None)] {
        directory.put(&record(device, module));
    }
    let mut gone = directory.retain(|device, module| device == "b" && module.is_none());
    gone.sort();
    assert_eq!(gone, [name("a", None), name("a", Some("m"))]);
    assert_eq!(directory.len(), 1);
}

#[test]
fn policies_say_whether_they_may_act_as_devices() {
    let directory = directory(1);
    for (name, device_connect) in [
        ("iothubowner", true),
        ("device", true),
        ("service", false),
        ("registryRead", false),
        ("registryReadWrite", false),
    ] {
        assert_eq!(directory.policy(name).unwrap().device_connect, device_connect, "{name}");
    }
    assert!(directory.policy("nobody").is_none());
}

#[test]
fn debug_shows_no_key() {
    let directory = directory(10);
    directory.put(&record("d", None));
    assert_eq!(format!("{directory:?}"), "RegistryDirectory { identities: 1, .. }");
}
