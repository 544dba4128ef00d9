//! Who is connected: a table of the sessions that are live on this node.
//! - Shape: 64 hash tables under a lock each; identity -> session. An entry has about 48 bytes, whatever the session listens to; the name
//!   is shared with the door.
//! - Invariants: one session per identity; a newer one replaces the older. A session that was replaced changes nothing any more. A
//!   lock is held for one look-up or one change.
//! - Limits: as many entries as doors have sessions; [`LAST_SEEN_MAX`] identities without one are remembered with when they were last seen.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::DefaultHashBuilder;
use millrace_model::door::{SessionKey, Subscriptions};
use millrace_model::{IdentityName, Timestamp};

use crate::limits::{LAST_SEEN_MAX, SESSION_PARTS};

/// A live session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) key: SessionKey,
    pub(crate) subscriptions: Subscriptions,
    /// Its subscriptions end with it.
    pub(crate) is_clean: bool,
    pub(crate) since: Timestamp,
    pub(crate) active: Timestamp,
}

/// Whether an identity is connected, and since when or until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Presence {
    /// Whether a session is live on this node.
    pub is_connected: bool,
    /// When it connected or, as far as this node remembers, when it was last there.
    pub changed: Option<Timestamp>,
    /// When it last asked for something, connected or disconnected.
    pub last_activity: Option<Timestamp>,
}

pub(crate) struct Sessions {
    parts: Box<[Mutex<Part>]>,
    hasher: DefaultHashBuilder,
    live: AtomicUsize,
}

