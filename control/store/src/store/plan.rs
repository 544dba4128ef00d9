//! What a group of batches makes of the documents: decides, never writes. (batches, what is there) -> answers and effects.
//! - Invariants: pure. Batches are decided one after the other, each whole or not at all; a refused one leaves no trace in the effects.
//!   A batch's preconditions are about what was there before the batch.
//! - Not here: reading what is there and writing the effects (`sqlite`, `postgres`).

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::documents::{ApplyError, Batch, DocumentKey, Precondition, Write};
use crate::documents::{BODY_BYTES_MAX, WRITES_MAX};
use crate::limits::{BATCH_BYTES_MAX, KEY_BYTES_MAX};
use crate::registry::IdentityName;

/// What is there of what the batches name.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    pub(super) identities: HashSet<&'a IdentityName>,
    pub(super) versions: HashMap<&'a DocumentKey, i64>,
}

/// What to answer and what to write.
#[derive(Debug, Default)]
pub(super) struct Plan<'a> {
    /// One for each batch, in their order.
    pub(super) answers: Vec<Result<Vec<i64>, ApplyError>>,
    /// What changes, in the order of the keys, so that several writers lock in the same order.
    pub(super) effects: BTreeMap<&'a DocumentKey, Effect<'a>>,
    /// What other nodes are to be told.
    pub(super) notes: Vec<(&'a DocumentKey, &'a str)>,
}

/// What becomes of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Effect<'a> {
    /// Its version in the store; `None` when it is not there.
    pub(super) before: Option<i64>,
    /// Its version afterwards, and its body; `None` when it goes.
    pub(super) after: Option<(i64, &'a [u8])>,
}

/// Checks a batch's size.
///
/// # Errors
/// [`ApplyError::TooLarge`].
pub(super) fn bytes(batch: &Batch) -> Result<usize, ApplyError> {
    let fits = |write: &Write| {
        let body = write.body.as_ref().map_or(0, Vec::len);
        let key = write.key.owner.len().saturating_add(write.key.name.len());
        (body <= BODY_BYTES_MAX && key <= KEY_BYTES_MAX).then(|| body.saturating_add(key))
    };
    let bytes = batch.writes.iter().map(fits).sum::<Option<usize>>();
    bytes.filter(|bytes| *bytes <= BATCH_BYTES_MAX && batch.writes.len() <= WRITES_MAX).ok_or(ApplyError::TooLarge)
}

/// The documents that the batches name.
pub(super) fn keys(batches: &[Batch]) -> BTreeSet<&DocumentKey> {
    batches.iter().flat_map(|batch| &batch.writes).map(|write| &write.key).collect()
}

/// The identities that the batches name.
pub(super) fn identities(batches: &[Batch]) -> BTreeSet<&IdentityName> {
    batches.iter().filter_map(|batch| batch.identity.as_ref()).collect()
}

/// Decides on all batches.
pub(super) fn plan<'a>(batches: &'a [Batch], found: &Found<'a>) -> Plan<'a> {
    let mut plan = Plan { answers: Vec::with_capacity(batches.len()), ..Plan::default() };
    for batch in batches {
        let answer =
            plan.check(batch, found).map(|()| batch.writes.iter().map(|write| plan.take(write, found)).collect());
        plan.answers.push(answer);
    }
    // What came and went within the group never was.
    plan.effects.retain(|_, effect| effect.before.is_some() || effect.after.is_some());
    plan
}

impl<'a> Plan<'a> {
    fn version(&self, key: &DocumentKey, found: &Found<'a>) -> Option<i64> {
        match self.effects.get(key) {
            Some(effect) => effect.after.map(|(version, _)| version),
            None => found.versions.get(key).copied(),
        }
    }

    fn check(&self, batch: &Batch, found: &Found<'a>) -> Result<(), ApplyError> {
        if batch.identity.as_ref().is_some_and(|name| !found.identities.contains(name)) {
            return Err(ApplyError::NoIdentity);
        }
        for (position, write) in batch.writes.iter().enumerate() {
            let version = self.version(&write.key, found);
            let holds = match write.precondition {
                Precondition::Any => true,
                Precondition::Absent => version.is_none(),
                Precondition::Version(wanted) => version == Some(wanted),
            };
            if !holds {
                return Err(ApplyError::Conflict { write: position, found: version });
            }
        }
        Ok(())
    }

