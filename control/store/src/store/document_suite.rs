//! What every store of documents must do. A store's own tests call [`every_check`] with a way to open an empty one.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::documents::{
    ApplyError, BODY_BYTES_MAX, Batch, Collection, DocumentKey, Documents, Precondition, Scan, WRITES_MAX, Write,
};
use crate::limits::KEY_BYTES_MAX;
use crate::registry::{Expected, IdentityName};
use crate::store::Database;
use crate::store::suite::{name, record};

pub(crate) fn key(collection: Collection, owner: &str, name: &str) -> DocumentKey {
    DocumentKey::new(collection, owner, name)
}

pub(crate) fn put(key: &DocumentKey, precondition: Precondition, body: &str) -> Write {
    Write::put(key.clone(), precondition, body.as_bytes().to_vec())
}

pub(crate) fn batch(writes: impl Into<Vec<Write>>) -> Batch {
    Batch { identity: None, writes: writes.into() }
}

fn of(name: &IdentityName, writes: impl Into<Vec<Write>>) -> Batch {
    Batch { identity: Some(name.clone()), writes: writes.into() }
}

fn scan(collection: Collection) -> Scan {
    Scan { collection, owner: None, after: None, count: 1_000 }
}

async fn body(store: &dyn Documents, key: &DocumentKey) -> Option<(i64, String)> {
    let document = store.read(key).await.unwrap()?;
    assert_eq!(&document.key, key);
    Some((document.version, String::from_utf8(document.body).unwrap()))
}

/// Runs all checks, each on an empty store.
pub(crate) async fn every_check<G, S: Database + Clone + 'static>(open: impl AsyncFn() -> (G, S)) {
    versions_grow_by_one(&open().await.1).await;
    a_batch_is_applied_whole_or_not_at_all(&open().await.1).await;
    documents_go_with_their_identity(&open().await.1).await;
    nothing_is_written_for_an_identity_that_is_gone(&open().await.1).await;
    pages_follow_one_another(&open().await.1).await;
    odd_names_are_kept_apart(&open().await.1).await;
    several_are_read_in_the_order_asked_for(&open().await.1).await;
    revisions_change_with_what_every_node_keeps(&open().await.1).await;
    sizes_have_bounds(&open().await.1).await;
    let (_guard, store) = open().await;
    of_many_only_one_is_first(&store, &store).await;
    let (_guard, store) = open().await;
    no_increment_is_lost(&[store]).await;
}

async fn versions_grow_by_one(store: &dyn Database) {
    let twin = key(Collection::Twin, "d", "");
    assert_eq!(body(store, &twin).await, None);
    assert_eq!(store.apply(batch([put(&twin, Precondition::Absent, "one")])).await.unwrap(), [1]);
    assert_eq!(store.apply(batch([put(&twin, Precondition::Version(1), "two")])).await.unwrap(), [2]);
    assert_eq!(store.apply(batch([put(&twin, Precondition::Any, "")])).await.unwrap(), [3]);
    assert_eq!(body(store, &twin).await, Some((3, String::new())));
    let remove = |precondition| batch([Write::remove(twin.clone(), precondition)]);
    assert!(store.apply(remove(Precondition::Version(2))).await.is_err());
    assert_eq!(store.apply(remove(Precondition::Version(3))).await.unwrap(), [0]);
    assert_eq!(store.apply(remove(Precondition::Any)).await.unwrap(), [0], "nothing there, nothing to do");
    assert_eq!(body(store, &twin).await, None);
    assert_eq!(store.apply(batch([put(&twin, Precondition::Any, "anew")])).await.unwrap(), [1]);
    assert_eq!(store.apply(Batch::default()).await.unwrap(), [0_i64; 0]);
}

