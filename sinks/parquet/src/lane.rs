//! What one shard's messages go through: staged, sorted and encoded into one file, published while the next is staged.
//! - Shape: rows -> `staged` -> `encoding` -> `file` -> `publishing` -> visible and safe.
//! - Invariants: `start <= first row <= next`; a file covers `start..next`, selected or not, so files follow one another
//!   without a gap; nothing is staged between the decision to end a file (`rolling`) and its hand-over.
//! - Limits: one file is written and one published at a time; two row groups are in memory and the pages of one. When the
//!   next file would end before the last is published, deliveries are [`SinkError::Busy`].
//! - Errors: a file that failed is thrown away and its rows asked for again ([`SinkError::Rewind`]); a file that is whole but
//!   cannot be published stays and is tried again after a pause.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use millrace_model::limits::PROPERTIES_MAX;
use millrace_model::{DeadLetter, Delivery, Offset, ShardId, SinkError, Timestamp};

use crate::client::{Client, ClientError, Publication};
use crate::events::{Counters, FilePublished, MessageDeadLettered, TargetFailed};
use crate::file::{FileFormat, OpenFile};
use crate::limits::PAUSE_SECONDS_MAX;
use crate::name::{FileName, Hour, WriterId};
use crate::row_group::{RowGroup, SortedRows};

/// What all lanes of a sink share.
pub(crate) struct Workshop {
    pub(crate) sink: String,
    pub(crate) client: Client,
    pub(crate) format: FileFormat,
    pub(crate) counters: Counters,
    pub(crate) dead_letter: Arc<dyn DeadLetter>,
    pub(crate) file_bytes: usize,
    pub(crate) file_time: Duration,
    pub(crate) row_group_rows: usize,
    pub(crate) row_group_bytes: usize,
}

/// See the module's documentation.
pub(crate) struct Lane {
    shard: ShardId,
    writer: WriterId,
    /// Where the file being built starts to cover.
    start: Offset,
    /// Everything below was staged, or was not meant for this sink.
    next: Offset,
    /// Ranges beyond `next` that complete files already hold.
    covered: Vec<(Offset, Offset)>,
    building: Building,
    rolling: bool,
    publishing: Option<Publishing>,
    pause: Option<Pause>,
    /// Failures since the last file that was published.
    failures: u32,
}

#[derive(Default)]
struct Building {
    hour: Option<Hour>,
    first: Offset,
    staged: RowGroup,
    encoding: Option<(SortedRows, usize)>,
    file: Option<OpenFile>,
    opened_at: Option<Instant>,
}

struct Publishing {
    publication: Arc<Publication>,
    first: Offset,
    rows: u64,
    bytes: u64,
    /// `None` after a failure, until the pause is over.
    result: Option<Receiver<Result<(), ClientError>>>,
}

struct Pause {
    reason: String,
    /// Set by the first poll after the failure.
    until: Option<Instant>,
}

impl Building {
    fn has_rows(&self) -> bool {
        !self.staged.is_empty() || self.encoding.is_some() || self.file.is_some()
    }
}

impl Workshop {
    fn is_full(&self, staged: &RowGroup) -> bool {
        staged.len() >= self.row_group_rows || staged.size_bytes() >= self.row_group_bytes
    }
}

impl Lane {
    /// A lane that goes on at `next`, with ranges beyond it that are already in complete files.
    pub(crate) fn new(shard: ShardId, writer: WriterId, next: Offset, covered: Vec<(Offset, Offset)>) -> Self {
        Self {
            shard,
            writer,
            start: next,
            next,
            covered,
            building: Building::default(),
            rolling: false,
            publishing: None,
            pause: None,
            failures: 0,
        }
    }

    pub(crate) const fn shard(&self) -> ShardId {
        self.shard
    }

    /// Everything below is in a complete file, or was not meant for this sink.
    pub(crate) fn safe(&self) -> Offset {
        match &self.publishing {
            Some(publishing) => publishing.first,
            None if self.building.has_rows() => self.building.first,
            None => self.next,
        }
    }

    /// Whether nothing is staged, encoded or on its way.
    pub(crate) fn is_idle(&self) -> bool {
        self.publishing.is_none() && !self.building.has_rows()
    }

