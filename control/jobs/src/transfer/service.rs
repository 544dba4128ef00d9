//! What the service asks of imports and exports: begin one, look, cancel.
//! - Shape: one is a document of the owner [`TRANSFER`]; the one that has not ended is named by the document [`ACTIVE`], which is written
//!   and removed together with it: there is no second one as long as it stands.

use millrace_control::Operation;
use millrace_control_store::documents::{Collection, Document, DocumentKey, Precondition, Write};
use millrace_control_store::{clock, random};
use millrace_model::HubError;
use serde_json::Value;

use super::job::Transfer;
use super::request::TransferRequest;
use crate::documents::{self, WriteError};
use crate::error::JobError;
use crate::events;
use crate::jobs::Jobs;
use crate::limits::ATTEMPTS_MAX;

/// Owner of imports and exports.
pub(super) const TRANSFER: &str = "transfer";
/// Owner and name of the mark of the one that has not ended.
const ACTIVE: &str = "transfer-active";
/// Imports and exports in a list.
const LISTED_MAX: usize = 100;

impl Jobs {
    /// Begins an import or export.
    ///
    /// # Errors
    /// When it cannot be carried out, another one is under way, or the store failed.
    pub async fn create_transfer(&self, body: &Value) -> Result<Value, HubError> {
        self.shared.control.throttle(Operation::Job).await?;
        let request = TransferRequest::parse(body)?;
        for address in request.input.iter().chain([&request.output]) {
            let refused = |why: String| HubError {
                code: 400_008,
                name: "BlobContainerValidationError",
                ..HubError::ARGUMENT.because(why)
            };
            self.shared.containers.open(address).map_err(refused)?;
        }
        let transfer = Transfer::new(new_id()?, request, clock::now());
        let writes = vec![
            Write::put(key(transfer.id()), Precondition::Absent, transfer.encode()),
            Write::put(active_key(), Precondition::Absent, transfer.id().as_bytes().to_vec()),
        ];
        documents::apply(&self.shared.control, writes).await.map_err(|error| match error {
            WriteError::Conflict => JobError::TransferActive.into(),
            WriteError::Failed(error) => error,
        })?;
        self.shared.wake_transfer.notify_one();
        Ok(transfer.response())
    }

    /// An import or export as it stands.
    ///
    /// # Errors
    /// When there is none of that id, or the store failed.
    pub async fn transfer(&self, id: &str) -> Result<Value, HubError> {
        self.shared.control.throttle(Operation::Job).await?;
        Ok(self.read_transfer(id).await?.0.response())
    }

    /// The newest imports and exports, newest first.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn transfers(&self) -> Result<Vec<Value>, HubError> {
        self.shared.control.throttle(Operation::Job).await?;
        // Ids begin with the time, counted down, so the newest come first.
        let found = documents::scan(&self.shared.control, Collection::Job, TRANSFER, None, LISTED_MAX).await?;
        Ok(found.iter().filter_map(|document| decoded(document).ok()).map(|transfer| transfer.response()).collect())
    }

    /// Cancels an import or export. What an import has done stays.
    ///
    /// # Errors
    /// When there is none of that id, it has ended, or the store failed.
    pub async fn cancel_transfer(&self, id: &str) -> Result<Value, HubError> {
        self.shared.control.throttle(Operation::Job).await?;
        for _ in 0..ATTEMPTS_MAX {
            let (transfer, version) = self.read_transfer(id).await?;
            let cancelled = transfer.cancelled(clock::now())?;
            let writes = vec![
                Write::put(key(id), Precondition::Version(version), cancelled.encode()),
                Write::remove(active_key(), Precondition::Any),
            ];
            match documents::apply(&self.shared.control, writes).await {
                Ok(_) => return Ok(cancelled.response()),
                // Whoever works on it was faster.
                Err(WriteError::Conflict) => {}
                Err(WriteError::Failed(error)) => return Err(error),
            }
        }
        Err(HubError::UNAVAILABLE)
    }

    /// The transfer, and the version of its document.
    pub(super) async fn read_transfer(&self, id: &str) -> Result<(Transfer, i64), HubError> {
        if !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(JobError::NotFound.into());
        }
        let document = documents::read(&self.shared.control, &key(id)).await?.ok_or(JobError::NotFound)?;
        Ok((decoded(&document)?, document.version))
    }

    /// The one that has not ended.
    pub(super) async fn active_transfer(&self) -> Result<Option<String>, HubError> {
        let mark = documents::read(&self.shared.control, &active_key()).await?;
        Ok(mark.and_then(|mark| String::from_utf8(mark.body).ok()))
    }
}

pub(super) fn key(id: &str) -> DocumentKey {
    DocumentKey::new(Collection::Job, TRANSFER, id)
}

pub(super) fn active_key() -> DocumentKey {
    DocumentKey::new(Collection::Job, ACTIVE, ACTIVE)
}

pub(super) fn decoded(document: &Document) -> Result<Transfer, HubError> {
    Transfer::decode(&document.body).ok_or_else(|| {
        events::corrupt("import or export", &document.key.name);
        HubError::SERVER
    })
}

/// A UUID in form: the time counted down, so that the newest sorts first, and random bits.
fn new_id() -> Result<String, HubError> {
    let mut salts = [0_u16; 5];
    for salt in &mut salts {
        *salt = random::salt().map_err(|error| millrace_control::hub_error(&error))?;
    }
    let [first, second, third, fourth, fifth] = salts;
    let left = u64::MAX.wrapping_sub(u64::try_from(clock::now().0).unwrap_or_default());
    let (high, low) = ((left >> 16) & 0xffff_ffff, left & 0xffff);
    Ok(format!("{high:08x}-{low:04x}-{first:04x}-{second:04x}-{third:04x}{fourth:04x}{fifth:04x}"))
}
