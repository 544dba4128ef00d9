//! Messages that come from no session: HTTPS telemetry, and events of the control side.
//! - Invariants: such a message is in the open batch before its submitter can hear that it is safe; it is told so with the
//!   acknowledgements of the level that the tier is configured with.
//! - Limits: [`SUBMISSIONS_MAX`] wait for the journal. While the journal takes no more, all are refused at once: their doors know how to
//!   say "try later".

use millrace_model::batch::IdentitySlot;
use millrace_model::door::Submission;
use millrace_model::limits::MESSAGE_BYTES_MAX;

use crate::acks::PendingAck;
use crate::command::Done;
use crate::connection::ConnectionKey;
use crate::limits::{COMMANDS_PER_TURN, SUBMISSIONS_MAX};
use crate::shard::Shard;

/// Stands for "no connection" in an acknowledgement; the generation is then the submission's number.
const NO_CONNECTION: u32 = u32::MAX;

impl Shard {
    /// Takes what other doors have submitted, a bounded part of it in each turn.
    pub(crate) fn take_submissions(&mut self) {
        for _ in 0..COMMANDS_PER_TURN {
            let Some((submission, done)) = self.commands.take_submission() else {
                return;
            };
            // Where it is not taken, `done` is dropped and says so.
            self.take_submission(&submission, done);
        }
    }

    fn take_submission(&mut self, submission: &Submission, done: Done) {
        let Submission { identity, source, bag, body } = submission;
        let desk = &mut self.desk;
        let bytes = bag.len() + body.len();
        let is_refused = desk.is_used_up || bytes > MESSAGE_BYTES_MAX || self.submitted.len() >= SUBMISSIONS_MAX;
        if is_refused || !desk.can_read() {
            return;
        }
        let Ok(number) = u32::try_from(self.submitted.insert(done)) else {
            return;
        };
        let now = desk.clock.timestamp;
        desk.builder.append(identity, &mut IdentitySlot::default(), *source, now, [bag, b""], body);
        desk.turn_messages += 1;
        desk.turn_submitted += 1;
        desk.turn_bytes += bytes;
        let connection = ConnectionKey { slot: NO_CONNECTION, generation: number };
        desk.acks.open(desk.config.acknowledge, PendingAck { connection, packet_id: 0 });
    }

    /// Tells a submitter that its message is safe. False: the acknowledgement is a connection's.
    pub(crate) fn acknowledge_submission(&mut self, key: ConnectionKey) -> bool {
        if key.slot != NO_CONNECTION {
            return false;
        }
        self.desk.turn_settled += 1;
        let number = usize::try_from(key.generation).unwrap_or(usize::MAX);
        if let Some(done) = self.submitted.try_remove(number) {
            done.safe();
        }
        true
    }
}
