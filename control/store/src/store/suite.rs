//! What every store must do. A store's own tests call [`every_check`] with a way to open an empty one.

use std::collections::BTreeSet;

use millrace_model::Timestamp;
use millrace_protocols_identity::{Key, Thumbprint};

use crate::error::RegistryError;
use crate::limits::DEVICE_MODULES_MAX;
use crate::registry::{Authentication, Expected, IdentityName, Record, Stamp, Status, Update};
use crate::store::{LoggedKind, Store};

/// Every letter that ids may have besides letters and digits, among them all that mean something to SQL.
const ODD_IDS: [&str; 11] = [
    "-.+%_#*?!(),:=@$';",
    "';DROP.TABLE-identity;--",
    "%",
    "_",
    "a%",
    "..",
    "$edgeHub",
    "DEVICE",
    "device",
    "Device",
    "null",
];

pub(crate) fn name(device: &str, module: Option<&str>) -> IdentityName {
    IdentityName::new(device, module).unwrap()
}

pub(crate) fn record(device: &str, module: Option<&str>) -> Record {
    let key = |byte| Key::from_bytes(&[byte; 32]).unwrap();
    let authentication = Authentication::Sas { primary: key(b'k'), secondary: key(b'l') };
    Record::new(name(device, module), authentication, Timestamp(1_714_557_600_000), 7)
}

/// Runs all checks, each on an empty store.
pub(crate) async fn every_check<G, S: Store>(open: impl AsyncFn() -> (G, S)) {
    create_and_get(&open().await.1).await;
    odd_ids_are_kept_apart(&open().await.1).await;
    updates_need_the_right_etag(&open().await.1).await;
    deletion_takes_modules_along(&open().await.1).await;
    pages_follow_one_another(&open().await.1).await;
    import_is_all_or_nothing(&open().await.1).await;
    every_change_is_logged(&open().await.1).await;
    every_member_is_kept(&open().await.1).await;
    a_device_has_so_many_modules(&open().await.1).await;
    several_are_found_in_the_order_asked_for(&open().await.1).await;
}

async fn create_and_get(store: &dyn Store) {
    assert!(store.get(&name("d", None)).await.unwrap().is_none());
    let mut written = record("d", None);
    written.status = Status::Disabled;
    written.status_reason = Some("\"lost\" at O'Hare — ünïcode".to_owned());
    store.create(&written).await.unwrap();
    let read = store.get(&name("d", None)).await.unwrap().unwrap();
    assert_eq!((&read.name, read.generation, read.etag), (&written.name, written.generation, written.etag));
    assert_eq!((read.status, &read.status_reason), (written.status, &written.status_reason));
    assert_eq!((read.created, read.updated, read.status_updated), (written.created, written.updated, written.created));
    let Authentication::Sas { primary, secondary } = read.authentication else { panic!("keys are gone") };
    assert_eq!((primary.as_bytes(), secondary.as_bytes()), (&[b'k'; 32][..], &[b'l'; 32][..]));

    assert!(matches!(store.create(&written).await, Err(RegistryError::DeviceExists)));
    assert!(matches!(store.create(&record("x", Some("m"))).await, Err(RegistryError::DeviceNotFound)));
    let mut keyless = record("d", Some("m"));
    keyless.authentication = Authentication::None;
    store.create(&keyless).await.unwrap();
    assert!(matches!(store.create(&keyless).await, Err(RegistryError::ModuleExists)));
    let module = store.get(&name("d", Some("m"))).await.unwrap().unwrap();
    assert!(matches!(module.authentication, Authentication::None));
    let counts = store.count().await.unwrap();
    assert_eq!((counts.total, counts.disabled), (1, 1));
}

async fn odd_ids_are_kept_apart(store: &dyn Store) {
    let long = "x".repeat(128);
    let ids: Vec<&str> = ODD_IDS.into_iter().chain([long.as_str()]).collect();
    for id in &ids {
        store.create(&record(id, None)).await.unwrap();
        store.create(&record(id, Some(id))).await.unwrap();
    }
    for id in &ids {
        assert_eq!(store.get(&name(id, None)).await.unwrap().unwrap().name.device_id(), *id);
    }
    let listed: Vec<String> =
        store.devices(None, 100).await.unwrap().iter().map(|record| record.name.to_string()).collect();
    assert_eq!(listed, ids.iter().map(|id| (*id).to_owned()).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>());
    store.delete(&name("%", None), Expected::Any).await.unwrap();
    store.delete(&name("_", None), Expected::Any).await.unwrap();
    assert_eq!(store.devices(None, 100).await.unwrap().len(), ids.len() - 2, "nothing is a wildcard");
}

