//! The sink as the router drives it: finds where to go on, spreads deliveries over lanes, keeps memory within its bound.
//! - Invariants: `safe` moves only past rows in complete files, so whatever the cursor says after a crash, `resume` finds the
//!   rest in the names of the files.
//! - Limits: all lanes together hold at most `memory_bytes_max`: per lane a row group staged, one being encoded, and its pages.
//! - Errors: overlapping files of one shard are [`SinkError::Broken`]; nothing else is.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_model::{DeadLetter, Delivery, Offset, ShardId, Sink, SinkError};

use crate::client::Client;
use crate::config::ParquetConfig;
use crate::events::{Counters, FilesAdopted};
use crate::file::FileFormat;
use crate::lane::{Lane, Workshop};
use crate::limits::SLICE_ROWS_MAX;
use crate::name::FileName;

/// Parts of a lane's memory: staged rows, rows being encoded, encoded pages.
const MEMORY_PARTS: usize = 3;

/// Writes deliveries to Parquet files. See the crate's README for the guarantee.
pub struct ParquetSink {
    workshop: Workshop,
    lanes: Vec<Lane>,
    row_group_bytes: usize,
    memory_bytes_max: usize,
}

impl std::fmt::Debug for ParquetSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ParquetSink").field("sink", &self.workshop.sink).finish_non_exhaustive()
    }
}

impl ParquetSink {
    /// Nothing is asked of the target before the first [`Sink::resume`]. `default_directory` is where files go without `url`;
    /// with one, it keeps what belongs to this sink on this machine.
    ///
    /// # Errors
    /// [`SinkError::Broken`] with all problems of the configuration.
    pub fn new(
        name: &str,
        config: &ParquetConfig,
        default_directory: &Path,
        dead_letter: Arc<dyn DeadLetter>,
    ) -> Result<Self, SinkError> {
        let problems = config.validate();
        if !problems.is_empty() {
            return Err(SinkError::Broken(problems.join("; ")));
        }
        let workshop = Workshop {
            sink: name.to_owned(),
            client: Client::new(name, config, default_directory).map_err(SinkError::Broken)?,
            format: FileFormat::new(config),
            counters: Counters::new(name),
            dead_letter,
            file_bytes: config.file_bytes,
            file_time: Duration::from_secs(config.file_seconds),
            row_group_rows: config.row_group_rows,
            row_group_bytes: config.row_group_bytes,
        };
        Ok(Self {
            workshop,
            lanes: Vec::new(),
            row_group_bytes: config.row_group_bytes,
            memory_bytes_max: config.memory_bytes_max,
        })
    }

    fn share_memory(&mut self) {
        let share = self.memory_bytes_max / (MEMORY_PARTS * self.lanes.len().max(1));
        self.workshop.row_group_bytes = self.row_group_bytes.min(share);
    }
}

impl Sink for ParquetSink {
    fn resume(&mut self, shard: ShardId, cursor: Offset) -> Result<Offset, SinkError> {
        let client = &mut self.workshop.client;
        let unavailable = |error: crate::client::ClientError| SinkError::Unavailable(error.to_string());
        let writer = client.prepare().map_err(unavailable)?;
        let files = client.complete_files(shard, cursor).map_err(unavailable)?;
        let (next, covered) = adopt(cursor, &files)?;
        if next > cursor {
            FilesAdopted { shard, files: files.len(), cursor, resumed: next }.emit();
        }
        self.lanes.retain(|lane| lane.shard() != shard);
        self.lanes.push(Lane::new(shard, writer, next, covered));
        self.share_memory();
        Ok(next)
    }

    fn deliver(&mut self, delivery: &Delivery) -> Result<(), SinkError> {
        let shard = delivery.batch.shard();
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.shard() == shard) else {
            return Err(SinkError::Broken(format!("shard {shard} was not resumed")));
        };
        // Twice as much is encoded as is staged, so that a row group is encoded before the next one is full.
        let slices = 1 + 2 * delivery.batch.len() / SLICE_ROWS_MAX;
        lane.work(&self.workshop, slices)?;
        lane.take(&self.workshop, delivery)
    }

    fn poll(&mut self, now: Instant) -> Result<(), SinkError> {
        let mut first = Ok(());
        for lane in &mut self.lanes {
            lane.tick(&self.workshop, now);
            let worked = lane.work(&self.workshop, 1).map(drop);
            // An error is kept by its lane as a pause, but a rewind has to be heard at once.
            match &worked {
                Err(SinkError::Rewind(..)) => return worked,
                _ => first = first.and(worked),
            }
        }
        first
    }

    fn safe(&self, shard: ShardId) -> Offset {
        self.lanes.iter().find(|lane| lane.shard() == shard).map_or(Offset(0), Lane::safe)
    }

    fn drain(&mut self, deadline: Instant) -> Result<(), SinkError> {
        let drained = self.lanes.iter_mut().map(|lane| lane.drain(&self.workshop, deadline));
        // Every lane gets its turn, whatever happened to those before it.
        drained.fold(Ok(()), Result::and)
    }
}

/// Where to go on, given the complete files past the cursor in order, and the ranges further on that are already in files.
fn adopt(cursor: Offset, files: &[FileName]) -> Result<(Offset, Vec<(Offset, Offset)>), SinkError> {
    let overlap = files.iter().zip(files.iter().skip(1)).find(|(one, two)| two.start < one.end);
    if let Some((one, two)) = overlap {
        return Err(SinkError::Broken(format!("files cover the same offsets: {one} and {two}")));
    }
    let mut next = cursor;
    let mut covered: Vec<(Offset, Offset)> = Vec::new();
    for file in files {
        if file.start <= next {
            next = next.max(file.end);
        } else if let Some(last) = covered.last_mut().filter(|last| last.1 == file.start) {
            last.1 = file.end;
        } else {
            covered.push((file.start, file.end));
        }
    }
    Ok((next, covered))
}

#[cfg(test)]
mod tests;
