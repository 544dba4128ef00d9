//! Verification: what the ledger says was acknowledged against what a sink holds.
//! - Shape: a reader per kind of sink hands every message to one `Audit`, in the sink's own order; the audit compares with the ledger.
//! - Invariants: a message counts as found only if its checksum fits its body and its device.
//! - Not here: the run itself (`engine`), the stamp (`stamp`).

mod audit;
mod bits;
mod kafka;
mod parquet;
mod text;

use std::path::PathBuf;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::ledger::Ledger;
use crate::verify::audit::Audit;

/// Where to look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A topic, from its beginning to its end at the time of asking.
    Kafka {
        /// Bootstrap servers.
        bootstrap: String,
        /// Topic.
        topic: String,
        /// More settings of the client.
        properties: Vec<(String, String)>,
    },
    /// All complete files below a directory; names that start with `_` or `.` are left out.
    Parquet {
        /// The directory.
        directory: PathBuf,
    },
}

/// What to verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyOptions {
    /// The ledger of the run.
    pub ledger: PathBuf,
    /// Where its messages should be.
    pub source: Source,
    /// Whether a message that the system delivered twice is a failure.
    pub allow_duplicates: bool,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct VerifyReport {
    /// The run.
    pub run: String,
    /// Where it was looked for.
    pub source: String,
    /// Nothing lost, reordered or corrupt, and nothing duplicated unless that is allowed.
    pub is_ok: bool,
    /// Devices in the ledger.
    pub devices: u64,
    /// Messages acknowledged.
    pub acknowledged: u64,
    /// Different messages of the run found.
    pub found: u64,
    /// Acknowledged, but not found.
    pub lost: u64,
    /// The same place in the journal (shard and offset) delivered more than once: the system's doing.
    pub duplicated: u64,
    /// The same message at several places in the journal: a device sent it again after a lost connection.
    pub sent_again: u64,
    /// A message that first appears after a later one of its device.
    pub reordered: u64,
    /// Stamped messages whose checksum doesn't fit.
    pub corrupt: u64,
    /// Found though never acknowledged: allowed, an acknowledgement may get lost.
    pub unacknowledged_found: u64,
    /// Messages of other runs or without a stamp.
    pub foreign: u64,
    /// Messages without a place in the journal, for which duplicates can't be told from devices sending again.
    pub without_offset: u64,
    /// Lines of the ledger that were none.
    pub ledger_lines_skipped: u64,
    /// The first few lost ones: device and number.
    pub lost_examples: Vec<String>,
    /// The first few others that should not be.
    pub other_examples: Vec<String>,
}

/// Compares a ledger with a sink.
///
/// # Errors
/// One of them can't be read.
pub fn verify(options: &VerifyOptions) -> Result<VerifyReport> {
    let ledger = Ledger::open(&options.ledger)?;
    let mut audit = Audit::new(&ledger);
    let source = match &options.source {
        Source::Kafka { bootstrap, topic, properties } => {
            kafka::read(bootstrap, topic, properties, &mut audit)?;
            format!("kafka {bootstrap} {topic}")
        }
        Source::Parquet { directory } => {
            parquet::read(directory, &mut audit)?;
            format!("parquet {}", directory.display())
        }
    };
    Ok(audit.finish(source, options.allow_duplicates))
}
