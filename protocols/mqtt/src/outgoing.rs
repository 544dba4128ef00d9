//! The server's own messages that the client has not acknowledged: packet ids, and what the driver calls the messages.
//! - Source: MQTT 5.0 sections 4.3.2, 4.4 and 4.9.
//! - Invariants: a packet id stands for one message at a time. A message that is published again before it was acknowledged keeps its
//!   packet id, and is marked as sent before.
//! - Limits: [`IN_FLIGHT_MAX`], or what the client announced where that is less; one that waits takes 16 bytes.

/// Messages in flight to one client, whatever it announced: as many as a device's queue holds, and some to spare.
pub(crate) const IN_FLIGHT_MAX: u16 = 64;

/// What is in flight to one client.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    in_flight: Vec<(u16, u64)>,
    last_id: u16,
}

/// The packet id of a message, and whether it was sent with it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) packet_id: u16,
    pub(crate) dup: bool,
}

impl Outgoing {
    /// A packet id for the message that the driver calls `token`. `None`: as many as may are in flight.
    pub(crate) fn enter(&mut self, token: u64, receive_maximum: u16) -> Option<Ticket> {
        //= [MQTT-3.3.1-1]
        if let Some(&(packet_id, _)) = self.in_flight.iter().find(|(_, sent)| *sent == token) {
            return Some(Ticket { packet_id, dup: true });
        }
        //= [MQTT-3.3.4-9]
        if self.in_flight.len() >= usize::from(receive_maximum.min(IN_FLIGHT_MAX)) {
            return None;
        }
        let packet_id = self.free_id();
        self.last_id = packet_id;
        self.in_flight.push((packet_id, token));
        Some(Ticket { packet_id, dup: false })
    }

    /// The client has acknowledged; what, if it was in flight.
    pub(crate) fn acknowledged(&mut self, packet_id: u16) -> Option<u64> {
        let place = self.in_flight.iter().position(|(id, _)| *id == packet_id)?;
        Some(self.in_flight.remove(place).1)
    }

    /// Gives back the buffer once nothing is in flight; the last id stays.
    pub(crate) fn trim(&mut self) {
        if self.in_flight.is_empty() {
            self.in_flight = Vec::new();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// The next id that nothing in flight has. There is one: far fewer are in flight than there are ids.
    fn free_id(&self) -> u16 {
        //= [MQTT-2.2.1-3]
        let mut packet_id = self.last_id;
        loop {
            packet_id = packet_id.wrapping_add(1).max(1);
            if !self.in_flight.iter().any(|(id, _)| *id == packet_id) {
                return packet_id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    //= test
    //= [MQTT-2.2.1-3]
    #[test]
    fn ids_go_round_without_zero_and_without_those_in_flight() {
        let mut outgoing = Outgoing { last_id: u16::MAX - 1, ..Outgoing::default() };
        let ids: Vec<_> = (0..3).map(|token| outgoing.enter(token, 9).unwrap().packet_id).collect();
        assert_eq!(ids, [u16::MAX, 1, 2]);
        outgoing.last_id = u16::MAX - 1;
        assert_eq!(outgoing.enter(7, 9).unwrap().packet_id, 3);
    }

    proptest! {
        //= test
        //= [MQTT-3.3.4-9]
        #[test]
        fn behaves_like_a_map(maximum in 1_u16..100, steps in proptest::collection::vec((any::<bool>(), 0_u64..80), 0..300)) {
            let mut outgoing = Outgoing::default();
            let mut model = std::collections::BTreeMap::new();
            for (is_entry, token) in steps {
                if is_entry {
                    let is_full = model.len() >= usize::from(maximum.min(IN_FLIGHT_MAX));
                    match (outgoing.enter(token, maximum), model.get(&token)) {
                        (Some(ticket), Some(&id)) => prop_assert_eq!(ticket, Ticket { packet_id: id, dup: true }),
                        (Some(ticket), None) => {
                            prop_assert!(!is_full && !ticket.dup && ticket.packet_id != 0);
                            prop_assert!(!model.values().any(|id| *id == ticket.packet_id));
                            model.insert(token, ticket.packet_id);
                        }
                        (None, known) => prop_assert!(known.is_none() && is_full),
                    }
                } else if let Some(id) = model.remove(&token) {
                    prop_assert_eq!(outgoing.acknowledged(id), Some(token));
                    prop_assert_eq!(outgoing.acknowledged(id), None);
                }
                prop_assert_eq!(outgoing.len(), model.len());
            }
        }
    }
}
