//! What a session has asked of the control side and is owed, and what waits to be sent to its client.
//! - Invariants: an idle session owns nothing here: everything that waits is in one box, which goes with the last of it.
//! - Limits: [`REQUESTS_MAX`] requests without an answer, and [`REQUEST_BYTES_MAX`] bytes since there was none; then the session is not
//!   read. [`COMMANDS_WAITING_MAX`] commands wait for the client's window; more are left to their lock. [`DELIVERIES_WAITING_MAX`] other
//!   packets wait for its socket; more end the session.

use std::collections::VecDeque;

use millrace_model::door::{Subscriptions, ToDevice};

use crate::events;
use crate::limits::{
    COMMANDS_WAITING_MAX, DELIVERIES_WAITING_MAX, DELIVERY_BYTES_WAITING_MAX, REQUEST_BYTES_MAX, REQUESTS_MAX,
};

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Dialogue {
    /// What the client listens to.
    pub(crate) subscriptions: Subscriptions,
    /// Requests without an answer.
    asked: u16,
    /// Bytes of requests since the last time that none was without an answer.
    asked_bytes: u32,
    waiting: Option<Box<Waiting>>,
}

/// What waits.
#[derive(Default)]
struct Waiting {
    receipts: VecDeque<Receipt>,
    /// Commands of QoS 1, for which the client's window has no room.
    commands: VecDeque<ToDevice>,
    /// Packets for which its socket has no room.
    deliveries: VecDeque<ToDevice>,
    delivery_bytes: usize,
    last_token: u32,
}

/// A SUBACK or UNSUBACK that is owed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Receipt {
    token: u32,
    pub(crate) packet_id: u16,
    pub(crate) codes: Box<[u8]>,
    pub(crate) is_unsubscribe: bool,
}

impl Dialogue {
    /// A request that is answered later was handed over.
    pub(crate) fn asked(&mut self, bytes: usize) {
        self.asked = self.asked.saturating_add(1);
        self.asked_bytes = self.asked_bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// An answer has come.
    pub(crate) fn answered(&mut self) {
        self.asked = self.asked.saturating_sub(1);
        if self.asked == 0 {
            self.asked_bytes = 0;
        }
    }

    /// Whether the session may ask no more for now.
    pub(crate) fn is_full(&self) -> bool {
        self.asked >= REQUESTS_MAX || self.asked_bytes > REQUEST_BYTES_MAX
    }

    /// Notes what is owed for a SUBSCRIBE or UNSUBSCRIBE; answers the token to ask with.
    pub(crate) fn owe(&mut self, packet_id: u16, codes: Vec<u8>, is_unsubscribe: bool) -> u32 {
        let waiting = self.waiting.get_or_insert_default();
        waiting.last_token = waiting.last_token.wrapping_add(1);
        let token = waiting.last_token;
        waiting.receipts.push_back(Receipt { token, packet_id, codes: codes.into(), is_unsubscribe });
        token
    }

    /// Takes what is owed under `token`.
    pub(crate) fn receipt(&mut self, token: u32) -> Option<Receipt> {
        let receipts = &mut self.waiting.as_deref_mut()?.receipts;
        let place = receipts.iter().position(|receipt| receipt.token == token)?;
        receipts.remove(place)
    }

    /// Keeps a command until the client's window has room. False: as many wait as may.
    pub(crate) fn keep_command(&mut self, command: ToDevice) -> bool {
        let commands = &mut self.waiting.get_or_insert_default().commands;
        let has_room = commands.len() < COMMANDS_WAITING_MAX;
        if has_room {
            commands.push_back(command);
        }
        has_room
    }

    /// Keeps a packet until the client's socket has room. False: as many wait as may.
    pub(crate) fn keep_delivery(&mut self, what: ToDevice) -> bool {
        let waiting = self.waiting.get_or_insert_default();
        waiting.delivery_bytes = waiting.delivery_bytes.saturating_add(bytes(&what));
        waiting.deliveries.push_back(what);
        waiting.deliveries.len() <= DELIVERIES_WAITING_MAX && waiting.delivery_bytes <= DELIVERY_BYTES_WAITING_MAX
    }

    /// Whether packets wait for the socket, so that a new one has to wait behind them.
    pub(crate) fn has_deliveries(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| !waiting.deliveries.is_empty())
    }

    /// Whether commands wait for the window, so that a new one has to wait behind them.
    pub(crate) fn has_commands(&self) -> bool {
        self.waiting.as_ref().is_some_and(|waiting| !waiting.commands.is_empty())
    }

    /// The packet that has waited longest for the socket. A command goes behind those that wait for the window, if there are any.
    pub(crate) fn next_delivery(&mut self) -> Option<ToDevice> {
        loop {
            let waiting = self.waiting.as_deref_mut()?;
            let what = waiting.deliveries.pop_front()?;
            waiting.delivery_bytes = waiting.delivery_bytes.saturating_sub(bytes(&what));
            if waiting.commands.is_empty() || !matches!(what, ToDevice::Command { .. }) {
                return Some(what);
            }
            if !self.keep_command(what) {
                events::delivery_dropped("window");
            }
        }
    }