async fn a_batch_is_applied_whole_or_not_at_all(store: &dyn Database) {
    let keys = ["a", "b", "c"].map(|name| key(Collection::State, "", name));
    let [a, b, c] = &keys;
    store.apply(batch([put(a, Precondition::Any, "1"), put(b, Precondition::Any, "1")])).await.unwrap();
    let refused =
        batch([put(a, Precondition::Any, "2"), put(b, Precondition::Absent, "2"), put(c, Precondition::Any, "2")]);
    let error = store.apply(refused).await.unwrap_err();
    assert!(matches!(error, ApplyError::Conflict { write: 1, found: Some(1) }), "{error:?}");
    let error = store.apply(batch([put(a, Precondition::Any, "3"), put(c, Precondition::Version(1), "3")])).await;
    assert!(matches!(error, Err(ApplyError::Conflict { write: 1, found: None })), "{error:?}");
    assert_eq!(body(store, a).await, Some((1, "1".to_owned())));
    assert_eq!(body(store, c).await, None);
    let applied = batch([
        put(c, Precondition::Absent, "4"),
        Write::remove(b.clone(), Precondition::Version(1)),
        put(a, Precondition::Version(1), "4"),
    ]);
    assert_eq!(store.apply(applied).await.unwrap(), [1, 0, 2]);
}

async fn documents_go_with_their_identity(store: &dyn Database) {
    for (device, module) in [("d", None), ("d", Some("m")), ("d", Some("7")), ("e", None), ("e", Some("m"))] {
        store.create(&record(device, module)).await.unwrap();
        let identity = name(device, module);
        let kept = [Collection::Twin, Collection::Session].map(|collection| DocumentKey::of(collection, &identity));
        store.apply(of(&identity, kept.map(|key| put(&key, Precondition::Absent, "x")))).await.unwrap();
    }
    let command = key(Collection::Command, "d", "7");
    let others = [
        command.clone(),
        key(Collection::CommandQueue, "d", ""),
        key(Collection::Upload, "d", "m"),
        key(Collection::Job, "d", "m"),
        key(Collection::DeviceJob, "d", ""),
    ];
    store.apply(batch(others.map(|key| put(&key, Precondition::Any, "x")))).await.unwrap();

    store.delete(&name("d", Some("7")), Expected::Any).await.unwrap();
    assert_eq!(body(store, &key(Collection::Twin, "d", "7")).await, None);
    assert!(body(store, &command).await.is_some(), "a command is called 7, not of module 7");
    assert_eq!(store.count_documents(Collection::Twin, Some("d")).await.unwrap(), 2);

    store.delete(&name("d", None), Expected::Any).await.unwrap();
    for collection in
        [Collection::Twin, Collection::Session, Collection::Command, Collection::CommandQueue, Collection::Upload]
    {
        assert_eq!(store.count_documents(collection, Some("d")).await.unwrap(), 0, "{collection:?}");
    }
    assert_eq!(store.count_documents(Collection::Twin, Some("e")).await.unwrap(), 2);
    for collection in [Collection::Job, Collection::DeviceJob] {
        assert_eq!(store.count_documents(collection, Some("d")).await.unwrap(), 1, "{collection:?} has another owner");
    }
    store.create(&record("d", None)).await.unwrap();
    assert_eq!(body(store, &key(Collection::Twin, "d", "")).await, None, "a successor begins with nothing");
}

async fn nothing_is_written_for_an_identity_that_is_gone(store: &dyn Database) {
    let device = name("d", None);
    let twin = DocumentKey::of(Collection::Twin, &device);
    let write = || of(&device, [put(&twin, Precondition::Any, "x")]);
    assert!(matches!(store.apply(write()).await, Err(ApplyError::NoIdentity)));
    store.create(&record("d", None)).await.unwrap();
    store.apply(write()).await.unwrap();
    let module = of(&name("d", Some("m")), [put(&twin, Precondition::Any, "y")]);
    assert!(matches!(store.apply(module).await, Err(ApplyError::NoIdentity)));
    store.delete(&device, Expected::Any).await.unwrap();
    assert!(matches!(store.apply(write()).await, Err(ApplyError::NoIdentity)));
    assert_eq!(store.count_documents(Collection::Twin, None).await.unwrap(), 0);
}

