//! The sink: takes batches, keeps the producer fed, and knows what is safe.
//! - Shape: `deliver` puts a batch into its shard's ring and hands its rows to the producer; `settle` works off the reports;
//!   a failed producer is replaced, and what is pending goes to the new one, in order, from the first batch on.
//! - Invariants: a row is sent only after all earlier rows of its shard; nothing is sent by a producer that has failed; a message
//!   that Kafka refuses for good is dead-lettered before `safe` passes it.
//! - Limits: `in_flight_messages` and `in_flight_bytes`; then `Busy`, or `Unavailable` during an outage.
//! - Errors: a broker refuses a whole request, not a record. To find the record at fault, all that is in flight is sent again with
//!   one record per request ([`Mode::Alone`]), and no new batch is taken meanwhile.
//! - Hot path: `pump`; nothing is allocated per message outside librdkafka.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_model::{DeadLetter, Delivery, Offset, ShardId, Sink, SinkError};
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;

use crate::client::{Client, Outage, Report, Sent, Verdict, error_text};
use crate::config::{HeaderSet, KafkaConfig};
use crate::events::{Counters, DeadLettered, ProducerRestarted};
use crate::in_flight::{InFlight, ROWS_MAX, SLOTS_MAX, ShardQueue, Ticket};
use crate::request;
use crate::restart::{Mode, Requests, Restart};

/// How long a delivery waits for room in a full queue.
const ROOM_WAIT: Duration = Duration::from_millis(10);

/// How long one turn of `drain` waits for reports.
const DRAIN_WAIT: Duration = Duration::from_millis(5);

/// A message that Kafka can never take and that is not yet with the dead letters.
#[derive(Debug)]
struct Refusal {
    ticket: Ticket,
    reason: String,
}

/// Delivers to one topic.
pub struct KafkaSink {
    name: String,
    topic: String,
    headers: HeaderSet,
    in_flight_bytes: usize,
    client_config: ClientConfig,
    client: Client,
    requests: Requests,
    restart: Option<Restart>,
    shards: Vec<ShardQueue>,
    refusals: VecDeque<Refusal>,
    dead_letter: Arc<dyn DeadLetter>,
    outage: Arc<Outage>,
    counters: Counters,
    /// Kept for its memory; empty between calls.
    reports: Vec<Report>,
}

impl KafkaSink {
    /// A sink of this name. Opens no connection yet: brokers that cannot be reached are an outage, not an error.
    ///
    /// # Errors
    /// `Broken` when the configuration is not valid or a file it names cannot be read.
    pub fn new(name: &str, config: &KafkaConfig, dead_letter: Arc<dyn DeadLetter>) -> Result<Self, SinkError> {
        let problems = config.validate();
        if !problems.is_empty() {
            return Err(SinkError::Broken(problems.join("; ")));
        }
        let counters = Counters::new(name);
        let outage = Outage::new(name, counters.clone());
        let client_config = config.client_config(name).map_err(SinkError::Broken)?;
        let requests = Requests::default();
        let client =
            Client::new(&requests.configure(&client_config), &config.topic, &outage).map_err(SinkError::Broken)?;
        Ok(Self {
            name: name.to_owned(),
            topic: config.topic.clone(),
            headers: config.headers,
            in_flight_bytes: usize::try_from(config.in_flight_bytes).unwrap_or(usize::MAX),
            client_config,
            client,
            requests,
            restart: None,
            shards: Vec::new(),
            refusals: VecDeque::new(),
            dead_letter,
            outage,
            counters,
            reports: Vec::new(),
        })
    }

    fn slot(&mut self, shard: ShardId, start: Offset) -> Result<usize, SinkError> {
        if let Some(slot) = self.shards.iter().position(|queue| queue.shard == shard) {
            return Ok(slot);
        }
        if self.shards.len() >= SLOTS_MAX {
            return Err(SinkError::Broken("more shards than a ticket can name".to_owned()));
        }
        self.shards.push(ShardQueue::new(shard, start));
        Ok(self.shards.len() - 1)
    }

    fn has_room(&self, slot: usize) -> bool {
        let bytes: usize = self.shards.iter().map(ShardQueue::bytes).sum();
        bytes < self.in_flight_bytes && self.shards.get(slot).is_some_and(|queue| !queue.is_full())
    }

