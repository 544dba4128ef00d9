//! Cleans away what nobody finished: records whose time is over, and blocks that lie around for longer than any upload may take.
//! - Invariants: blocks are judged by their own age, so those of a deleted device or of a node that died go too.
//! - Limits: [`SWEEP_OBJECTS_MAX`] objects a sweep; the rest waits for the next one. Nodes that sweep at once do no harm to each other.

use std::future::Future;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use millrace_control_store::documents::{SCAN_DOCUMENTS_MAX, WRITES_MAX};
use millrace_control_store::{ApplyError, Batch, Collection, DocumentKey, Precondition, Scan, Write};
use millrace_model::HubError;
use object_store::{ObjectMeta, ObjectStoreExt as _};

use crate::events;
use crate::files::{Files, failed, now_unix, parsed};
use crate::limits::{GRACE_SECONDS, SWEEP_INTERVAL, SWEEP_OBJECTS_MAX};
use crate::record::UploadRecord;

impl Files {
    /// Sweeps from time to time until `stop` is done.
    pub async fn run(self: Arc<Self>, stop: impl Future<Output = ()> + Send) {
        let mut stop = std::pin::pin!(stop);
        let mut interval = tokio::time::interval(SWEEP_INTERVAL);
        loop {
            // A sweep that is dropped in the middle has done a part; the next one does the rest.
            tokio::select! {
                () = &mut stop => return,
                _ = interval.tick() => self.sweep(now_unix()).await,
            }
        }
    }

    /// Removes what is past at that time.
    pub async fn sweep(&self, now_unix: u64) {
        let records = self.sweep_records(now_unix).await.unwrap_or_default();
        let objects = self.sweep_objects(now_unix).await.unwrap_or_default();
        let oldest = now_unix.saturating_sub(self.config.upload_seconds.saturating_add(GRACE_SECONDS));
        self.meters.forget_before(oldest);
        if records > 0 || objects > 0 {
            events::expired(records);
            events::swept(records, objects);
        }
    }

    async fn sweep_records(&self, now_unix: u64) -> Result<u64, HubError> {
        let (mut after, mut removed) = (None, 0_u64);
        loop {
            let scan = Scan { collection: Collection::Upload, owner: None, after, count: SCAN_DOCUMENTS_MAX };
            let documents = self.documents.scan(&scan).await.map_err(|error| failed(&error))?;
            let Some(last) = documents.last() else { return Ok(removed) };
            after = Some((last.key.owner.clone(), last.key.name.clone()));
            let mut past: Vec<DocumentKey> = Vec::new();
            for document in &documents {
                if parsed::<UploadRecord>(document).is_ok_and(|record| record.is_past(now_unix)) {
                    past.push(document.key.clone());
                }
            }
            for keys in past.chunks(WRITES_MAX) {
                let writes = keys.iter().map(|key| Write::remove(key.clone(), Precondition::Any)).collect();
                self.documents
                    .apply(Batch { identity: None, writes })
                    .await
                    .map_err(|error: ApplyError| failed(&error))?;
                removed = removed.saturating_add(u64::try_from(keys.len()).unwrap_or_default());
            }
        }
    }

    async fn sweep_objects(&self, now_unix: u64) -> Result<u64, object_store::Error> {
        let oldest = now_unix.saturating_sub(self.config.upload_seconds.saturating_add(GRACE_SECONDS));
        let is_past = |meta: &ObjectMeta| u64::try_from(meta.last_modified.timestamp()).unwrap_or_default() < oldest;
        let mut listed = self.store.list(Some(&Self::staging_root()));
        let mut past = Vec::new();
        while let Some(meta) = listed.try_next().await? {
            if is_past(&meta) {
                past.push(meta.location);
            }
            if past.len() >= SWEEP_OBJECTS_MAX {
                break;
            }
        }
        drop(listed);
        for path in &past {
            match self.store.delete(path).await {
                Err(error) if !matches!(error, object_store::Error::NotFound { .. }) => return Err(error),
                _ => {}
            }
        }
        Ok(u64::try_from(past.len()).unwrap_or_default())
    }
}
