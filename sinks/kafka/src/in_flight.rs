//! What was taken from the router and is not yet acknowledged by the brokers, per shard, in order.
//! - Shape: a [`ShardQueue`] is a ring of [`InFlight`] batches; a [`Ticket`] goes with each record and comes back with its report:
//!   slot u16 (which shard) | batch number u28 (wraps) | row u20.
//! - Invariants: `safe` is the end of the last batch before which every row is acknowledged or dead-lettered; rows are handed to
//!   the producer in order; a row leaves `pending` once and never comes back.
//! - Limits: [`BATCHES_MAX`] batches per shard; bytes are counted by the caller. Pure: no socket, clock or log.

use std::collections::VecDeque;
use std::sync::Arc;

use millrace_model::{Batch, Delivery, Enrichment, Offset, Selection, ShardId};

/// Batches in flight per shard. At 16 bytes a message and one message a batch, this still is below a megabyte.
pub(crate) const BATCHES_MAX: usize = 4096;

/// Rows that a ticket can name; a batch holds at most `BATCH_MESSAGES_MAX`.
pub(crate) const ROWS_MAX: usize = 1 << ROW_BITS;
/// Shards that a ticket can name.
pub(crate) const SLOTS_MAX: usize = 1 << 16;

const ROW_BITS: u32 = 20;
const NUMBER_BITS: u32 = 28;
const NUMBER_MASK: u64 = (1 << NUMBER_BITS) - 1;

const _: () = assert!(millrace_model::limits::BATCH_MESSAGES_MAX < ROWS_MAX);
const _: () = assert!(usize::BITS >= 64, "a ticket travels in a pointer");
const _: () = assert!(BATCHES_MAX < 1 << NUMBER_BITS);

/// Which row of which batch of which shard a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) slot: usize,
    number: u64,
    pub(crate) row: usize,
}

impl Ticket {
    pub(crate) const fn new(slot: usize, number: u64, row: usize) -> Self {
        Self { slot, number, row }
    }

    pub(crate) fn pack(self) -> usize {
        let slot = u64::try_from(self.slot).unwrap_or(u64::MAX) << (NUMBER_BITS + ROW_BITS);
        let row = u64::try_from(self.row).unwrap_or(u64::MAX);
        usize::try_from(slot | (self.number & NUMBER_MASK) << ROW_BITS | row).unwrap_or(usize::MAX)
    }

    pub(crate) fn unpack(packed: usize) -> Self {
        let packed = u64::try_from(packed).unwrap_or(u64::MAX);
        let field = |bits: u64| usize::try_from(bits).unwrap_or(usize::MAX);
        Self {
            slot: field(packed >> (NUMBER_BITS + ROW_BITS)),
            number: packed >> ROW_BITS & NUMBER_MASK,
            row: field(packed & ((1 << ROW_BITS) - 1)),
        }
    }
}

/// One batch, until its last row is acknowledged.
#[derive(Debug)]
pub(crate) struct InFlight {
    pub(crate) batch: Arc<Batch>,
    pub(crate) enrichments: Arc<[Enrichment]>,
    /// Rows neither acknowledged nor dead-lettered.
    pending: Selection,
    pending_count: usize,
    /// Rows below this one are with the producer.
    next_row: usize,
    /// Everything below is done once no row is pending; past the batch's own end when batches of no interest followed.
    end: Offset,
    /// Whether the router has been told that it was taken.
    taken: bool,
}

impl InFlight {
    /// The rows that still have to be handed to the producer, in order.
    pub(crate) fn unsent_rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.pending.iter().skip_while(|&row| row < self.next_row)
    }
}

/// The batches of one shard.
#[derive(Debug)]
pub(crate) struct ShardQueue {
    pub(crate) shard: ShardId,
    safe: Offset,
    ring: VecDeque<InFlight>,
    /// Number of the ring's first batch.
    first_number: u64,
    /// Batches of the ring before this one are wholly with the producer.
    unsent: usize,
    bytes: usize,
}

impl ShardQueue {
    pub(crate) const fn new(shard: ShardId, safe: Offset) -> Self {
        Self { shard, safe, ring: VecDeque::new(), first_number: 0, unsent: 0, bytes: 0 }
    }

    /// Forgets what is in flight and starts at `safe`. Reports of forgotten rows match no batch any more.
    pub(crate) fn restart(&mut self, safe: Offset) {
        self.first_number = self.number_at(self.ring.len());
        self.ring.clear();
        self.safe = safe;
        self.unsent = 0;
        self.bytes = 0;
    }

    pub(crate) const fn safe(&self) -> Offset {
        self.safe
    }

