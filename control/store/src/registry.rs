//! Identities and the decisions about them: what a new one looks like, what an update makes of an old one, what that means
//! for a live session. Decides, never stores.
//! - Source: Azure IoT Hub identity registry.
//! - Invariants: pure; time and randomness are arguments. Same input, same output.
//! - Not here: storage (`store`), the in-memory view (`directory`), JSON (`rest`).

use std::fmt;

use millrace_model::Timestamp;
pub use millrace_model::IdentityName;
use millrace_protocols_identity::Key;

use crate::error::RegistryError;
use crate::limits::STATUS_REASON_CHARACTERS_MAX;

/// Whether an identity may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Status {
    /// It may.
    #[default]
    Enabled,
    /// It may not, and a live session ends.
    Disabled,
}

/// How an identity proves itself. X.509 joins when the TLS doors know client certificates.
#[derive(Debug, Clone, Default)]
pub enum Authentication {
    /// Not at all: a module that another part manages.
    #[default]
    None,
    /// Tokens signed with either of two keys.
    Sas {
        /// The key that connection strings carry.
        primary: Key,
        /// The key that stays valid while the first one is replaced.
        secondary: Key,
    },
}

/// A number that is new with each use: 100-nanosecond ticks since year 1, the last four digits random.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stamp(pub i64);

/// One identity as it is kept.
#[derive(Debug, Clone)]
pub struct Record {
    /// Who.
    pub name: IdentityName,
    /// Changes when the identity is deleted and created again.
    pub generation: Stamp,
    /// Changes with every change.
    pub etag: Stamp,
    /// Whether it may connect.
    pub status: Status,
    /// Why not, in the operator's words.
    pub status_reason: Option<String>,
    /// How it proves itself.
    pub authentication: Authentication,
    /// When it was created.
    pub created: Timestamp,
    /// When it was last changed.
    pub updated: Timestamp,
    /// When its status last changed.
    pub status_updated: Timestamp,
}

/// What to change; `None` leaves a member as it is.
#[derive(Debug, Clone, Default)]
pub struct Update {
    /// New status.
    pub status: Option<Status>,
    /// New reason; `Some(None)` removes it.
    pub status_reason: Option<Option<String>>,
    /// New keys.
    pub authentication: Option<Authentication>,
}

/// Which state of an identity a change or deletion was meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Whatever it is.
    Any,
    /// The one with this etag.
    Etag(Stamp),
}

/// What has happened to an identity, in the eyes of a live session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub name: IdentityName,
    /// What.
    pub kind: ChangeKind,
}

/// Kinds of [`Change`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Created,
    /// It is gone.
    Deleted,
    /// It may no longer connect.
    Disabled,
    /// It may connect again.
    Enabled,
    /// It proves itself differently now; a session that was opened with an old key is no longer covered.
    KeysChanged,
    /// It was deleted and created again.
    Recreated,
}

impl ChangeKind {
    /// Whether a session of this identity must end.
    #[must_use]
    pub const fn ends_sessions(self) -> bool {
        !matches!(self, Self::Created | Self::Enabled)
    }
}

/// The error that says that this name is not there.
#[must_use]
pub fn not_found(name: &IdentityName) -> RegistryError {
    if name.module_id().is_some() { RegistryError::ModuleNotFound } else { RegistryError::DeviceNotFound }
}

/// The error that says that this name is taken.
#[must_use]
pub fn exists(name: &IdentityName) -> RegistryError {
    if name.module_id().is_some() { RegistryError::ModuleExists } else { RegistryError::DeviceExists }
}

impl Stamp {
    /// 100-nanosecond ticks from year 1 to 1970.
    const TICKS_1970: i64 = 621_355_968_000_000_000;