    /// The command that has waited longest for the window.
    pub(crate) fn next_command(&mut self) -> Option<ToDevice> {
        self.waiting.as_deref_mut()?.commands.pop_front()
    }

    /// Puts back what [`Self::next_command`] gave.
    pub(crate) fn put_back(&mut self, command: ToDevice) {
        self.waiting.get_or_insert_default().commands.push_front(command);
    }

    /// Whether anything waits to be sent.
    pub(crate) fn has_something(&self) -> bool {
        self.waiting.is_some()
    }

    /// Gives back the memory once nothing waits.
    pub(crate) fn trim(&mut self) {
        let is_empty = |waiting: &Waiting| {
            waiting.receipts.is_empty() && waiting.commands.is_empty() && waiting.deliveries.is_empty()
        };
        if self.waiting.as_deref().is_some_and(is_empty) {
            self.waiting = None;
        }
    }
}

/// What it takes to keep it.
fn bytes(what: &ToDevice) -> usize {
    let content = match what {
        ToDevice::Twin { body, .. } | ToDevice::Registration { body, .. } => body.len(),
        ToDevice::Desired { patch, .. } => patch.len(),
        ToDevice::Method { payload, .. } => payload.len(),
        ToDevice::Command { bag, body, .. } => bag.len() + body.len(),
        _ => 0,
    };
    content + size_of::<ToDevice>()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn desired(version: u64, bytes: usize) -> ToDevice {
        ToDevice::Desired { version, patch: Bytes::from(vec![b' '; bytes]) }
    }

    #[test]
    fn as_much_may_be_asked_as_can_be_answered() {
        let mut dialogue = Dialogue::default();
        for _ in 0..REQUESTS_MAX {
            assert!(!dialogue.is_full());
            dialogue.asked(1);
        }
        assert!(dialogue.is_full());
        dialogue.answered();
        assert!(!dialogue.is_full());
        let mut dialogue = Dialogue::default();
        dialogue.asked(usize::try_from(REQUEST_BYTES_MAX).unwrap());
        dialogue.asked(1);
        assert!(dialogue.is_full());
        dialogue.answered();
        assert!(dialogue.is_full(), "bytes count until all are answered");
        dialogue.answered();
        assert!(!dialogue.is_full());
    }

    #[test]
    fn what_is_owed_is_found_by_its_token_in_any_order() {
        let mut dialogue = Dialogue::default();
        let first = dialogue.owe(7, vec![1], false);
        let second = dialogue.owe(8, vec![0], true);
        assert_eq!(
            dialogue.receipt(second).map(|receipt| (receipt.packet_id, receipt.is_unsubscribe)),
            Some((8, true))
        );
        assert_eq!(dialogue.receipt(second), None);
        assert_eq!(dialogue.receipt(first).map(|receipt| receipt.packet_id), Some(7));
        dialogue.trim();
        assert!(!dialogue.has_something(), "an idle session owns nothing");
    }

    #[test]
    fn what_waits_has_bounds_and_an_order() {
        let mut dialogue = Dialogue::default();
        for version in 0..u64::try_from(DELIVERIES_WAITING_MAX).unwrap() {
            assert!(dialogue.keep_delivery(desired(version, 0)));
        }
        assert!(!dialogue.keep_delivery(desired(0, 0)));
        assert!(matches!(dialogue.next_delivery(), Some(ToDevice::Desired { version: 0, .. })));
        assert!(matches!(dialogue.next_delivery(), Some(ToDevice::Desired { version: 1, .. })));
        let mut dialogue = Dialogue::default();
        assert!(!dialogue.keep_delivery(desired(1, DELIVERY_BYTES_WAITING_MAX)));
        let commands = (0..1000).take_while(|version| dialogue.keep_command(desired(*version, 0))).count();
        assert_eq!(commands, COMMANDS_WAITING_MAX);
    }

    #[test]
    fn commands_that_wait_for_the_socket_go_behind_those_that_wait_for_the_window() {
        let command = |lock| ToDevice::Command { lock, bag: "".into(), body: Bytes::new() };
        let mut dialogue = Dialogue::default();
        for what in [command(1), command(2), desired(1, 0), command(3)] {
            assert!(dialogue.keep_delivery(what));
        }
        let first = dialogue.next_delivery().unwrap();
        assert!(matches!(first, ToDevice::Command { lock: 1, .. }));
        dialogue.put_back(first);
        assert!(matches!(dialogue.next_delivery(), Some(ToDevice::Desired { version: 1, .. })), "it needs no window");
        assert!(dialogue.next_delivery().is_none());
        for expected in 1..=3 {
            let next = dialogue.next_command();
            assert!(matches!(next, Some(ToDevice::Command { lock, .. }) if lock == expected), "{next:?}");
        }
    }
}
