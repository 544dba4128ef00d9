//! Feedback on commands, on its way to the service.
//! - Source: Azure IoT Hub message feedback: batches of up to 64 records, or of what came in 15 s, each locked while the service has it.
//! - Shape: what a step of a queue leads to is written with it as a piece of its own (`piece-TIME-SALT`), so that devices do not wait for
//!   each other; whoever receives makes batches of pieces (`batch-TIME-SALT`), in one write.
//! - Invariants: a record is in one piece or in one batch, never in both. A batch goes when the service completes it, when it was
//!   handed out too often, or when it is too old. Feedback on a device that is gone is not handed out.
//! - Limits: [`FEEDBACK_KEPT_MAX`] documents, roughly; [`FEEDBACK_BATCHES_MAX`] batches. What comes beyond is lost, and counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use millrace_control_command::{FeedbackBatch, LockToken, Outcome};
use millrace_control_store::clock;
use millrace_control_store::documents::{
    ApplyError, Batch, Collection, Document, DocumentKey, Precondition, Scan, WRITES_MAX, Write,
};
use millrace_ingest::Directory;
use millrace_model::{HubError, IdentityName, Timestamp};
use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::control::Control;
use crate::events;
use crate::failure::hub_error;
use crate::limits::{FEEDBACK_BATCHES_MAX, FEEDBACK_KEPT_MAX, FEEDBACK_SWEEP, ROWS_MAX};

/// Sorts before [`PIECE`].
const BATCH: &str = "batch-";
const PIECE: &str = "piece-";

#[derive(Default)]
pub(crate) struct Feedback {
    /// Whoever receives holds it, so that no piece goes into two batches.
    receiving: Mutex<()>,
    /// Documents that there are, as of the last look; those written since then included.
    kept: AtomicU64,
    losing: AtomicBool,
}

/// Feedback that was handed out under a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedFeedback {
    /// What completes or abandons it.
    pub lock_token: String,
    /// The JSON array that the service reads.
    pub json: String,
}

/// What came of looking for a batch.
enum Gathered {
    Batch(ReceivedFeedback),
    /// Nothing that is due.
    Nothing,
    /// What nobody gets any more was removed; there may be more behind it.
    Cleared,
}

impl Control {
    /// Hands out the next batch of feedback; `None` when there is none.
    ///
    /// # Errors
    /// When the store failed.
    pub async fn receive_feedback(&self) -> Result<Option<ReceivedFeedback>, HubError> {
        let _receiving = self.shared.feedback.receiving.lock().await;
        let now = clock::now();
        let batches = self.feedback_page(None, FEEDBACK_BATCHES_MAX).await?;
        let batches: Vec<_> = batches.into_iter().filter(|document| document.key.name.starts_with(BATCH)).collect();
        let has_room = batches.len() < FEEDBACK_BATCHES_MAX;
        for document in batches {
            if let Some(received) = self.hand_out(document, now).await? {
                return Ok(Some(received));
            }
        }
        if !has_room {
            return Ok(None);
        }
        // Pieces about devices that are gone may lie before those that somebody waits for.
        loop {
            match self.gather(now).await? {
                Gathered::Batch(received) => return Ok(Some(received)),
                Gathered::Nothing => return Ok(None),
                Gathered::Cleared => {}
            }
        }
    }

    /// The service is done with a batch.
    ///
    /// # Errors
    /// `LOCK_LOST` when its lock is over; when the store failed.
    pub async fn complete_feedback(&self, lock_token: &str) -> Result<(), HubError> {
        let (document, batch, token) = self.locked_batch(lock_token).await?;
        batch.check_lock(token, clock::now())?;
        let removal = Write::remove(document.key, Precondition::Version(document.version));
        self.apply_feedback(vec![removal]).await?.ok_or(HubError::LOCK_LOST)
    }

    /// The service wants a batch later.
    ///
    /// # Errors
    /// As [`Self::complete_feedback`].
    pub async fn abandon_feedback(&self, lock_token: &str) -> Result<(), HubError> {
        let (document, mut batch, token) = self.locked_batch(lock_token).await?;
        batch.abandon(token, clock::now())?;
        let write = Write::put(document.key, Precondition::Version(document.version), batch.encode());
        self.apply_feedback(vec![write]).await?.ok_or(HubError::LOCK_LOST)
    }