    /// Takes a write over; answers the new version, 0 for a removal.
    fn take(&mut self, write: &'a Write, found: &Found<'a>) -> i64 {
        let version = self.version(&write.key, found).unwrap_or(0).saturating_add(1);
        let after = write.body.as_deref().map(|body| (version, body));
        let before = found.versions.get(&write.key).copied();
        self.effects.insert(&write.key, Effect { before, after });
        self.notes.extend(write.note.as_deref().map(|note| (&write.key, note)));
        after.map_or(0, |(version, _)| version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::Collection;

    fn key(name: &str) -> DocumentKey {
        DocumentKey::new(Collection::State, "", name)
    }

    fn batch(writes: &[(&str, Precondition, Option<&str>)]) -> Batch {
        let write = |(name, precondition, body): &(&str, Precondition, Option<&str>)| Write {
            key: key(name),
            precondition: *precondition,
            body: body.map(|body| body.as_bytes().to_vec()),
            note: Some((*name).into()),
        };
        Batch { identity: None, writes: writes.iter().map(write).collect() }
    }

    #[test]
    fn batches_see_what_came_before_them_and_share_no_fate() {
        let batches = [
            batch(&[("a", Precondition::Version(7), Some("1"))]),
            batch(&[("b", Precondition::Any, Some("lost")), ("a", Precondition::Version(7), Some("stale"))]),
            batch(&[("a", Precondition::Version(8), Some("2")), ("c", Precondition::Absent, Some("3"))]),
            batch(&[("c", Precondition::Version(1), None)]),
        ];
        let existing = key("a");
        let found = Found { versions: HashMap::from([(&existing, 7)]), ..Found::default() };
        let plan = plan(&batches, &found);
        assert_eq!(plan.answers[0].as_ref().unwrap(), &[8]);
        assert!(matches!(plan.answers[1], Err(ApplyError::Conflict { write: 1, found: Some(8) })));
        assert_eq!(plan.answers[2].as_ref().unwrap(), &[9, 1]);
        assert_eq!(plan.answers[3].as_ref().unwrap(), &[0]);
        assert_eq!(plan.notes.iter().map(|(_, note)| *note).collect::<Vec<_>>(), ["a", "a", "c", "c"]);
        let effects: Vec<_> = plan.effects.into_iter().collect();
        assert_eq!(effects, [(&existing, Effect { before: Some(7), after: Some((9, b"2".as_slice())) })]);
    }

    #[test]
    fn a_batch_for_nobody_is_refused() {
        let (here, gone) = (IdentityName::new("here", None).unwrap(), IdentityName::new("gone", None).unwrap());
        let of = |name: &IdentityName| Batch {
            identity: Some(name.clone()),
            ..batch(&[("a", Precondition::Any, Some(""))])
        };
        let batches = [of(&here), of(&gone)];
        let found = Found { identities: HashSet::from([&here]), ..Found::default() };
        let plan = plan(&batches, &found);
        assert!(plan.answers[0].is_ok() && matches!(plan.answers[1], Err(ApplyError::NoIdentity)));
        assert_eq!(plan.effects.len(), 1);
    }

    #[test]
    fn sizes_have_bounds() {
        let put = |name: &str, bytes: usize| Write::put(key(name), Precondition::Any, vec![0; bytes]);
        let of = |writes: Vec<Write>| bytes(&Batch { identity: None, writes });
        assert_eq!(of(vec![put("a", BODY_BYTES_MAX)]).unwrap(), BODY_BYTES_MAX + 1);
        assert!(of(vec![put("a", BODY_BYTES_MAX + 1)]).is_err());
        assert!(of(vec![put(&"a".repeat(KEY_BYTES_MAX + 1), 0)]).is_err());
        assert!(of(vec![put("a", 0); WRITES_MAX]).is_ok() && of(vec![put("a", 0); WRITES_MAX + 1]).is_err());
        assert!(of(vec![put("a", BODY_BYTES_MAX); 40]).is_err());
    }
}