#[derive(Default)]
struct Part {
    live: HashMap<Arc<IdentityName>, Session, DefaultHashBuilder>,
    /// Hash of a name -> seconds since 1970. Two names with one hash only show each other's time.
    last_seen: HashMap<u64, u32, DefaultHashBuilder>,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self {
            parts: (0..SESSION_PARTS).map(|_| Mutex::default()).collect(),
            hasher: DefaultHashBuilder::default(),
            live: AtomicUsize::new(0),
        }
    }

    /// How many are connected.
    pub(crate) fn count(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Puts a session in; returns the one that it replaces.
    pub(crate) fn open(&self, name: &Arc<IdentityName>, session: Session) -> Option<Session> {
        let (_, mut part) = self.part(name)?;
        let replaced = part.live.insert(Arc::clone(name), session);
        if replaced.is_none() {
            self.live.fetch_add(1, Ordering::Relaxed);
        }
        replaced
    }

    /// Takes a session out, if it is still the identity's.
    pub(crate) fn close(&self, name: &IdentityName, key: SessionKey, now: Timestamp) -> Option<Session> {
        let (hash, mut part) = self.part(name)?;
        part.live.get(name).filter(|session| session.key == key)?;
        let closed = part.live.remove(name)?;
        self.live.fetch_sub(1, Ordering::Relaxed);
        if part.last_seen.len() >= LAST_SEEN_MAX / SESSION_PARTS
            && let Some(any) = part.last_seen.keys().next().copied()
        {
            part.last_seen.remove(&any);
        }
        part.last_seen.insert(hash, u32::try_from(now.unix_seconds()).unwrap_or_default());
        Some(closed)
    }

    pub(crate) fn find(&self, name: &IdentityName) -> Option<Session> {
        let (_, part) = self.part(name)?;
        part.live.get(name).copied()
    }

    /// Whether this very session is live.
    pub(crate) fn is_live(&self, name: &IdentityName, key: SessionKey) -> bool {
        self.find(name).is_some_and(|session| session.key == key)
    }

    /// Notes that a session has asked for something; `None` when it is not live.
    pub(crate) fn touch(&self, name: &IdentityName, key: SessionKey, now: Timestamp) -> Option<Session> {
        let (_, mut part) = self.part(name)?;
        let session = part.live.get_mut(name).filter(|session| session.key == key)?;
        session.active = now;
        Some(*session)
    }

    /// Says what a session listens to from now on; whether it is live.
    pub(crate) fn listen(&self, name: &IdentityName, key: SessionKey, subscriptions: Subscriptions) -> bool {
        let Some((_, mut part)) = self.part(name) else { return false };
        let session = part.live.get_mut(name).filter(|session| session.key == key);
        session.map(|session| session.subscriptions = subscriptions).is_some()
    }

    pub(crate) fn presence(&self, name: &IdentityName) -> Presence {
        let Some((hash, part)) = self.part(name) else { return Presence::default() };
        if let Some(session) = part.live.get(name) {
            return Presence { is_connected: true, changed: Some(session.since), last_activity: Some(session.active) };
        }
        let last = part.last_seen.get(&hash).map(|&seconds| Timestamp(i64::from(seconds).saturating_mul(1_000)));
        Presence { is_connected: false, changed: last, last_activity: last }
    }

    /// Forgets when an identity was last seen: it is gone.
    pub(crate) fn forget(&self, name: &IdentityName) {
        if let Some((hash, mut part)) = self.part(name) {
            part.last_seen.remove(&hash);
        }
    }

    fn part(&self, name: &IdentityName) -> Option<(u64, MutexGuard<'_, Part>)> {
        let hash = self.hasher.hash_one(name);
        let index = usize::from(u16::try_from(hash >> 48).unwrap_or_default()) & (SESSION_PARTS - 1);
        // No code runs under this lock that could leave the tables half changed.
        Some((hash, self.parts.get(index)?.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(device: &str) -> Arc<IdentityName> {
        Arc::new(IdentityName::new(device, None).unwrap())
    }

    fn session(slot: u32, now: i64) -> Session {
        Session {
            key: SessionKey { shard: 0, slot, generation: 1 },
            subscriptions: Subscriptions::default(),
            is_clean: false,
            since: Timestamp(now),
            active: Timestamp(now),
        }
    }

    #[test]
    fn a_newer_session_replaces_the_older_which_then_changes_nothing() {
        let sessions = Sessions::new();
        let (device, first, second) = (name("d"), session(1, 1_000), session(2, 2_000));
        assert_eq!(sessions.open(&device, first), None);
        assert_eq!(sessions.open(&device, second), Some(first));
        assert_eq!(sessions.count(), 1);
        assert_eq!(sessions.close(&device, first.key, Timestamp(3_000)), None);
        assert!(!sessions.listen(&device, first.key, Subscriptions::default()));
        assert!(sessions.touch(&device, first.key, Timestamp(3_000)).is_none());
        assert!(sessions.is_live(&device, second.key));
        assert_eq!(sessions.close(&device, second.key, Timestamp(4_000)), Some(second));
        assert_eq!(sessions.count(), 0);
    }

    #[test]
    fn presence_tells_what_is_and_what_was() {
        let sessions = Sessions::new();
        let device = name("d");
        assert_eq!(sessions.presence(&device), Presence::default());
        let live = session(1, 1_000);
        sessions.open(&device, live);
        sessions.touch(&device, live.key, Timestamp(5_000));
        let presence = sessions.presence(&device);
        assert!(presence.is_connected);
        assert_eq!((presence.changed, presence.last_activity), (Some(Timestamp(1_000)), Some(Timestamp(5_000))));
        sessions.close(&device, live.key, Timestamp(7_900));
        let presence = sessions.presence(&device);
        assert_eq!((presence.is_connected, presence.last_activity), (false, Some(Timestamp(7_000))));
        sessions.forget(&device);
        assert_eq!(sessions.presence(&device), Presence::default());
    }

    #[test]
    fn what_is_remembered_of_the_absent_is_bounded() {
        let sessions = Sessions::new();
        let key = session(1, 0).key;
        let part_max = LAST_SEEN_MAX / SESSION_PARTS;
        let mut seen = 0;
        for number in 0.. {
            let device = name(&format!("d{number}"));
            let (_, part) = sessions.part(&device).unwrap();
            let full = part.last_seen.len() == part_max;
            drop(part);
            sessions.open(&device, session(1, 0));
            sessions.close(&device, key, Timestamp(1_000));
            if full {
                seen += 1;
                assert!(sessions.part(&device).unwrap().1.last_seen.len() <= part_max);
            }
            if seen == 100 || number > LAST_SEEN_MAX {
                break;
            }
        }
    }

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<(Arc<IdentityName>, Session)>() <= 48, "{}", size_of::<(Arc<IdentityName>, Session)>());
    }
}