async fn pages_follow_one_another(store: &dyn Database) {
    let names = [("a", ""), ("a", "b"), ("a", "c"), ("a-", ""), ("b", "a"), ("b", "b")];
    let writes: Vec<Write> = names
        .iter()
        .rev()
        .map(|(owner, name)| put(&key(Collection::Twin, owner, name), Precondition::Any, name))
        .collect();
    store.apply(batch(writes)).await.unwrap();
    store.apply(batch([put(&key(Collection::Session, "a", "b"), Precondition::Any, "")])).await.unwrap();
    let page = async |owner: Option<&str>, after: Option<(&str, &str)>, count| -> Vec<String> {
        let after = after.map(|(owner, name)| (owner.into(), name.into()));
        let scan = Scan { owner: owner.map(Into::into), after, count, ..scan(Collection::Twin) };
        let documents = store.scan(&scan).await.unwrap();
        documents.iter().map(|document| format!("{}/{}", document.key.owner, document.key.name)).collect()
    };
    let all = ["a/", "a/b", "a/c", "a-/", "b/a", "b/b"];
    assert_eq!(page(None, None, 99).await, all);
    assert_eq!(page(None, None, 2).await, all[..2]);
    assert_eq!(page(None, Some(("a", "b")), 2).await, all[2..4]);
    assert_eq!(page(None, Some(("a", "zzz")), 99).await, all[3..], "also behind one that is gone");
    assert_eq!(page(Some("a"), None, 99).await, all[..3]);
    assert_eq!(page(Some("a"), Some(("a", "")), 99).await, all[1..3]);
    assert_eq!(page(Some("b"), Some(("a", "c")), 99).await, all[4..]);
    assert_eq!(page(Some("a"), Some(("b", "")), 99).await, [""; 0]);
    assert_eq!(page(None, Some(("b", "b")), 99).await, [""; 0]);
    assert_eq!(page(None, None, 0).await, [""; 0]);
    assert_eq!(store.count_documents(Collection::Twin, None).await.unwrap(), 6);
    assert_eq!(store.count_documents(Collection::Twin, Some("a")).await.unwrap(), 3);
    assert_eq!(store.count_documents(Collection::Model, None).await.unwrap(), 0);
}

async fn odd_names_are_kept_apart(store: &dyn Database) {
    let names =
        ["", "%", "_", "a", "A", "a\0b", "a\0c", "é", "e\u{301}", "🛰", "'; DROP TABLE document; --", "\\", "\"", "\n"];
    let longest = "x".repeat(KEY_BYTES_MAX);
    let names: Vec<&str> = names.into_iter().chain([longest.as_str()]).collect();
    let keys: Vec<DocumentKey> = names.iter().map(|name| key(Collection::Model, "", name)).collect();
    for (number, key) in keys.iter().enumerate() {
        store.apply(batch([put(key, Precondition::Absent, &number.to_string())])).await.unwrap();
    }
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(body(store, key).await, Some((1, number.to_string())), "{key:?}");
    }
    let listed: Vec<_> =
        store.scan(&scan(Collection::Model)).await.unwrap().into_iter().map(|document| document.key).collect();
    assert_eq!(
        listed,
        keys.into_iter().collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>(),
        "in the order of bytes"
    );
}

async fn several_are_read_in_the_order_asked_for(store: &dyn Database) {
    let keys: Vec<DocumentKey> = (0..40).map(|number| key(Collection::Twin, &format!("d{number}"), "")).collect();
    let even = keys.iter().step_by(2).map(|key| put(key, Precondition::Any, "x")).collect::<Vec<_>>();
    store.apply(batch(even)).await.unwrap();
    let asked: Vec<DocumentKey> = keys.iter().rev().cloned().collect();
    let read = store.read_many(&asked).await.unwrap();
    let wanted: Vec<&DocumentKey> = keys.iter().step_by(2).rev().collect();
    assert_eq!(read.iter().map(|document| &document.key).collect::<Vec<_>>(), wanted);
    assert!(store.read_many(&[]).await.unwrap().is_empty());
}

async fn revisions_change_with_what_every_node_keeps(store: &dyn Database) {
    let cached = [Collection::Model, Collection::Certificate, Collection::Configuration, Collection::LinkedHub];
    for collection in cached {
        let document = key(collection, "", "x");
        let mut seen = vec![store.revision(collection).await.unwrap()];
        for write in [
            put(&document, Precondition::Absent, "1"),
            put(&document, Precondition::Any, "2"),
            Write::remove(document.clone(), Precondition::Any),
        ] {
            store.apply(batch([write])).await.unwrap();
            seen.push(store.revision(collection).await.unwrap());
        }
        assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "{collection:?}: {seen:?}");
        store.apply(batch([put(&key(Collection::Twin, "d", ""), Precondition::Any, "")])).await.unwrap();
        assert_eq!(store.revision(collection).await.unwrap(), seen[3], "{collection:?}: of another collection");
    }
}

