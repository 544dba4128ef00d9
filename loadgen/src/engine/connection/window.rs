//! The unacknowledged messages of a connection, in the order of sending.
//! - Invariants: no two have the same packet id; none has packet id 0.
//! - Hot path: acknowledgements come in order, so `take` looks at the front first.

use std::collections::VecDeque;

/// One message that was sent and not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct InFlight {
    /// Number of the message.
    pub(crate) sequence: u64,
    /// When it was to be sent.
    pub(crate) intended_ns: u64,
    /// Its packet id.
    pub(crate) packet_id: u16,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Window {
    messages: VecDeque<InFlight>,
    packet_id: u16,
}

impl Window {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Adds a message and gives it a packet id. The window's limit is far below the number of ids.
    pub(crate) fn push(&mut self, sequence: u64, intended_ns: u64) -> u16 {
        loop {
            self.packet_id = self.packet_id.checked_add(1).unwrap_or(1);
            let oldest = self.messages.front().map(|message| message.packet_id);
            // Ids come round after 65,535 messages: only then can one still be taken.
            if oldest.is_none() || !self.is_taken(self.packet_id) {
                break;
            }
        }
        self.messages.push_back(InFlight { sequence, intended_ns, packet_id: self.packet_id });
        self.packet_id
    }

    /// Removes the message of a packet id.
    pub(crate) fn take(&mut self, packet_id: u16) -> Option<InFlight> {
        if self.messages.front()?.packet_id == packet_id {
            return self.messages.pop_front();
        }
        let position = self.messages.iter().position(|message| message.packet_id == packet_id)?;
        self.messages.remove(position)
    }

    /// All messages, to be sent again.
    pub(crate) fn again(&self) -> Vec<InFlight> {
        self.messages.iter().copied().collect()
    }

    /// Ids are given out in order, so an id is free unless it lies between the oldest and the newest, counted around.
    fn is_taken(&self, packet_id: u16) -> bool {
        let (Some(oldest), Some(newest)) = (self.messages.front(), self.messages.back()) else { return false };
        let span = newest.packet_id.wrapping_sub(oldest.packet_id);
        packet_id.wrapping_sub(oldest.packet_id) <= span
            && self.messages.iter().any(|message| message.packet_id == packet_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_round_without_meeting_one_that_is_taken() {
        let mut window = Window::default();
        let first = window.push(0, 0);
        for sequence in 1..200_000 {
            let packet_id = window.push(sequence, 0);
            assert!(packet_id != 0 && packet_id != first);
            assert_eq!(window.take(packet_id).unwrap().sequence, sequence);
        }
        assert_eq!(window.take(first).unwrap().sequence, 0);
        assert_eq!(window.take(first), None);
    }

    #[test]
    fn acknowledgements_out_of_order_leave_the_rest_in_order() {
        let mut window = Window::default();
        let ids: Vec<u16> = (0..5).map(|sequence| window.push(sequence, 0)).collect();
        assert_eq!(window.take(ids[2]).unwrap().sequence, 2);
        assert_eq!(window.again().iter().map(|message| message.sequence).collect::<Vec<_>>(), [0, 1, 3, 4]);
    }
}