    /// Stages what it can of a delivery; rows that it has already are passed over.
    pub(crate) fn take(&mut self, workshop: &Workshop, delivery: &Delivery) -> Result<(), SinkError> {
        if let Some(pause) = &self.pause {
            return Err(SinkError::Unavailable(pause.reason.clone()));
        }
        let (base, end) = (delivery.batch.base(), delivery.batch.end());
        while self.next < end {
            if self.rolling || workshop.is_full(&self.building.staged) {
                return Err(SinkError::Busy);
            }
            self.next = self.next.max(base);
            if self.pass_covered() {
                continue;
            }
            let from = rows_between(base, self.next);
            let limit = self.covered_next().map_or(end, |(start, _)| start.min(end));
            let limit = rows_between(base, limit);
            let stop = self.stage(workshop, delivery, from, limit)?;
            self.next = base.plus(u64::try_from(stop).unwrap_or(0));
            self.rolling |= stop < limit;
        }
        Ok(())
    }

    /// Encodes up to `slices` slices, ends and publishes files. Answers whether more could be done at once.
    pub(crate) fn work(&mut self, workshop: &Workshop, slices: usize) -> Result<bool, SinkError> {
        self.settle(workshop)?;
        let mut more = true;
        for _ in 0..slices {
            if !more || self.pause.is_some() {
                break;
            }
            more = self.step(workshop)?;
        }
        Ok(more)
    }

    /// Looks at the time: ends pauses, and files that have waited long enough.
    pub(crate) fn tick(&mut self, workshop: &Workshop, now: Instant) {
        if self.building.has_rows() {
            let opened_at = *self.building.opened_at.get_or_insert(now);
            self.rolling |= now.saturating_duration_since(opened_at) >= workshop.file_time;
        }
        if let Some(pause) = &mut self.pause {
            let seconds = 1_u64.checked_shl(self.failures.saturating_sub(1)).unwrap_or(PAUSE_SECONDS_MAX);
            let pause_time = Duration::from_secs(seconds.min(PAUSE_SECONDS_MAX));
            let until = *pause.until.get_or_insert_with(|| now + pause_time);
            if now >= until {
                self.pause = None;
            }
        }
    }