async fn sizes_have_bounds(store: &dyn Database) {
    let large = key(Collection::Command, "d", "1");
    let put_bytes = |bytes| batch([Write::put(large.clone(), Precondition::Any, vec![7; bytes])]);
    store.apply(put_bytes(BODY_BYTES_MAX)).await.unwrap();
    assert!(matches!(store.apply(put_bytes(BODY_BYTES_MAX + 1)).await, Err(ApplyError::TooLarge)));
    assert_eq!(store.read(&large).await.unwrap().unwrap().body, vec![7; BODY_BYTES_MAX]);
    let many = |count| {
        (0..count)
            .map(|n: usize| put(&key(Collection::Job, "j", &n.to_string()), Precondition::Any, ""))
            .collect::<Vec<_>>()
    };
    assert_eq!(store.apply(batch(many(WRITES_MAX))).await.unwrap(), [1; WRITES_MAX]);
    assert!(matches!(store.apply(batch(many(WRITES_MAX + 1))).await, Err(ApplyError::TooLarge)));
    let long = key(Collection::State, "x", &"y".repeat(KEY_BYTES_MAX));
    assert!(matches!(store.apply(batch([put(&long, Precondition::Any, "")])).await, Err(ApplyError::TooLarge)));
    assert!(store.read(&long).await.unwrap().is_none());
}

/// Callers of two stores, which may be two nodes, ask for the same new document at once.
pub(crate) async fn of_many_only_one_is_first<S: Database + Clone + 'static>(one: &S, other: &S) {
    for round in 0..5 {
        let document = key(Collection::Registration, "", &format!("r{round}"));
        let callers: Vec<_> = (0..40)
            .map(|number| {
                let (store, document) = (if number % 2 == 0 { one.clone() } else { other.clone() }, document.clone());
                tokio::spawn(async move {
                    store.apply(batch([put(&document, Precondition::Absent, &number.to_string())])).await
                })
            })
            .collect();
        let mut first = 0;
        for caller in callers {
            match caller.await.unwrap() {
                Ok(versions) => first += usize::from(versions == [1]),
                Err(ApplyError::Conflict { write: 0, found: Some(1) }) => {}
                Err(error) => panic!("{error:?}"),
            }
        }
        assert_eq!(first, 1);
    }
}

/// Callers of several stores, which may be nodes, count documents up, each trying again when it was overtaken.
pub(crate) async fn no_increment_is_lost<S: Database + Clone + 'static>(stores: &[S]) {
    const CALLERS: usize = 12;
    const INCREMENTS: usize = 20;
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let store: Arc<dyn Database> = Arc::new(stores[number % stores.len()].clone());
            // In different orders, so that nodes that locked in the order of asking would wait for each other.
            let mut names = ["a", "b", "c"];
            names.rotate_left(number % 3);
            let keys = names.map(|name| key(Collection::State, "", name));
            tokio::spawn(async move {
                for _ in 0..INCREMENTS {
                    while !increment(&*store, &keys).await {}
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    let total = CALLERS * INCREMENTS;
    for name in ["a", "b", "c"] {
        let found = body(&stores[0], &key(Collection::State, "", name)).await;
        assert_eq!(found, Some((i64::try_from(total).unwrap(), total.to_string())));
    }
}

async fn increment(store: &dyn Database, keys: &[DocumentKey; 3]) -> bool {
    let mut writes = Vec::new();
    for key in keys {
        let (precondition, count) = match body(store, key).await {
            Some((version, count)) => (Precondition::Version(version), count.parse().unwrap()),
            None => (Precondition::Absent, 0),
        };
        writes.push(put(key, precondition, &(count + 1).to_string()));
    }
    match store.apply(batch(writes)).await {
        Ok(_) => true,
        Err(ApplyError::Conflict { .. }) => false,
        Err(error) => panic!("{error:?}"),
    }
}
