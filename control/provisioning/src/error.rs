//! What goes wrong: refusals in the service's own words, and failures of starting it.
//! - Source: Azure DPS error codes, as far as they are documented; the others follow the hub's scheme.
//! - Invariants: a failure of the store is logged here and told outside without its cause.

use std::borrow::Cow;

use millrace_control_store::documents::ApplyError;
use millrace_control_store::error::RegistryError;
use millrace_model::{Classify, Fault, HubError, Kind};

use crate::attestation::Denied;
use crate::events;

/// The enrollment is disabled.
pub(crate) const DISABLED: HubError = error(401, 401_002, "Unauthorized", "the enrollment of this device is disabled");
/// The proof is not good, or there is no enrollment: which of them, nobody is told.
pub(crate) const UNAUTHORIZED: HubError =
    error(401, 401_002, "Unauthorized", "no enrollment of this id scope admits this device with this proof");
/// Nothing of that id.
pub(crate) const REGISTRATION_NOT_FOUND: HubError =
    error(404, 404_201, "RegistrationNotFound", "there is no such registration or operation");
/// Likewise.
pub(crate) const ENROLLMENT_NOT_FOUND: HubError =
    error(404, 404_202, "EnrollmentNotFound", "there is no such enrollment");
/// It is there already.
pub(crate) const ENROLLMENT_EXISTS: HubError =
    error(409, 409_202, "EnrollmentAlreadyExists", "the enrollment exists already; an update needs If-Match");
/// As many as there may be.
pub(crate) const TOO_MANY_GROUPS: HubError =
    error(403, 403_201, "QuotaExceeded", "there are as many groups as there may be");
/// No hub can be chosen.
pub(crate) const NO_HUB: HubError = error(400, 400_207, "AllocationFailed", "no linked hub can take this device");
/// The webhook failed.
pub(crate) const WEBHOOK: HubError = error(400, 400_208, "CustomAllocationFailed", "the allocation webhook failed");

const fn error(status: u16, code: u32, name: &'static str, text: &'static str) -> HubError {
    HubError { status, code, name, text: Cow::Borrowed(text) }
}

/// A refusal, and when to come again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What is refused.
    pub error: HubError,
    /// Seconds after which it may go better.
    pub retry_after: Option<u32>,
}

/// Why the service could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store failed.
    #[error("the provisioning service's state could not be read or written")]
    Store(#[source] RegistryError),
    /// What is stored is not what was once written.
    #[error("the stored state of the provisioning service cannot be understood")]
    Corrupt,
    /// A file with authorities could not be read.
    #[error("{path} could not be read as certificates")]
    Certificates {
        /// Which file.
        path: std::path::PathBuf,
    },
    /// A client of HTTP could not be made.
    #[error("the HTTP client could not be made")]
    Client(#[source] reqwest::Error),
    /// A linked hub's settings cannot be used.
    #[error("linked hub {index}: {problem}")]
    LinkedHub {
        /// Which one.
        index: usize,
        /// Why.
        problem: &'static str,
    },
    /// The system gave no randomness.
    #[error("the system gives no randomness")]
    Random,
}

impl Classify for StartError {
    fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Corrupt => Kind::Corrupt,
            Self::Certificates { .. } | Self::LinkedHub { .. } | Self::Client(_) => Kind::Malformed,
            Self::Random => Kind::Unavailable,
        }
    }

    fn fault(&self) -> Fault {
        Fault::Operator
    }
}

impl From<HubError> for Refused {
    fn from(error: HubError) -> Self {
        let retry_after = matches!(error.status, 429 | 503).then_some(5);
        Self { error, retry_after }
    }
}

impl From<Denied> for Refused {
    fn from(denied: Denied) -> Self {
        events::denied(denied);
        Self { error: UNAUTHORIZED, retry_after: None }
    }
}

impl Refused {
    /// Come again later.
    pub(crate) fn throttled(retry_after: u32) -> Self {
        Self { error: HubError::THROTTLED, retry_after: Some(retry_after) }
    }
}

/// What a caller is told of a failure of the store.
pub(crate) fn store_failed(error: &RegistryError) -> HubError {
    events::store_failed(error);
    match error.kind() {
        Kind::Unavailable => HubError::UNAVAILABLE,
        _ => HubError::SERVER.because("the provisioning service failed"),
    }
}

/// Likewise of a write.
pub(crate) fn write_failed(error: &ApplyError) -> HubError {
    match error {
        ApplyError::Store(error) => store_failed(error),
        ApplyError::Conflict { .. } => HubError::PRECONDITION,
        ApplyError::TooLarge => HubError::TOO_LARGE,
        ApplyError::NoIdentity => HubError::SERVER,
    }
}