    /// Memory of the batches that it keeps.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.ring.len() >= BATCHES_MAX
    }

    /// Whether this delivery stands in the ring already, because part of it was taken when it was offered before.
    pub(crate) fn holds(&self, delivery: &Delivery) -> bool {
        self.ring.back().is_some_and(|last| !last.taken && last.batch.base() == delivery.batch.base())
    }

    /// Adds a batch at the end. A batch that was offered before and not again is kept: its rows are delivered all the same.
    pub(crate) fn push(&mut self, delivery: &Delivery) {
        self.mark_taken();
        let end = delivery.batch.end();
        let mut pending = delivery.selected.clone();
        (delivery.batch.len()..pending.rows()).for_each(|row| pending.remove(row));
        let pending_count = pending.count();
        if pending_count == 0 {
            match self.ring.back_mut() {
                Some(last) => last.end = last.end.max(end),
                None => self.safe = self.safe.max(end),
            }
            return;
        }
        self.bytes += delivery.batch.size_bytes();
        self.ring.push_back(InFlight {
            batch: Arc::clone(&delivery.batch),
            enrichments: Arc::clone(&delivery.enrichments),
            pending,
            pending_count,
            next_row: 0,
            end,
            taken: false,
        });
    }

    /// Remembers that the router was told that the last batch is taken.
    pub(crate) fn mark_taken(&mut self) {
        if let Some(last) = self.ring.back_mut() {
            last.taken = true;
        }
    }

    /// The first batch that is not wholly with the producer, and its number.
    pub(crate) fn first_unsent(&self) -> Option<(u64, &InFlight)> {
        Some((self.number_at(self.unsent), self.ring.get(self.unsent)?))
    }

    /// Remembers how far [`Self::first_unsent`] got: up to `next_row`, or to its end.
    pub(crate) fn mark_sent(&mut self, next_row: Option<usize>) {
        let Some(batch) = self.ring.get_mut(self.unsent) else { return };
        batch.next_row = next_row.unwrap_or(usize::MAX);
        if next_row.is_none() {
            self.unsent += 1;
        }
    }

    /// Has everything that is pending sent again, from the first batch on. Answers how many rows that are.
    pub(crate) fn resend(&mut self) -> usize {
        self.unsent = 0;
        let mut repeated = 0;
        for batch in &mut self.ring {
            repeated += batch.pending.iter().take_while(|&row| row < batch.next_row).count();
            batch.next_row = 0;
        }
        repeated
    }

    /// Takes a row out of what is pending: acknowledged or dead-lettered. `false` when it was not pending.
    pub(crate) fn finish(&mut self, ticket: Ticket) -> bool {
        let Some(batch) = self.position(ticket).and_then(|position| self.ring.get_mut(position)) else { return false };
        if !batch.pending.contains(ticket.row) {
            return false;
        }
        batch.pending.remove(ticket.row);
        batch.pending_count = batch.pending_count.saturating_sub(1);
        true
    }

    /// The batch that a ticket names, while it is in flight.
    pub(crate) fn batch(&self, ticket: Ticket) -> Option<&Arc<Batch>> {
        self.position(ticket).and_then(|position| self.ring.get(position)).map(|batch| &batch.batch)
    }

    /// Lets go of finished batches and moves `safe` past them.
    pub(crate) fn advance(&mut self) {
        while self.ring.front().is_some_and(|first| first.taken && first.pending_count == 0) {
            let Some(first) = self.ring.pop_front() else { return };
            self.safe = self.safe.max(first.end);
            self.bytes = self.bytes.saturating_sub(first.batch.size_bytes());
            self.first_number = self.first_number.wrapping_add(1) & NUMBER_MASK;
            self.unsent = self.unsent.saturating_sub(1);
        }
    }

    fn number_at(&self, position: usize) -> u64 {
        self.first_number.wrapping_add(u64::try_from(position).unwrap_or(0)) & NUMBER_MASK
    }

    fn position(&self, ticket: Ticket) -> Option<usize> {
        usize::try_from(ticket.number.wrapping_sub(self.first_number) & NUMBER_MASK).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millrace_model::batch::IdentitySlot;
    use millrace_model::{BatchBuilder, Identity, IdentityRef, MessageSource, Timestamp};

    fn delivery(base: u64, rows: usize, selected: &[usize]) -> Delivery {
        let identity = Identity::new(&IdentityRef { device_id: "d", ..IdentityRef::default() }).unwrap();
        let mut builder = BatchBuilder::new();
        let mut slot = IdentitySlot::default();
        for _ in 0..rows {
            builder.append(&identity, &mut slot, MessageSource::Telemetry, Timestamp(0), [b"", b""], b"x");
        }
        let mut selection = Selection::none(rows);
        selected.iter().for_each(|&row| selection.insert(row));
        let batch = Arc::new(builder.seal(ShardId(0), Offset(base)));
        Delivery { batch, selected: selection, enrichments: Arc::new([]) }
    }

    /// Takes a delivery, sends it whole, and answers its tickets.
    fn send(queue: &mut ShardQueue, delivery: &Delivery) -> Vec<Ticket> {
        queue.push(delivery);
        queue.mark_taken();
        let tickets = queue.first_unsent().map_or_else(Vec::new, |(number, batch)| {
            batch.unsent_rows().map(|row| Ticket::new(0, number, row)).collect()
        });
        if !tickets.is_empty() {
            queue.mark_sent(None);
        }
        queue.advance();
        tickets
    }

    fn finish(queue: &mut ShardQueue, tickets: &[Ticket]) -> u64 {
        tickets.iter().for_each(|&ticket| assert!(queue.finish(ticket)));
        queue.advance();
        queue.safe().0
    }

    #[test]
    fn tickets_survive_their_journey() {
        for ticket in
            [Ticket::new(0, 0, 0), Ticket::new(SLOTS_MAX - 1, NUMBER_MASK, ROWS_MAX - 1), Ticket::new(1, 2, 3)]
        {
            assert_eq!(Ticket::unpack(ticket.pack()), ticket);
        }
    }

    #[test]
    fn safe_moves_in_order_of_batches_whatever_the_order_of_reports() {
        let mut queue = ShardQueue::new(ShardId(0), Offset(0));
        let first = send(&mut queue, &delivery(0, 4, &[0, 2]));
        let second = send(&mut queue, &delivery(4, 4, &[1]));
        assert_eq!(finish(&mut queue, &second), 0);
        assert_eq!(finish(&mut queue, &first[1..]), 0);
        assert_eq!(finish(&mut queue, &first[..1]), 8);
        assert_eq!((queue.bytes(), queue.is_empty()), (0, true));
        assert!(!queue.finish(first[0]), "a report counts once");
    }

    #[test]
    fn batches_of_no_interest_take_no_room_and_wait_for_those_before() {
        let mut queue = ShardQueue::new(ShardId(0), Offset(0));
        send(&mut queue, &delivery(0, 9, &[]));
        assert_eq!(queue.safe(), Offset(9));
        let tickets = send(&mut queue, &delivery(9, 1, &[0]));
        for base in 10..10_000 {
            send(&mut queue, &delivery(base, 1, &[]));
        }
        assert_eq!((queue.safe(), queue.ring.len()), (Offset(9), 1));
        assert_eq!(finish(&mut queue, &tickets), 10_000);
    }

    #[test]
    fn what_is_pending_is_sent_again_and_nothing_else() {
        let mut queue = ShardQueue::new(ShardId(0), Offset(0));
        let first = send(&mut queue, &delivery(0, 3, &[0, 1, 2]));
        send(&mut queue, &delivery(3, 2, &[0, 1]));
        finish(&mut queue, &first[..1]);
        assert_eq!(queue.resend(), 4);
        let rows = |queue: &ShardQueue| queue.first_unsent().map(|(_, batch)| batch.unsent_rows().collect::<Vec<_>>());
        assert_eq!(rows(&queue), Some(vec![1, 2]));
        queue.mark_sent(Some(2));
        assert_eq!(rows(&queue), Some(vec![2]));
        assert_eq!(queue.resend(), 1, "only row 1 had been sent again");
        queue.mark_sent(None);
        assert_eq!(rows(&queue), Some(vec![0, 1]));
    }

    #[test]
    fn a_batch_that_is_done_before_it_is_taken_stays_until_it_is() {
        let mut queue = ShardQueue::new(ShardId(0), Offset(0));
        let offered = delivery(0, 1, &[0]);
        queue.push(&offered);
        assert!(queue.holds(&offered));
        let ticket = Ticket::new(0, queue.first_unsent().unwrap().0, 0);
        queue.mark_sent(None);
        assert_eq!(finish(&mut queue, &[ticket]), 0);
        assert!(queue.holds(&offered), "offered again, it must not be sent twice");
        queue.mark_taken();
        queue.advance();
        assert_eq!(queue.safe(), Offset(1));
    }

    #[test]
    fn a_restart_forgets_and_old_reports_match_nothing() {
        let mut queue = ShardQueue::new(ShardId(0), Offset(0));
        let old = send(&mut queue, &delivery(0, 1, &[0]));
        queue.restart(Offset(0));
        let new = send(&mut queue, &delivery(0, 1, &[0]));
        assert!(!queue.finish(old[0]));
        assert_eq!(finish(&mut queue, &new), 1);
    }

    #[test]
    fn numbers_wrap() {
        let mut queue = ShardQueue { first_number: NUMBER_MASK, ..ShardQueue::new(ShardId(0), Offset(0)) };
        let first = send(&mut queue, &delivery(0, 1, &[0]));
        let second = send(&mut queue, &delivery(1, 1, &[0]));
        assert_eq!(second[0].number, 0);
        assert_eq!(finish(&mut queue, &second), 0);
        assert_eq!(finish(&mut queue, &first), 2);
    }
}