    /// Completes and publishes what there is.
    pub(crate) fn drain(&mut self, workshop: &Workshop, deadline: Instant) -> Result<(), SinkError> {
        self.pause = None;
        self.rolling |= self.building.has_rows();
        while !self.is_idle() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(SinkError::Unavailable(format!("shard {}: the last file was not complete", self.shard)));
            }
            if !self.work(workshop, 1)? {
                self.wait(workshop, left)?;
            }
            if let Some(pause) = &self.pause {
                return Err(SinkError::Unavailable(pause.reason.clone()));
            }
        }
        Ok(())
    }

    /// The first range of complete files that is not wholly below `next`. Ranges are kept, for `next` may go back.
    fn covered_next(&self) -> Option<(Offset, Offset)> {
        self.covered.iter().copied().find(|&(_, end)| end > self.next)
    }

    /// Whether `next` was moved past a range that complete files hold, or the file being built has to end before it.
    fn pass_covered(&mut self) -> bool {
        let Some((_, end)) = self.covered_next().filter(|&(start, _)| start <= self.next) else {
            return false;
        };
        if self.building.has_rows() {
            self.rolling = true;
        } else {
            self.next = end;
            self.start = end;
        }
        true
    }

    /// Stages rows `from..limit` as far as they belong to one hour; answers where it stopped.
    fn stage(
        &mut self,
        workshop: &Workshop,
        delivery: &Delivery,
        from: usize,
        limit: usize,
    ) -> Result<usize, SinkError> {
        let times = &delivery.batch.columns().enqueued_at;
        let hour_of = |row: usize| times.get(row).map(|&time| Hour::of(Timestamp(time)));
        let mut selected =
            delivery.selected.iter().skip_while(|&row| row < from).take_while(|&row| row < limit).peekable();
        let Some(&first) = selected.peek() else { return Ok(limit) };
        let known = self.building.hour.filter(|_| self.building.has_rows());
        let hour = known.or_else(|| hour_of(first));
        let stop = selected.find(|&row| hour_of(row) != hour).unwrap_or(limit);
        let fit = self.refuse_poison(workshop, delivery, from..stop)?;
        let before = self.building.staged.len();
        let had_rows = self.building.has_rows();
        self.building.staged.push(fit.as_ref().unwrap_or(delivery), from..stop);
        if !had_rows && self.building.staged.len() > before {
            self.building.first = self.next.max(delivery.batch.base());
            self.building.hour = hour;
        }
        Ok(stop)
    }

    /// Puts messages that no row can hold into the dead-letter; answers the delivery without them if there were any.
    fn refuse_poison(
        &mut self,
        workshop: &Workshop,
        delivery: &Delivery,
        rows: std::ops::Range<usize>,
    ) -> Result<Option<Delivery>, SinkError> {
        let mut fit = None;
        for row in delivery.selected.iter().skip_while(|&row| row < rows.start).take_while(|&row| row < rows.end) {
            // Few bags are that long; no others need be counted, nor their senders decoded.
            let bag = delivery.batch.bag(row).filter(|bag| bag.len() >= PROPERTIES_MAX);
            let Some(message) = bag.and_then(|_| delivery.batch.message(row)) else { continue };
            if message.bag.iter().filter(|&&byte| byte == b'&').count() < PROPERTIES_MAX {
                continue;
            }
            let reason = format!("more than {PROPERTIES_MAX} properties");
            if let Err(error) = workshop.dead_letter.put(&message, &workshop.sink, &reason) {
                return Err(self.fail(workshop, format!("dead-letter: {error}")));
            }
            MessageDeadLettered::emit(&workshop.counters);
            fit.get_or_insert_with(|| delivery.clone()).selected.remove(row);
        }
        Ok(fit)
    }

    /// Does one piece of work; answers whether there was any.
    fn step(&mut self, workshop: &Workshop) -> Result<bool, SinkError> {
        let building = &mut self.building;
        if building.encoding.is_none()
            && !building.staged.is_empty()
            && (self.rolling || workshop.is_full(&building.staged))
        {
            building.encoding = Some((std::mem::take(&mut building.staged).sort(), 0));
        }
        if building.encoding.is_some() {
            self.encode(workshop)?;
            return Ok(true);
        }
        if !self.rolling || self.publishing.is_some() {
            return Ok(false);
        }
        self.rolling = false;
        self.end_file(workshop)
    }

    fn encode(&mut self, workshop: &Workshop) -> Result<(), SinkError> {
        let building = &mut self.building;
        let mut file = match building.file.take() {
            Some(file) => file,
            None => match OpenFile::create(&self.temporary_path(workshop), &workshop.format) {
                Ok(file) => file,
                // Nothing was written yet, so nothing is lost: the rows stay staged.
                Err(error) => return Err(self.fail(workshop, format!("create file: {error}"))),
            },
        };
        let Some((rows, at)) = &mut self.building.encoding else { return Ok(()) };
        let encoded = file.encode(self.shard, rows, *at).and_then(|next| {
            *at = next;
            if next < rows.len() { Ok(false) } else { file.end_row_group().map(|()| true) }
        });
        match encoded {
            Ok(ended) => {
                if ended {
                    self.building.encoding = None;
                    self.rolling |= file.size_bytes() >= workshop.file_bytes;
                }
                self.building.file = Some(file);
                Ok(())
            }
            Err(error) => {
                file.discard();
                Err(self.rewind(workshop, self.building.first, format!("write file: {error}")))
            }
        }
    }

    /// Writes the footer and hands the file over.
    fn end_file(&mut self, workshop: &Workshop) -> Result<bool, SinkError> {
        let building = std::mem::take(&mut self.building);
        let (Some(file), Some(hour)) = (building.file, building.hour) else { return Ok(false) };
        let finished = match file.finish() {
            Ok(finished) => finished,
            Err(error) => return Err(self.rewind(workshop, building.first, format!("finish file: {error}"))),
        };
        let name = FileName { shard: self.shard, start: self.start, end: self.next, writer: self.writer.clone() };
        let publication = Arc::new(Publication { temporary: finished.path, hour, name });
        let result = Some(workshop.client.publish(&publication, Some(finished.file)));
        let (rows, bytes) = (finished.rows, finished.bytes);
        self.publishing = Some(Publishing { publication, first: building.first, rows, bytes, result });
        self.start = self.next;
        Ok(true)
    }

    /// Takes note of how publishing ended, or tries again.
    fn settle(&mut self, workshop: &Workshop) -> Result<(), SinkError> {
        let Some(publishing) = &mut self.publishing else { return Ok(()) };
        match &publishing.result {
            Some(receiver) => match receiver.try_recv() {
                Ok(result) => self.published(workshop, result),
                Err(TryRecvError::Empty) => Ok(()),
                Err(TryRecvError::Disconnected) => self.published(workshop, Err(ClientError::Interrupted)),
            },
            None if self.pause.is_none() => {
                publishing.result = Some(workshop.client.publish(&publishing.publication, None));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Waits for the end of publishing.
    fn wait(&mut self, workshop: &Workshop, at_most: Duration) -> Result<(), SinkError> {
        let receiver = self.publishing.as_ref().and_then(|publishing| publishing.result.as_ref());
        match receiver.map(|receiver| receiver.recv_timeout(at_most)) {
            Some(Ok(result)) => self.published(workshop, result),
            Some(Err(RecvTimeoutError::Disconnected)) => self.published(workshop, Err(ClientError::Interrupted)),
            Some(Err(RecvTimeoutError::Timeout)) | None => Ok(()),
        }
    }

    fn published(&mut self, workshop: &Workshop, result: Result<(), ClientError>) -> Result<(), SinkError> {
        let Some(mut publishing) = self.publishing.take() else { return Ok(()) };
        let error = match result {
            Ok(()) => {
                self.failures = 0;
                let name = publishing.publication.name.to_string();
                FilePublished { name: &name, rows: publishing.rows, bytes: publishing.bytes }.emit(&workshop.counters);
                return Ok(());
            }
            Err(error) => error,
        };
        match error {
            ClientError::Unsynced { .. } => {
                // What stays is removed at the next start.
                std::fs::remove_file(&publishing.publication.temporary).unwrap_or_default();
                Err(self.rewind(workshop, publishing.first, error.to_string()))
            }
            // Whether the file is visible is unknown; a restart finds out.
            ClientError::Interrupted => Err(SinkError::Broken(error.to_string())),
            _ => {
                publishing.result = None;
                self.publishing = Some(publishing);
                Err(self.fail(workshop, error.to_string()))
            }
        }
    }

    /// Pauses; nothing is lost.
    fn fail(&mut self, workshop: &Workshop, reason: String) -> SinkError {
        TargetFailed { shard: self.shard, reason: &reason, rewind: None }.emit(&workshop.counters);
        self.failures = self.failures.saturating_add(1);
        self.pause = Some(Pause { reason: reason.clone(), until: None });
        SinkError::Unavailable(reason)
    }

    /// Throws away what is being built, pauses, and asks for everything from `first` on again.
    fn rewind(&mut self, workshop: &Workshop, first: Offset, reason: String) -> SinkError {
        TargetFailed { shard: self.shard, reason: &reason, rewind: Some(first) }.emit(&workshop.counters);
        let building = std::mem::take(&mut self.building);
        if let Some(file) = building.file {
            file.discard();
        }
        self.rolling = false;
        self.next = first;
        self.start = self.start.min(first);
        self.failures = self.failures.saturating_add(1);
        self.pause = Some(Pause { reason, until: None });
        SinkError::Rewind(self.shard, first)
    }

    fn temporary_path(&self, workshop: &Workshop) -> PathBuf {
        workshop.client.temporary_path(&self.writer, self.shard, self.start)
    }
}

/// How many rows lie between the start of a batch and an offset.
fn rows_between(base: Offset, offset: Offset) -> usize {
    usize::try_from(offset.0.saturating_sub(base.0)).unwrap_or(usize::MAX)
}
