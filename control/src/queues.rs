//! One step of a device's command queue: read, decide, write. The decisions are made in `control/command`.
//! - Shape: under the device's turn: read the index -> steps -> index, bodies and feedback in one batch, if the index still has that
//!   version, else again.
//! - Invariants: whatever leaves a queue leaves it once, because the index is written with its version. A body is there as long as its
//!   message is in the index.
//! - Limits: a batch has at most 100 bodies, one index and two pieces of feedback.

use millrace_control_command::{CommandConfig, CommandError, Input, Message, Queue, Step};
use millrace_control_store::clock;
use millrace_control_store::documents::{ApplyError, Batch, Collection, DocumentKey, Precondition, Write};
use millrace_model::{HubError, IdentityName, Timestamp};

use crate::control::Control;
use crate::events;
use crate::failure::{apply_error, hub_error};
use crate::limits::ATTEMPTS_MAX;

/// A queue that is being decided about: applies inputs one after the other and gathers what they lead to.
pub(crate) struct Draft<'a> {
    config: &'a CommandConfig,
    now: Timestamp,
    pub(crate) step: Step,
}

impl<'a> Draft<'a> {
    fn new(queue: Queue, config: &'a CommandConfig, now: Timestamp) -> Self {
        let step = Step { queue, stored: None, delivered: Vec::new(), removed: Vec::new(), outcomes: Vec::new() };
        Self { config, now, step }
    }

    /// Applies an input.
    pub(crate) fn apply(&mut self, input: Input<'_>) -> Result<(), CommandError> {
        let next = self.step.queue.step(input, self.config, self.now)?;
        self.step.queue = next.queue;
        self.step.stored = self.step.stored.or(next.stored);
        self.step.delivered.extend(next.delivered);
        self.step.removed.extend(next.removed);
        self.step.outcomes.extend(next.outcomes);
        Ok(())
    }
}

impl Control {
    /// Changes a device's queue as `decide` says. The caller holds the device's turn. `message` is the one that is enqueued.
    pub(crate) async fn change_queue(
        &self,
        device: &IdentityName,
        message: Option<&Message>,
        decide: impl Fn(&mut Draft<'_>) -> Result<(), CommandError> + Send,
    ) -> Result<Step, HubError> {
        let config = &self.shared.settings.commands;
        for _ in 0..ATTEMPTS_MAX {
            let (queue, version) = self.read_queue(device).await?;
            let before = queue.clone();
            let mut draft = Draft::new(queue, config, clock::now());
            decide(&mut draft)?;
            let step = draft.step;
            if step.queue == before {
                // Another process may have been here.
                self.shared.deadlines.set(device.device_id(), step.queue.next_deadline());
                return Ok(step);
            }
            let batch = self.batch(device, version, &step, message);
            match self.shared.documents.apply(batch).await {
                Ok(_) => {
                    self.shared.deadlines.set(device.device_id(), step.queue.next_deadline());
                    events::queue_changed(step.stored.is_some(), step.removed.len());
                    return Ok(step);
                }
                // Another process was faster.
                Err(ApplyError::Conflict { .. }) => {}
                Err(error) => return Err(apply_error(&error, device)),
            }
        }
        Err(HubError::UNAVAILABLE)
    }

    /// The queue and the version of its document.
    pub(crate) async fn read_queue(&self, device: &IdentityName) -> Result<(Queue, Option<i64>), HubError> {
        let key = DocumentKey::new(Collection::CommandQueue, device.device_id(), "");
        let found = self.shared.documents.read(&key).await.map_err(|error| hub_error(&error))?;
        let Some(document) = found else { return Ok((Queue::new(), None)) };
        let queue = Queue::decode(&document.body).inspect_err(|error| events::corrupt("command queue", error))?;
        Ok((queue, Some(document.version)))
    }

    fn batch(&self, device: &IdentityName, version: Option<i64>, step: &Step, message: Option<&Message>) -> Batch {
        let owner = device.device_id();
        let precondition = version.map_or(Precondition::Absent, Precondition::Version);
        let index = DocumentKey::new(Collection::CommandQueue, owner, "");
        // A session on another node gets what is put in here.
        let note = (step.stored.is_some() && self.shared.has_peers).then(Box::default);
        let mut writes = vec![Write::put(index, precondition, step.queue.encode()).noted(note)];
        let kept = step.stored.filter(|sequence| !step.removed.contains(sequence));
        if let (Some(sequence), Some(message)) = (kept, message) {
            writes.push(Write::put(body_key(owner, sequence), Precondition::Any, message.encode()));
        }
        let gone = step.removed.iter().filter(|&&sequence| step.stored != Some(sequence));
        writes.extend(gone.map(|&sequence| Write::remove(body_key(owner, sequence), Precondition::Any)));
        writes.extend(self.feedback_writes(device, &step.outcomes));
        Batch { identity: Some(device.clone()), writes }
    }
}

/// Key of a command's body. Numbers are padded, so that keys are in the order of numbers.
pub(crate) fn body_key(device_id: &str, sequence: u64) -> DocumentKey {
    DocumentKey::new(Collection::Command, device_id, &format!("{sequence:020}"))
}
