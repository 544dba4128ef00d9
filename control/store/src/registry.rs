//! Identities and the decisions about them: what a new one looks like, what an update makes of an old one, what that means
//! for a live session. Decides, never stores.
//! - Source: Azure IoT Hub identity registry.
//! - Invariants: pure; time and randomness are arguments. Same input, same output.
//! - Not here: storage (`store`), the in-memory view (`directory`), JSON (`rest`).

use std::fmt;

pub use millrace_model::IdentityName;
use millrace_model::Timestamp;
use millrace_protocols_identity::{Key, Thumbprint};

use crate::error::RegistryError;
use crate::limits::{MANAGED_BY_CHARACTERS_MAX, PARENT_SCOPES_MAX, SCOPE_CHARACTERS_MAX, STATUS_REASON_CHARACTERS_MAX};

/// Whether an identity may connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Status {
    /// It may.
    #[default]
    Enabled,
    /// It may not, and a live session ends.
    Disabled,
}

/// How an identity proves itself.
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
    /// A certificate with either of two thumbprints, whoever signed it.
    SelfSigned {
        /// The certificate in use.
        primary: Option<Thumbprint>,
        /// The one that stays valid while the first one is replaced.
        secondary: Option<Thumbprint>,
    },
    /// A certificate for its name, signed by an authority that the hub knows.
    CertificateAuthority,
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
    /// Whether it is an IoT Edge device.
    pub capabilities_iot_edge: bool,
    /// What manages it; of modules.
    pub managed_by: Option<String>,
    /// The scope that it opens or is a child of.
    pub device_scope: Option<String>,
    /// Scopes of its parents; at most [`PARENT_SCOPES_MAX`].
    pub parent_scopes: Vec<String>,
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
    /// New keys or thumbprints.
    pub authentication: Option<Authentication>,
    /// Whether it is an IoT Edge device from now on.
    pub capabilities_iot_edge: Option<bool>,
    /// New manager; `Some(None)` removes it.
    pub managed_by: Option<Option<String>>,
    /// New scope; `Some(None)` removes it.
    pub device_scope: Option<Option<String>>,
    /// New scopes of its parents.
    pub parent_scopes: Option<Vec<String>>,
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
            capabilities_iot_edge: false,
            managed_by: None,
            device_scope: None,
            parent_scopes: Vec::new(),
            created: now,
            updated: now,
            status_updated: now,
        }
    }

    /// Checks what cannot be kept, whoever wrote it.
    ///
    /// # Errors
    /// When a text is too long or holds control characters, or there are too many scopes.
    pub fn check(&self) -> Result<(), RegistryError> {
        let scopes = self.device_scope.iter().chain(&self.parent_scopes);
        if !self.status_reason.iter().all(|reason| is_plain(reason, STATUS_REASON_CHARACTERS_MAX)) {
            Err(RegistryError::StatusReason)
        } else if !self.managed_by.iter().all(|manager| is_plain(manager, MANAGED_BY_CHARACTERS_MAX)) {
            Err(RegistryError::ManagedBy)
        } else if self.parent_scopes.len() > PARENT_SCOPES_MAX
            || !scopes.into_iter().all(|scope| !scope.is_empty() && is_plain(scope, SCOPE_CHARACTERS_MAX))
        {
            Err(RegistryError::Scope)
        } else {
            Ok(())
        }
    }

    /// The identity after `update`.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn updated(&self, update: Update, now: Timestamp, salt: u16) -> Result<Self, RegistryError> {
        let mut record = self.clone();
        if let Some(status) = update.status {
            if status != record.status {
                record.status_updated = now;
            }
            record.status = status;
        }
        if let Some(reason) = update.status_reason {
            record.status_reason = reason;
        }
        if let Some(authentication) = update.authentication {
            record.authentication = authentication;
        }
        record.capabilities_iot_edge = update.capabilities_iot_edge.unwrap_or(record.capabilities_iot_edge);
        record.managed_by = update.managed_by.unwrap_or(record.managed_by);
        record.device_scope = update.device_scope.unwrap_or(record.device_scope);
        record.parent_scopes = update.parent_scopes.unwrap_or(record.parent_scopes);
        record.check()?;
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
    if is_plain(&reason, STATUS_REASON_CHARACTERS_MAX) { Ok(reason) } else { Err(RegistryError::StatusReason) }
}

fn is_plain(text: &str, characters_max: usize) -> bool {
    text.chars().all(|character| !character.is_control()) && text.chars().count() <= characters_max
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
        let with = |reason: &str| Record { status_reason: Some(reason.to_owned()), ..record() };
        assert!(with(&"é".repeat(128)).check().is_ok());
        assert!(matches!(with(&"é".repeat(129)).check(), Err(RegistryError::StatusReason)));
        assert!(matches!(with("a\nb").check(), Err(RegistryError::StatusReason)));
    }

    #[test]
    fn scopes_have_a_bound() {
        let with = |scopes: &[&str]| Record { parent_scopes: scopes.iter().map(|&s| s.into()).collect(), ..record() };
        assert!(with(&["ms-azure-iot-edge://edge-1"]).check().is_ok());
        for scopes in [&["a"; 6][..], &[""], &["a\nb"], &["x".repeat(513).as_str()]] {
            assert!(matches!(with(scopes).check(), Err(RegistryError::Scope)), "{scopes:?}");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let text = format!("{:?}", record());
        assert!(!text.contains("107, 107") && !text.contains("kkk") && !text.contains("a2tr"), "{text}");
    }
}