async fn updates_need_the_right_etag(store: &dyn Store) {
    store.create(&record("d", None)).await.unwrap();
    let disable = || Update { status: Some(Status::Disabled), ..Update::default() };
    let first = store.get(&name("d", None)).await.unwrap().unwrap();
    let second = store.update(&name("d", None), Expected::Etag(first.etag), disable()).await.unwrap();
    assert_eq!(second.status, Status::Disabled);
    assert_ne!(second.etag, first.etag);
    assert_eq!(store.get(&name("d", None)).await.unwrap().unwrap().etag, second.etag);
    let stale = store.update(&name("d", None), Expected::Etag(first.etag), disable()).await;
    assert!(matches!(stale, Err(RegistryError::EtagMismatch)));
    let stale = store.delete(&name("d", None), Expected::Etag(Stamp(-1))).await;
    assert!(matches!(stale, Err(RegistryError::EtagMismatch)));
    store.update(&name("d", None), Expected::Any, disable()).await.unwrap();
    let long = Update { status_reason: Some(Some("x".repeat(129))), ..Update::default() };
    let refused = store.update(&name("d", None), Expected::Any, long).await;
    assert!(matches!(refused, Err(RegistryError::StatusReason)));
    let nobody = store.update(&name("e", None), Expected::Any, disable()).await;
    assert!(matches!(nobody, Err(RegistryError::DeviceNotFound)));
    let nobody = store.update(&name("d", Some("m")), Expected::Any, disable()).await;
    assert!(matches!(nobody, Err(RegistryError::ModuleNotFound)));
}

async fn deletion_takes_modules_along(store: &dyn Store) {
    for (device, module) in [("d", None), ("d", Some("m1")), ("d", Some("m2")), ("d2", None), ("d2", Some("m1"))] {
        store.create(&record(device, module)).await.unwrap();
    }
    assert_eq!(store.modules("d").await.unwrap().len(), 2);
    store.delete(&name("d", Some("m1")), Expected::Any).await.unwrap();
    assert_eq!(store.modules("d").await.unwrap().len(), 1);
    store.delete(&name("d", None), Expected::Any).await.unwrap();
    assert!(store.get(&name("d", Some("m2"))).await.unwrap().is_none());
    assert_eq!(store.modules("d2").await.unwrap().len(), 1);
    assert!(matches!(store.delete(&name("d", None), Expected::Any).await, Err(RegistryError::DeviceNotFound)));
}

async fn pages_follow_one_another(store: &dyn Store) {
    for id in ["c", "a", "e", "b", "d"] {
        store.create(&record(id, None)).await.unwrap();
        store.create(&record(id, Some("m"))).await.unwrap();
    }
    let ids = |records: Vec<Record>| records.iter().map(|record| record.name.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(store.devices(None, 2).await.unwrap()), ["a", "b"]);
    assert_eq!(ids(store.devices(Some("b"), 9).await.unwrap()), ["c", "d", "e"]);
    assert_eq!(ids(store.devices(Some("e"), 9).await.unwrap()), [""; 0]);
    let first = store.identities(None, 3).await.unwrap();
    let rest = store.identities(Some(&first[2].name), 100).await.unwrap();
    assert_eq!((ids(first.clone()), rest.len()), (vec!["a".to_owned(), "a/m".to_owned(), "b".to_owned()], 7));
    assert_eq!(rest[0].name.to_string(), "b/m");
}

async fn import_is_all_or_nothing(store: &dyn Store) {
    store.create(&record("old", None)).await.unwrap();
    let records: Vec<Record> = ["n1", "old", "n2", "n1"].map(|id| record(id, None)).into();
    let mut dropped = store.begin_import().await.unwrap();
    assert_eq!(dropped.add(&records).await.unwrap(), [1, 3]);
    drop(dropped);
    assert_eq!(store.devices(None, 9).await.unwrap().len(), 1);

    let mut kept = store.begin_import().await.unwrap();
    assert_eq!(kept.add(&records).await.unwrap(), [1, 3]);
    assert_eq!(kept.add(&records).await.unwrap(), [0, 1, 2, 3]);
    assert_eq!(kept.add(&[]).await.unwrap(), [0; 0]);
    let many: Vec<Record> = (0..1_203).map(|number| record(&format!("m{number}"), None)).collect();
    assert_eq!(kept.add(&many).await.unwrap(), [0; 0]);
    assert_eq!(kept.add(&many[1_100..1_101]).await.unwrap(), [0]);
    kept.commit().await.unwrap();
    assert_eq!(store.count().await.unwrap().total, 3 + 1_203);
}

