//! Events of the control side on their way into the journal, where routes pick them up like messages of devices.
//! - Source: Azure IoT Hub, non-telemetry events as message sources of routes.
//! - Shape: event -> [`Submission`] -> the shard of its device. One that a shard does not take is offered again after a pause.
//! - Limits: [`EVENTS_WAITING_MAX`] events wait to be offered again; what comes beyond is lost, counted, and logged when it begins.
//! - Invariants: events of one identity are handed over in the order in which they came about; one that has to be offered again may
//!   come late, and its version tells.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use millrace_control_twin::time_text;
use millrace_model::door::{Full, Intake, Submission};
use millrace_model::{Identity, IdentityName, IdentityRef, MessageSource, Timestamp, bag};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use crate::events;
use crate::limits::{EVENT_PAUSE, EVENTS_WAITING_MAX};

/// One event.
#[derive(Debug, Clone)]
pub(crate) struct Announcement {
    pub(crate) source: MessageSource,
    /// `opType`.
    pub(crate) operation: &'static str,
    /// `iothub-message-schema`.
    pub(crate) schema: &'static str,
    pub(crate) content_type: &'static str,
    pub(crate) name: IdentityName,
    pub(crate) generation_id: Arc<str>,
    pub(crate) model_id: Option<Box<str>>,
    pub(crate) at: Timestamp,
    pub(crate) correlation: u64,
    pub(crate) body: Bytes,
}

pub(crate) struct Announcer {
    intake: Arc<dyn Intake>,
    hub_name: Box<str>,
    again: mpsc::Sender<Submission>,
    losing: Arc<AtomicBool>,
}

impl Announcer {
    /// The announcer, and the queue that [`Self::offer_again`] serves.
    pub(crate) fn new(intake: Arc<dyn Intake>, hub_name: &str) -> (Self, mpsc::Receiver<Submission>) {
        let (again, waiting) = mpsc::channel(EVENTS_WAITING_MAX);
        (Self { intake, hub_name: hub_name.into(), again, losing: Arc::default() }, waiting)
    }

    /// Hands an event over.
    pub(crate) fn announce(&self, announcement: &Announcement) {
        if let Some(submission) = self.submission(announcement) {
            self.offer(submission);
        }
    }

    /// Hands an event over and waits until it is safe.
    pub(crate) async fn announce_safely(&self, announcement: &Announcement) -> Result<(), Full> {
        let Some(submission) = self.submission(announcement) else { return Ok(()) };
        let (done, waiting) = oneshot::channel();
        self.intake.submit(
            submission,
            Box::new(move |outcome| {
                done.send(outcome).ok();
            }),
        );
        waiting.await.unwrap_or(Err(Full))
    }

    /// Offers again what a shard did not take, one after the other, until the announcer is gone.
    pub(crate) async fn offer_again(&self, mut waiting: mpsc::Receiver<Submission>) {
        while let Some(submission) = waiting.recv().await {
            sleep(EVENT_PAUSE / 20).await;
            let (done, outcome) = oneshot::channel();
            let kept = submission.clone();
            self.intake.submit(
                submission,
                Box::new(move |outcome| {
                    done.send(outcome).ok();
                }),
            );
            if !matches!(outcome.await, Ok(Ok(()))) {
                sleep(EVENT_PAUSE).await;
                self.put_back(kept);
            }
        }
    }

    fn offer(&self, submission: Submission) {
        let (kept, again, losing) = (submission.clone(), self.again.clone(), Arc::clone(&self.losing));
        let done = move |outcome: Result<(), Full>| match outcome {
            Ok(()) => events::announced(),
            Err(Full) => put_back(&again, &losing, kept),
        };
        self.intake.submit(submission, Box::new(done));
    }

    fn put_back(&self, submission: Submission) {
        put_back(&self.again, &self.losing, submission);
    }

    /// `None` never happens for names that are valid: no field holds a line feed.
    fn submission(&self, announcement: &Announcement) -> Option<Submission> {
        let identity = Identity::new(&IdentityRef {
            device_id: announcement.name.device_id(),
            module_id: announcement.name.module_id(),
            generation_id: &announcement.generation_id,
            auth_method: "{}",
            model_id: announcement.model_id.as_deref(),
        })?;
        let body = announcement.body.clone();
        Some(Submission { identity, source: announcement.source, bag: self.bag(announcement), body })
    }

    fn bag(&self, announcement: &Announcement) -> Vec<u8> {
        let mut properties = Vec::with_capacity(512);
        let mut push = |key: &str, value: &str| bag::push(&mut properties, key, value);
        push("$.ct", announcement.content_type);
        push("$.ce", "utf-8");
        push("$.uid", &self.hub_name);
        push("$.cid", &format!("{:016x}", announcement.correlation));
        push("hubName", &self.hub_name);
        push("deviceId", announcement.name.device_id());
        if let Some(module_id) = announcement.name.module_id() {
            push("moduleId", module_id);
        }
        push("operationTimestamp", &time_text(announcement.at));
        push("opType", announcement.operation);
        push("iothub-message-schema", announcement.schema);
        properties
    }
}

fn put_back(again: &mpsc::Sender<Submission>, losing: &AtomicBool, submission: Submission) {
    let is_lost = again.try_send(submission).is_err();
    if is_lost {
        events::announcement_lost(!losing.swap(true, Ordering::Relaxed));
    } else {
        losing.store(false, Ordering::Relaxed);
    }
}