    /// A new stamp.
    #[must_use]
    pub fn new(now: Timestamp, salt: u16) -> Self {
        let ticks = now.0.saturating_mul(10_000).saturating_add(Self::TICKS_1970);
        Self(ticks.saturating_add(i64::from(salt % 10_000)))
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Expected {
    /// Checks that `found` is the state that was meant.
    ///
    /// # Errors
    /// [`RegistryError::EtagMismatch`] when it is another one.
    pub fn check(self, found: Stamp) -> Result<(), RegistryError> {
        match self {
            Self::Etag(etag) if etag != found => Err(RegistryError::EtagMismatch),
            _ => Ok(()),
        }
    }
}

impl Record {
    /// A new identity, enabled.
    #[must_use]
    pub fn new(name: IdentityName, authentication: Authentication, now: Timestamp, salt: u16) -> Self {
        let stamp = Stamp::new(now, salt);
        Self {
            name,
            generation: stamp,
            etag: stamp,
            status: Status::Enabled,
            status_reason: None,
            authentication,
            created: now,
            updated: now,
            status_updated: now,
        }
    }

    /// The identity after `update`.
    ///
    /// # Errors
    /// When the reason for the status is too long.
    pub fn updated(&self, update: Update, now: Timestamp, salt: u16) -> Result<Self, RegistryError> {
        let mut record = self.clone();
        if let Some(status) = update.status {
            if status != record.status {
                record.status_updated = now;
            }
            record.status = status;
        }
        if let Some(reason) = update.status_reason {
            record.status_reason = reason.map(checked_reason).transpose()?;
        }
        if let Some(authentication) = update.authentication {
            record.authentication = authentication;
        }
        record.updated = now;
        // Never the same etag twice, also when two updates meet in one millisecond or the clock steps back.
        record.etag = Stamp::new(now, salt).max(Stamp(self.etag.0.saturating_add(1)));
        Ok(record)
    }
}

/// A status reason that may be kept.
///
/// # Errors
/// When it is too long or holds control characters.
pub fn checked_reason(reason: String) -> Result<String, RegistryError> {
    let plain = reason.chars().all(|character| !character.is_control());
    if plain && reason.chars().count() <= STATUS_REASON_CHARACTERS_MAX {
        Ok(reason)
    } else {
        Err(RegistryError::StatusReason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let key = || Key::from_bytes(&[b'k'; 32]).unwrap();
        let authentication = Authentication::Sas { primary: key(), secondary: key() };
        Record::new(IdentityName::new("d1", None).unwrap(), authentication, Timestamp(1_000), 7)
    }

    #[test]
    fn stamps_look_like_the_hubs_and_differ() {
        assert_eq!(Stamp::new(Timestamp(1_714_557_600_000), 7).to_string(), "638501544000000007");
        let first = record();
        let again = first.updated(Update::default(), Timestamp(1_000), 7).unwrap();
        let clock_back = again.updated(Update::default(), Timestamp(0), 7).unwrap();
        assert!(first.etag < again.etag && again.etag < clock_back.etag);
        assert_eq!(first.generation, clock_back.generation);
    }

    #[test]
    fn an_update_touches_what_it_names() {
        let update = Update {
            status: Some(Status::Disabled),
            status_reason: Some(Some("lost".to_owned())),
            ..Update::default()
        };
        let disabled = record().updated(update, Timestamp(2_000), 1).unwrap();
        assert_eq!((disabled.status, disabled.status_updated), (Status::Disabled, Timestamp(2_000)));
        assert!(matches!(disabled.authentication, Authentication::Sas { .. }));
        let later = disabled.updated(Update::default(), Timestamp(3_000), 1).unwrap();
        assert_eq!((later.status_updated, later.updated), (Timestamp(2_000), Timestamp(3_000)));
        assert_eq!(later.status_reason.as_deref(), Some("lost"));
    }

    #[test]
    fn reasons_have_a_bound() {
        assert!(checked_reason("é".repeat(128)).is_ok());
        assert!(checked_reason("é".repeat(129)).is_err());
        assert!(checked_reason("a\nb".to_owned()).is_err());
    }

    #[test]
    fn debug_shows_no_key() {
        let text = format!("{:?}", record());
        assert!(!text.contains("107, 107") && !text.contains("kkk") && !text.contains("a2tr"), "{text}");
    }
}