async fn every_change_is_logged(store: &dyn Store) {
    assert_eq!(store.newest_change().await.unwrap(), 0);
    store.create(&record("d", None)).await.unwrap();
    store.create(&record("d", Some("m"))).await.unwrap();
    let after_creation = store.newest_change().await.unwrap();
    let disable = Update { status: Some(Status::Disabled), ..Update::default() };
    store.update(&name("d", Some("m")), Expected::Any, disable).await.unwrap();
    let update = store.changes_since(after_creation, 9).await.unwrap().unwrap();
    assert_eq!(update.len(), 1);
    assert_eq!(update[0].name, name("d", Some("m")));
    assert_eq!(update[0].now.as_ref().unwrap().status, Status::Disabled);

    store.delete(&name("d", None), Expected::Any).await.unwrap();
    let all = store.changes_since(0, 99).await.unwrap().unwrap();
    assert_eq!(all.len(), 5, "two creations, one update, two deletions");
    assert!(all.iter().all(|change| change.now.is_none()), "each tells what is now");
    let kinds =
        [LoggedKind::Created, LoggedKind::Created, LoggedKind::Changed, LoggedKind::Deleted, LoggedKind::Deleted];
    assert_eq!(all.iter().map(|change| change.kind).collect::<Vec<_>>(), kinds, "and what was done then");
    assert!(all.windows(2).all(|pair| pair[0].sequence < pair[1].sequence));
    assert_eq!(all[4].sequence, store.newest_change().await.unwrap());
    assert_eq!(store.changes_since(all[1].sequence, 2).await.unwrap().unwrap().len(), 2);
    assert!(store.changes_since(all[4].sequence + 1, 9).await.unwrap().is_none(), "an older file was put in its place");
}

async fn every_member_is_kept(store: &dyn Store) {
    let sha1 = Thumbprint::Sha1([1; 20]);
    let sha256 = Thumbprint::Sha256([2; 32]);
    let proofs = [
        Authentication::None,
        Authentication::CertificateAuthority,
        Authentication::SelfSigned { primary: Some(sha1), secondary: Some(sha256) },
        Authentication::SelfSigned { primary: None, secondary: Some(sha1) },
        Authentication::SelfSigned { primary: None, secondary: None },
        record("d", None).authentication,
    ];
    for (number, authentication) in proofs.into_iter().enumerate() {
        let mut written = record(&format!("d{number}"), None);
        written.capabilities_iot_edge = true;
        written.managed_by = Some("iotEdge".to_owned());
        written.device_scope = Some("ms-azure-iot-edge://d-638501544000000007".to_owned());
        written.parent_scopes = vec!["one".to_owned(), "two, and a comma".to_owned()];
        written.authentication = authentication.clone();
        store.create(&written).await.unwrap();
        let created = store.get(&written.name).await.unwrap().unwrap();
        assert_eq!(format!("{created:?}"), format!("{written:?}"));

        let plain = Update {
            authentication: Some(Authentication::None),
            capabilities_iot_edge: Some(false),
            managed_by: Some(None),
            device_scope: Some(None),
            parent_scopes: Some(Vec::new()),
            ..Update::default()
        };
        let plain = store.update(&written.name, Expected::Any, plain).await.unwrap();
        let read = store.get(&written.name).await.unwrap().unwrap();
        assert_eq!(format!("{read:?}"), format!("{plain:?}"));
        assert!(!read.capabilities_iot_edge && read.parent_scopes.is_empty() && read.device_scope.is_none());
        let back = Update { authentication: Some(authentication), ..Update::default() };
        let back = store.update(&written.name, Expected::Any, back).await.unwrap();
        assert_eq!(format!("{:?}", back.authentication), format!("{:?}", written.authentication));
    }
    let mut impossible = record("e", None);
    impossible.device_scope = Some("a\nb".to_owned());
    assert!(matches!(store.create(&impossible).await, Err(RegistryError::Scope)));
}

async fn a_device_has_so_many_modules(store: &dyn Store) {
    for device in ["d", "d2"] {
        store.create(&record(device, None)).await.unwrap();
    }
    for number in 0..DEVICE_MODULES_MAX {
        store.create(&record("d", Some(&format!("m{number}")))).await.unwrap();
    }
    assert!(matches!(store.create(&record("d", Some("more"))).await, Err(RegistryError::TooManyModules)));
    assert!(matches!(store.create(&record("d", Some("m0"))).await, Err(RegistryError::ModuleExists)));
    store.create(&record("d2", Some("m"))).await.unwrap();
    store.delete(&name("d", Some("m7")), Expected::Any).await.unwrap();
    store.create(&record("d", Some("more"))).await.unwrap();
}

async fn several_are_found_in_the_order_asked_for(store: &dyn Store) {
    for (device, module) in [("a", None), ("a", Some("m")), ("b", None)] {
        store.create(&record(device, module)).await.unwrap();
    }
    let asked = [name("b", None), name("x", None), name("a", Some("m")), name("a", Some("n")), name("a", None)];
    let found: Vec<_> = store.find_many(&asked).await.unwrap().into_iter().map(|record| record.name).collect();
    assert_eq!(found, [name("b", None), name("a", Some("m")), name("a", None)]);
    assert!(store.find_many(&[]).await.unwrap().is_empty());
}
