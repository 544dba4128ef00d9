//! Random batches and changes of identities, on a store and on two maps: both must always agree.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::documents::{ApplyError, Batch, Collection, DocumentKey, Precondition, Scan, Write};
use crate::registry::{Expected, IdentityName};
use crate::store::Database;
use crate::store::suite::{name, record};

/// What a write asks for; the right version is known only when it is carried out.
#[derive(Debug, Clone, Copy)]
enum Wish {
    Any,
    Absent,
    Right,
    Version(i64),
}

#[derive(Debug, Clone)]
enum Step {
    Create(usize),
    Delete(usize),
    /// Identity that must be there; writes by number of key, at most one of each.
    Apply(Option<usize>, BTreeMap<usize, (Wish, Option<u8>)>),
}

#[derive(Default)]
struct Model {
    identities: BTreeSet<IdentityName>,
    documents: BTreeMap<DocumentKey, (i64, Vec<u8>)>,
}

/// Two devices, a module each, and their documents; and one that belongs to nobody. Each case has its own.
struct World {
    identities: Vec<IdentityName>,
    keys: Vec<DocumentKey>,
}

impl World {
    fn new(case: u32) -> Self {
        let (one, other, nobody) = (format!("c{case}-1"), format!("c{case}-2"), format!("c{case}"));
        let identities = vec![name(&one, None), name(&one, Some("m")), name(&other, None), name(&other, Some("m"))];
        let of_all = identities.iter().flat_map(|identity| {
            [Collection::Twin, Collection::Session].map(|collection| DocumentKey::of(collection, identity))
        });
        let mut keys: Vec<DocumentKey> = of_all.collect();
        keys.push(DocumentKey::new(Collection::Command, &one, "m"));
        keys.push(DocumentKey::new(Collection::Configuration, &nobody, "m"));
        Self { identities, keys }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let wish = prop_oneof![Just(Wish::Any), Just(Wish::Absent), Just(Wish::Right), (1_i64..4).prop_map(Wish::Version)];
    let writes =
        proptest::collection::btree_map(0..10_usize, (wish, proptest::option::weighted(0.8, any::<u8>())), 0..4);
    prop_oneof![
        2 => (0..4_usize).prop_map(Step::Create),
        1 => (0..4_usize).prop_map(Step::Delete),
        7 => (proptest::option::of(0..4_usize), writes).prop_map(|(identity, writes)| Step::Apply(identity, writes)),
    ]
}

impl Model {
    fn apply(&mut self, batch: &Batch) -> Result<Vec<i64>, String> {
        if batch.identity.as_ref().is_some_and(|identity| !self.identities.contains(identity)) {
            return Err("no identity".to_owned());
        }
        for (position, write) in batch.writes.iter().enumerate() {
            let found = self.documents.get(&write.key).map(|(version, _)| *version);
            let holds = match write.precondition {
                Precondition::Any => true,
                Precondition::Absent => found.is_none(),
                Precondition::Version(version) => found == Some(version),
            };
            if !holds {
                return Err(format!("conflict {position} {found:?}"));
            }
        }
        let write = |write: &Write| match &write.body {
            Some(body) => {
                let entry = self.documents.entry(write.key.clone()).or_default();
                *entry = (entry.0 + 1, body.clone());
                entry.0
            }
            None => {
                self.documents.remove(&write.key);
                0
            }
        };
        Ok(batch.writes.iter().map(write).collect())
    }

    fn delete(&mut self, identity: &IdentityName) {
        let Some(module_id) = identity.module_id() else {
            self.identities.retain(|other| other.device_id() != identity.device_id());
            let goes = |key: &DocumentKey| key.collection.is_of_identity() && &*key.owner == identity.device_id();
            self.documents.retain(|key, _| !goes(key));
            return;
        };
        self.identities.remove(identity);
        for collection in [Collection::Twin, Collection::Session] {
            self.documents.remove(&DocumentKey::new(collection, identity.device_id(), module_id));
        }
    }
}

/// Compares `cases` random histories.
pub(super) fn compare(runtime: &tokio::runtime::Runtime, store: &dyn Database, cases: u32) {
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let case = Cell::new(0);
    let result = runner.run(&vec(step(), 1..30), |steps| {
        case.set(case.get() + 1);
        runtime.block_on(history(store, &World::new(case.get()), &steps));
        Ok(())
    });
    result.unwrap();
}

async fn history(store: &dyn Database, world: &World, steps: &[Step]) {
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Create(number) => {
                let identity = &world.identities[*number];
                let device = name(identity.device_id(), None);
                let may = !model.identities.contains(identity)
                    && (identity.module_id().is_none() || model.identities.contains(&device));
                let created = store.create(&record(identity.device_id(), identity.module_id())).await;
                assert_eq!(created.is_ok(), may, "{created:?}");
                if may {
                    model.identities.insert(identity.clone());
                }
            }
            Step::Delete(number) => {
                let identity = &world.identities[*number];
                let deleted = store.delete(identity, Expected::Any).await;
                assert_eq!(deleted.is_ok(), model.identities.contains(identity), "{deleted:?}");
                if deleted.is_ok() {
                    model.delete(identity);
                }
            }
            Step::Apply(identity, writes) => {
                let batch = batch(world, &model, *identity, writes);
                let wanted = model.apply(&batch);
                let found = store.apply(batch).await.map_err(|error| match error {
                    ApplyError::NoIdentity => "no identity".to_owned(),
                    ApplyError::Conflict { write, found } => format!("conflict {write} {found:?}"),
                    error => panic!("{error:?}"),
                });
                assert_eq!(found, wanted);
            }
        }
    }
    let mut found = BTreeMap::new();
    for (collection, owner) in world.keys.iter().map(|key| (key.collection, key.owner.clone())).collect::<BTreeSet<_>>()
    {
        let scan = Scan { collection, owner: Some(owner), after: None, count: 99 };
        let documents = store.scan(&scan).await.unwrap();
        found.extend(documents.into_iter().map(|document| (document.key, (document.version, document.body))));
    }
    assert_eq!(found, model.documents);
}

fn batch(world: &World, model: &Model, identity: Option<usize>, writes: &BTreeMap<usize, (Wish, Option<u8>)>) -> Batch {
    let write = |(number, (wish, body)): (&usize, &(Wish, Option<u8>))| {
        let key = world.keys[*number].clone();
        let precondition = match wish {
            Wish::Any => Precondition::Any,
            Wish::Absent => Precondition::Absent,
            Wish::Version(version) => Precondition::Version(*version),
            Wish::Right => {
                model.documents.get(&key).map_or(Precondition::Absent, |(version, _)| Precondition::Version(*version))
            }
        };
        Write { key, precondition, body: body.map(|byte| vec![byte; usize::from(byte)]), note: None }
    };
    Batch {
        identity: identity.map(|number| world.identities[number].clone()),
        writes: writes.iter().map(write).collect(),
    }
}