    /// Puts a delivery in its ring unless it stands there already.
    fn take(&mut self, slot: usize, delivery: &Delivery) -> Result<(), SinkError> {
        if self.shards.get(slot).is_some_and(|queue| queue.holds(delivery)) {
            return Ok(());
        }
        if self.requests.mode() == Mode::Alone {
            return Err(SinkError::Busy);
        }
        if !self.has_room(slot) {
            self.client.poll(ROOM_WAIT);
            self.settle()?;
            if !self.has_room(slot) {
                return Err(self.full());
            }
        }
        if let Some(queue) = self.shards.get_mut(slot) {
            queue.push(delivery);
        }
        Ok(())
    }

    /// Hands all unsent rows of a shard to the producer.
    fn pump(&mut self, slot: usize) -> Result<(), SinkError> {
        while self.restart.is_none() {
            let Some(queue) = self.shards.get_mut(slot) else { return Ok(()) };
            let Some((number, batch)) = queue.first_unsent() else { return Ok(()) };
            let mut sent = 0;
            let stop = send_rows(&self.client, self.headers, batch, slot, number, &mut sent);
            self.counters.sent.increment(sent);
            match stop {
                None => queue.mark_sent(None),
                Some((row, Sent::Queued | Sent::Full)) => {
                    queue.mark_sent(Some(row));
                    return Err(SinkError::Busy);
                }
                Some((row, Sent::Refused(reason))) => {
                    queue.mark_sent(Some(row + 1));
                    self.refusals.push_back(Refusal { ticket: Ticket::new(slot, number, row), reason });
                    self.bury()?;
                }
                Some((row, Sent::Failed(reason))) => {
                    queue.mark_sent(Some(row));
                    self.fail(Restart::after_failure(reason, self.requests.mode()));
                }
            }
        }
        self.failure()
    }

    /// Works off the reports that have come in.
    fn settle(&mut self) -> Result<(), SinkError> {
        let mut reports = std::mem::take(&mut self.reports);
        self.client.reports(&mut reports);
        let mut acknowledged = 0;
        for Report { ticket, verdict } in reports.drain(..) {
            let ticket = Ticket::unpack(ticket);
            match verdict {
                Verdict::Acknowledged => acknowledged += u64::from(self.finish(ticket)),
                Verdict::Suspect(code) if self.requests.mode() == Mode::Alone => {
                    self.requests.note_refusal();
                    self.refusals.push_back(Refusal { ticket, reason: error_text(code) });
                }
                Verdict::Suspect(code) => self.fail(Restart::at_once(error_text(code), Mode::Alone)),
                Verdict::Failed(code) => self.fail_with(code),
            }
        }
        self.reports = reports;
        self.counters.acknowledged.increment(acknowledged);
        if acknowledged > 0 {
            self.outage.end();
        }
        let buried = self.bury();
        self.shards.iter_mut().for_each(ShardQueue::advance);
        if self.requests.mode() == Mode::Alone && self.is_idle() {
            self.fail(Restart::at_once("the refused request was taken apart".to_owned(), Mode::Together));
        }
        buried
    }

    fn finish(&mut self, ticket: Ticket) -> bool {
        self.shards.get_mut(ticket.slot).is_some_and(|queue| queue.finish(ticket))
    }

    /// Gives refused messages to the dead letters.
    fn bury(&mut self) -> Result<(), SinkError> {
        while let Some(Refusal { ticket, reason }) = self.refusals.front() {
            let batch = self.shards.get(ticket.slot).and_then(|queue| queue.batch(*ticket));
            if let Some(message) = batch.and_then(|batch| batch.message(ticket.row)) {
                let put = self.dead_letter.put(&message, &self.name, reason);
                put.map_err(|error| SinkError::Unavailable(format!("dead letters: {error}")))?;
                DeadLettered { sink: &self.name, reason }.emit(&self.counters);
            }
            let ticket = *ticket;
            self.finish(ticket);
            self.refusals.pop_front();
        }
        Ok(())
    }

    fn is_idle(&self) -> bool {
        self.shards.iter().all(ShardQueue::is_empty)
    }

    fn fail_with(&mut self, code: RDKafkaErrorCode) {
        if self.restart.is_none() {
            let reason = self.client.failure_text(code);
            self.outage.begin(&reason);
            self.fail(Restart::after_failure(reason, self.requests.mode()));
        }
    }

    /// Has the producer replaced. Of several failures the first counts, but a refused request always is taken apart.
    fn fail(&mut self, next: Restart) {
        if self.restart.as_ref().is_none_or(|known| known.mode() != Mode::Alone && next.mode() == Mode::Alone) {
            self.restart = Some(next);
        }
    }

    fn failure(&self) -> Result<(), SinkError> {
        self.restart.as_ref().map_or(Ok(()), |restart| Err(restart.error()))
    }

    fn full(&self) -> SinkError {
        self.outage.reason().map_or(SinkError::Busy, SinkError::Unavailable)
    }

