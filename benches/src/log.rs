//! A journal in a scratch directory that is removed with it.
//! - Limits: what is durable is trimmed after each call, so the directory holds two segments at most.

use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::{Context as _, Result};
use millrace_journal::{Appender, Full, Journal, JournalConfig};
use millrace_model::{Batch, BatchColumns, Offset};

use crate::inputs::SHARD;

/// A disk that does not answer for so long is a failed bench.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module's documentation.
#[derive(Debug)]
pub struct Log {
    journal: Journal,
    appender: Appender,
    advanced: Receiver<()>,
}

impl Log {
    /// Opens the journal below `directory`.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn open(directory: &Path, config: &JournalConfig) -> Result<Self> {
        let (journal, _) = Journal::open(SHARD, directory, config)?;
        let (advance, advanced) = sync_channel(1);
        // A full channel holds a wake-up already.
        journal.durable().listen(Box::new(move |_| advance.try_send(()).unwrap_or_default()));
        Ok(Self { appender: journal.appender(), journal, advanced })
    }

    /// Places for columns at the end of the journal, in order.
    ///
    /// # Errors
    /// When columns do not fit together.
    pub fn place(&self, columns: &[BatchColumns]) -> Result<Vec<Batch>> {
        let mut base = self.appender.next_offset();
        let place = |columns: &BatchColumns| {
            let batch = Batch::from_columns(SHARD, base, columns.clone())?;
            base = batch.end();
            Ok(batch)
        };
        columns.iter().map(place).collect()
    }

    /// Appends batches as fast as the journal takes them, and waits until the last one is durable.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub fn append(&mut self, batches: Vec<Batch>) -> Result<()> {
        let mut end = self.journal.durable().offset();
        for mut batch in batches {
            end = batch.end();
            while let Err(Full(back)) = self.appender.append(batch) {
                batch = back;
                self.wait()?;
            }
        }
        while self.journal.durable().offset() < end {
            self.wait()?;
        }
        Ok(())
    }

    /// Gives back the disk space of what is durable.
    pub fn trim(&self) {
        self.journal.trim(self.journal.durable().offset());
    }

    /// Reads all there is, from the beginning; returns how many messages.
    ///
    /// # Errors
    /// Those of the journal.
    pub fn read_all(&self) -> Result<u64> {
        let mut reader = self.journal.reader(Offset(0));
        let mut messages = 0;
        while let Some(batch) = reader.next()? {
            messages += batch.end().0 - batch.base().0;
        }
        Ok(messages)
    }

    /// Closes the journal.
    ///
    /// # Errors
    /// When something could not be written.
    pub fn close(self) -> Result<()> {
        drop(self.appender);
        self.journal.close().context("closing the journal")
    }

    fn wait(&self) -> Result<()> {
        self.advanced.recv_timeout(PATIENCE).context("the journal's disk does not answer")
    }
}
