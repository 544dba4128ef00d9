//! The queue of notifications: services take one, and say when they are done with it.
//! - Invariants: at least once; a lock that is over is worth nothing, because the document's version is part of its token.
//! - Limits: `notification_seconds`, `notification_deliveries_max`; a page of the queue is looked at for one that nobody has locked.

use millrace_control_store::documents::SCAN_DOCUMENTS_MAX;
use millrace_control_store::{ApplyError, Batch, Collection, Document, DocumentKey, Precondition, Scan, Write};
use millrace_model::HubError;

use crate::events;
use crate::files::{Files, failed, json, now_unix, parsed};
use crate::record::NotificationRecord;

/// A notification under a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedNotification {
    /// Names the lock.
    pub lock_token: String,
    /// What happened, as JSON.
    pub body: Vec<u8>,
}

impl Files {
    /// Locks and returns the oldest notification that nobody else has; `None` when there is none.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn receive_notification(&self) -> Result<Option<ReceivedNotification>, HubError> {
        let scan = Scan {
            collection: Collection::FileNotification,
            owner: Some("".into()),
            after: None,
            count: SCAN_DOCUMENTS_MAX,
        };
        let now = now_unix();
        for document in self.documents.scan(&scan).await.map_err(|error| failed(&error))? {
            let mut record: NotificationRecord = parsed(&document)?;
            if record.expires < now || record.deliveries >= self.config.notification_deliveries_max {
                events::notification_dropped("its time is over, or it was handed out too often");
                self.change(&document, None).await?;
                continue;
            }
            if record.locked_until > now {
                continue;
            }
            record.locked_until = now.saturating_add(self.config.notification_lock_seconds);
            record.deliveries = record.deliveries.saturating_add(1);
            if let Some(version) = self.change(&document, Some(json(&record)?)).await? {
                let lock_token = format!("{}.{version}", document.key.name);
                return Ok(Some(ReceivedNotification { lock_token, body: json(&record.notification)? }));
            }
        }
        Ok(None)
    }

    /// A service is done with a notification.
    ///
    /// # Errors
    /// `LOCK_LOST` when the lock is over; when the store failed.
    pub async fn complete_notification(&self, lock_token: &str) -> Result<(), HubError> {
        let document = self.locked(lock_token).await?;
        self.change(&document, None).await?.map(drop).ok_or(HubError::LOCK_LOST)
    }

    /// A service wants a notification later, or somebody else to have it.
    ///
    /// # Errors
    /// As [`Self::complete_notification`].
    pub async fn abandon_notification(&self, lock_token: &str) -> Result<(), HubError> {
        let document = self.locked(lock_token).await?;
        let mut record: NotificationRecord = parsed(&document)?;
        record.locked_until = 0;
        self.change(&document, Some(json(&record)?)).await?.map(drop).ok_or(HubError::LOCK_LOST)
    }

    /// The document that a token locks, if it still does.
    async fn locked(&self, lock_token: &str) -> Result<Document, HubError> {
        let (name, version) = lock_token.rsplit_once('.').ok_or(HubError::LOCK_LOST)?;
        let key = DocumentKey::new(Collection::FileNotification, "", name);
        let document = self.documents.read(&key).await.map_err(|error| failed(&error))?;
        let document =
            document.filter(|document| version.parse() == Ok(document.version)).ok_or(HubError::LOCK_LOST)?;
        let record: NotificationRecord = parsed(&document)?;
        if record.locked_until > now_unix() { Ok(document) } else { Err(HubError::LOCK_LOST) }
    }

    /// Writes or removes a document as it was read; `None` when somebody else was first.
    async fn change(&self, document: &Document, body: Option<Vec<u8>>) -> Result<Option<i64>, HubError> {
        let write = Write {
            key: document.key.clone(),
            precondition: Precondition::Version(document.version),
            body,
            note: None,
        };
        match self.documents.apply(Batch { identity: None, writes: vec![write] }).await {
            Ok(versions) => Ok(Some(versions.first().copied().unwrap_or_default())),
            Err(ApplyError::Conflict { .. }) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }
}