    /// What is to be written with a step that leads to these outcomes.
    pub(crate) fn feedback_writes(&self, device: &IdentityName, outcomes: &[Outcome]) -> Vec<Write> {
        if outcomes.is_empty() {
            return Vec::new();
        }
        let feedback = &self.shared.feedback;
        if feedback.kept.load(Ordering::Relaxed) >= FEEDBACK_KEPT_MAX {
            events::feedback_lost(outcomes.len(), !feedback.losing.swap(true, Ordering::Relaxed));
            return Vec::new();
        }
        let now = clock::now();
        let generation_id = self.generation_id(device);
        let mut pieces = Vec::new();
        let mut piece = FeedbackBatch::new(now);
        for outcome in outcomes {
            let record = outcome.clone().record(device.device_id(), &generation_id);
            if let Err(record) = piece.push(record) {
                pieces.push(std::mem::replace(&mut piece, FeedbackBatch::new(now)));
                // A new piece takes a record.
                drop(piece.push(*record));
            }
        }
        pieces.push(piece);
        feedback.kept.fetch_add(u64::try_from(pieces.len()).unwrap_or_default(), Ordering::Relaxed);
        let write = |piece: FeedbackBatch| Write::put(self.new_key(PIECE, now), Precondition::Absent, piece.encode());
        pieces.into_iter().map(write).collect()
    }

    /// Counts what is kept, and removes what is too old, again and again.
    pub(crate) async fn sweep_feedback(&self) {
        loop {
            {
                let _receiving = self.shared.feedback.receiving.lock().await;
                // A failure is in the log.
                drop(self.sweep_once().await);
            }
            sleep(FEEDBACK_SWEEP).await;
        }
    }