    /// Replaces the producer when that is due.
    fn replace_producer(&mut self, now: Instant) -> Result<(), SinkError> {
        let Some(restart) = &mut self.restart else { return Ok(()) };
        if !restart.is_due(now) {
            return Err(restart.error());
        }
        let requests = self.requests.next(restart.mode());
        let config = requests.configure(&self.client_config);
        let next = Client::new(&config, &self.topic, &self.outage).map_err(SinkError::Unavailable)?;
        self.client.purge();
        self.settle_last();
        self.client = next;
        self.requests = requests;
        self.refusals.clear();
        let repeated = self.shards.iter_mut().map(ShardQueue::resend).sum();
        if let Some(restart) = self.restart.take() {
            ProducerRestarted { sink: &self.name, reason: restart.reason(), repeated }.emit(&self.counters);
        }
        Ok(())
    }

    /// Of the last reports of a purged producer only the good ones count: all else is sent again.
    fn settle_last(&mut self) {
        let mut reports = std::mem::take(&mut self.reports);
        self.client.reports(&mut reports);
        for Report { ticket, verdict } in reports.drain(..) {
            if verdict == Verdict::Acknowledged && self.finish(Ticket::unpack(ticket)) {
                self.counters.acknowledged.increment(1);
            }
        }
        self.reports = reports;
        self.shards.iter_mut().for_each(ShardQueue::advance);
    }
}

impl Sink for KafkaSink {
    fn resume(&mut self, shard: ShardId, cursor: Offset) -> Result<Offset, SinkError> {
        let slot = self.slot(shard, cursor)?;
        if let Some(queue) = self.shards.get_mut(slot) {
            queue.restart(cursor);
        }
        Ok(cursor)
    }

    fn deliver(&mut self, delivery: &Delivery) -> Result<(), SinkError> {
        if delivery.batch.len() > ROWS_MAX {
            return Err(SinkError::Broken(format!("a batch of {} messages", delivery.batch.len())));
        }
        self.client.poll(Duration::ZERO);
        self.settle()?;
        self.failure()?;
        let slot = self.slot(delivery.batch.shard(), delivery.batch.base())?;
        self.take(slot, delivery)?;
        if let Err(error) = self.pump(slot) {
            let SinkError::Busy = error else { return Err(error) };
            self.client.poll(ROOM_WAIT);
            self.settle()?;
            self.pump(slot).map_err(|error| if let SinkError::Busy = error { self.full() } else { error })?;
        }
        if let Some(queue) = self.shards.get_mut(slot) {
            queue.mark_taken();
            queue.advance();
        }
        Ok(())
    }

    fn poll(&mut self, now: Instant) -> Result<(), SinkError> {
        self.client.poll(Duration::ZERO);
        self.settle()?;
        self.replace_producer(now)?;
        for slot in 0..self.shards.len() {
            match self.pump(slot) {
                Ok(()) | Err(SinkError::Busy) => {}
                Err(error) => return Err(error),
            }
        }
        match self.outage.reason() {
            Some(reason) if !self.is_idle() => Err(SinkError::Unavailable(reason)),
            _ => Ok(()),
        }
    }

    fn safe(&self, shard: ShardId) -> Offset {
        self.shards.iter().find(|queue| queue.shard == shard).map_or(Offset(0), ShardQueue::safe)
    }

    fn drain(&mut self, deadline: Instant) -> Result<(), SinkError> {
        self.shards.iter_mut().for_each(ShardQueue::mark_taken);
        loop {
            let now = Instant::now();
            let polled = self.poll(now);
            if self.is_idle() {
                return Ok(());
            }
            if now >= deadline {
                return polled
                    .and_then(|()| Err(SinkError::Unavailable("not all was acknowledged in time".to_owned())));
            }
            self.client.poll(DRAIN_WAIT.min(deadline - now));
        }
    }
}

/// Hands rows to the producer until one is not taken; answers that row and why.
fn send_rows(
    client: &Client,
    headers: HeaderSet,
    batch: &InFlight,
    slot: usize,
    number: u64,
    sent: &mut u64,
) -> Option<(usize, Sent)> {
    for row in batch.unsent_rows() {
        let Some(message) = batch.batch.message(row) else { continue };
        let headers = request::headers(&message, headers, &batch.enrichments);
        let ticket = Ticket::new(slot, number, row).pack();
        match client.send(ticket, message.identity.device_id, message.body, message.enqueued_at.0, headers) {
            Sent::Queued => *sent += 1,
            stop => return Some((row, stop)),
        }
    }
    None
}

#[cfg(test)]
mod tests;
