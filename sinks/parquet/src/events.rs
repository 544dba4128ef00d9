//! What this sink tells its operators.
//! - Limits: labels are the sink's name only.

use millrace_model::{Offset, ShardId};

/// Metric names.
#[derive(Debug, Clone, Copy)]
pub(crate) enum MetricName {
    Rows,
    Files,
    FileBytes,
    Failures,
    DeadLettered,
}

impl MetricName {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "millrace_parquet_rows_total",
            Self::Files => "millrace_parquet_files_total",
            Self::FileBytes => "millrace_parquet_written_bytes",
            Self::Failures => "millrace_parquet_failures_total",
            Self::DeadLettered => "millrace_parquet_dead_lettered_total",
        }
    }
}

/// The counters of one sink, looked up once.
#[derive(Clone)]
pub(crate) struct Counters {
    rows: metrics::Counter,
    files: metrics::Counter,
    file_bytes: metrics::Counter,
    failures: metrics::Counter,
    dead_lettered: metrics::Counter,
}

impl Counters {
    pub(crate) fn new(sink: &str) -> Self {
        let counter = |name: MetricName| metrics::counter!(name.as_str(), "sink" => sink.to_owned());
        Self {
            rows: counter(MetricName::Rows),
            files: counter(MetricName::Files),
            file_bytes: counter(MetricName::FileBytes),
            failures: counter(MetricName::Failures),
            dead_lettered: counter(MetricName::DeadLettered),
        }
    }
}

/// A file became visible to readers.
pub(crate) struct FilePublished<'a> {
    pub(crate) name: &'a str,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

impl FilePublished<'_> {
    pub(crate) fn emit(&self, counters: &Counters) {
        counters.rows.increment(self.rows);
        counters.files.increment(1);
        counters.file_bytes.increment(self.bytes);
        tracing::info!(name = self.name, rows = self.rows, bytes = self.bytes, "parquet file complete");
    }
}

/// The target, or the disk under the temporary files, refused. Tried again after a pause.
pub(crate) struct TargetFailed<'a> {
    pub(crate) shard: ShardId,
    pub(crate) reason: &'a str,
    /// Where the shard starts again, when what was written is lost.
    pub(crate) rewind: Option<Offset>,
}

impl TargetFailed<'_> {
    pub(crate) fn emit(&self, counters: &Counters) {
        counters.failures.increment(1);
        let rewind = self.rewind.map(|offset| offset.0);
        tracing::warn!(shard = self.shard.0, reason = self.reason, rewind, "parquet target failed");
    }
}

/// Complete files were found past the cursor and taken over.
pub(crate) struct FilesAdopted {
    pub(crate) shard: ShardId,
    pub(crate) files: usize,
    pub(crate) cursor: Offset,
    pub(crate) resumed: Offset,
}

impl FilesAdopted {
    pub(crate) fn emit(&self) {
        let Self { shard, files, cursor, resumed } = self;
        tracing::info!(shard = shard.0, files, cursor = cursor.0, resumed = resumed.0, "parquet files adopted");
    }
}

/// A message went to the dead-letter.
pub(crate) struct MessageDeadLettered;

impl MessageDeadLettered {
    pub(crate) fn emit(counters: &Counters) {
        counters.dead_lettered.increment(1);
    }
}