    async fn sweep_once(&self) -> Result<(), HubError> {
        let mut after = None;
        let mut kept: u64 = 0;
        loop {
            let page = self.feedback_page(after, ROWS_MAX).await?;
            let Some(last) = page.last() else { break };
            after = Some((last.key.owner.clone(), last.key.name.clone()));
            let now = clock::now();
            let (over, good): (Vec<_>, Vec<_>) = page.into_iter().partition(|document| self.is_over(document, now));
            kept = kept.saturating_add(u64::try_from(good.len()).unwrap_or_default());
            for part in over.chunks(WRITES_MAX) {
                let removal = |document: &Document| Write::remove(document.key.clone(), Precondition::Any);
                self.apply_feedback(part.iter().map(removal).collect()).await?;
            }
        }
        self.shared.feedback.kept.store(kept, Ordering::Relaxed);
        self.shared.feedback.losing.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Whether nobody will get it any more; what cannot be read is of no use to anybody either.
    fn is_over(&self, document: &Document, now: Timestamp) -> bool {
        let batch = FeedbackBatch::decode(&document.body);
        batch.map_or(true, |batch| batch.is_over(now, &self.shared.settings.commands))
    }

    /// Locks a batch, if it is due.
    async fn hand_out(&self, document: Document, now: Timestamp) -> Result<Option<ReceivedFeedback>, HubError> {
        let config = &self.shared.settings.commands;
        let batch = FeedbackBatch::decode(&document.body).inspect_err(|error| events::corrupt("feedback", error));
        let Ok(mut batch) = batch else { return Ok(None) };
        let Some(token) = batch.lock(now, self.shared.tokens.small(), config) else { return Ok(None) };
        let received = ReceivedFeedback { lock_token: lock_token(&document.key, token), json: batch.to_json() };
        let write = Write::put(document.key, Precondition::Version(document.version), batch.encode());
        // Another process may have been faster.
        Ok(self.apply_feedback(vec![write]).await?.map(|()| received))
    }

    /// Makes a batch of pieces and hands it out, if there are enough of them or the first has waited long enough.
    async fn gather(&self, now: Timestamp) -> Result<Gathered, HubError> {
        let config = &self.shared.settings.commands;
        // Behind all batches.
        let pieces = self.feedback_page(Some(("".into(), PIECE.into())), WRITES_MAX - 1).await?;
        let mut gathered: Option<FeedbackBatch> = None;
        let mut writes = Vec::new();
        for document in pieces {
            let Some(piece) = self.readable(&document) else { continue };
            let piece = self.without_gone(&piece);
            if !piece.records().is_empty() {
                let batch = gathered.get_or_insert_with(|| FeedbackBatch::new(piece.opened()));
                let mut larger = batch.clone();
                if piece.records().iter().any(|record| larger.push(record.clone()).is_err()) {
                    break;
                }
                *batch = larger;
            }
            writes.push(Write::remove(document.key, Precondition::Version(document.version)));
        }
        let Some(mut batch) = gathered else {
            let is_cleared = !writes.is_empty() && self.apply_feedback(writes).await?.is_some();
            return Ok(if is_cleared { Gathered::Cleared } else { Gathered::Nothing });
        };
        let Some(token) = batch.lock(now, self.shared.tokens.small(), config) else { return Ok(Gathered::Nothing) };
        let key = self.new_key(BATCH, now);
        let received = ReceivedFeedback { lock_token: lock_token(&key, token), json: batch.to_json() };
        writes.push(Write::put(key, Precondition::Absent, batch.encode()));
        let is_ours = self.apply_feedback(writes).await?.is_some();
        Ok(if is_ours { Gathered::Batch(received) } else { Gathered::Nothing })
    }

    fn readable(&self, document: &Document) -> Option<FeedbackBatch> {
        let piece = FeedbackBatch::decode(&document.body);
        piece.inspect_err(|error| events::corrupt("feedback", error)).ok()
    }

    /// Leaves out what is about devices that are gone, or were created anew since.
    fn without_gone(&self, piece: &FeedbackBatch) -> FeedbackBatch {
        let is_there = |device: &str, generation: &str| {
            self.shared.directory.find(device, None).is_some_and(|found| *found.generation_id == *generation)
        };
        let mut kept = FeedbackBatch::new(piece.opened());
        for record in piece.records() {
            if is_there(&record.device_id, &record.device_generation_id) {
                // No more records than there were.
                drop(kept.push(record.clone()));
            }
        }
        kept
    }

    async fn feedback_page(
        &self,
        after: Option<(Box<str>, Box<str>)>,
        count: usize,
    ) -> Result<Vec<Document>, HubError> {
        let scan = Scan { collection: Collection::Feedback, owner: Some("".into()), after, count };
        self.shared.documents.scan(&scan).await.map_err(|error| hub_error(&error))
    }

    async fn locked_batch(&self, lock_token: &str) -> Result<(Document, FeedbackBatch, LockToken), HubError> {
        let text = lock_token.trim().trim_matches('"');
        let (name, token) = text.rsplit_once('.').ok_or(HubError::LOCK_LOST)?;
        let token: LockToken = token.parse()?;
        let key = DocumentKey::new(Collection::Feedback, "", &format!("{BATCH}{name}"));
        let found = self.shared.documents.read(&key).await.map_err(|error| hub_error(&error))?;
        let document = found.ok_or(HubError::LOCK_LOST)?;
        let batch = FeedbackBatch::decode(&document.body).inspect_err(|error| events::corrupt("feedback", error))?;
        Ok((document, batch, token))
    }

    /// `None` when another process was faster.
    async fn apply_feedback(&self, writes: Vec<Write>) -> Result<Option<()>, HubError> {
        match self.shared.documents.apply(Batch { identity: None, writes }).await {
            Ok(_) => Ok(Some(())),
            Err(ApplyError::Store(error)) => Err(hub_error(&error)),
            Err(_) => Ok(None),
        }
    }

    fn new_key(&self, kind: &str, now: Timestamp) -> DocumentKey {
        let salt = self.shared.tokens.next();
        DocumentKey::new(Collection::Feedback, "", &format!("{kind}{:016x}-{salt:016x}", now.0))
    }
}

/// Name of the batch behind its kind, and the lock: in a form that fits into a path and a header.
fn lock_token(key: &DocumentKey, token: LockToken) -> String {
    format!("{}.{token}", key.name.strip_prefix(BATCH).unwrap_or_default())
}
