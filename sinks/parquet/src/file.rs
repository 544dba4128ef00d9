//! One Parquet file while it is written, under a temporary name that readers ignore.
//! - Shape: row groups sorted by (`device_id`, `offset`); footer last. The caller syncs and publishes the file.
//! - Limits: holds the encoded pages of one row group.
//! - Errors: after any error the file is worthless; [`OpenFile::discard`] it.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::schema::types::ColumnPath;

use millrace_model::ShardId;

use crate::columns::{Columns, FIXED_COLUMNS};
use crate::config::{CompressionKind, ParquetConfig};
use crate::limits::{SLICE_BYTES_MAX, SLICE_ROWS_MAX};
use crate::row_group::SortedRows;

/// How files are written: the same for all files of a sink.
#[derive(Debug, Clone)]
pub(crate) struct FileFormat {
    columns: Arc<Columns>,
    properties: WriterPropertiesPtr,
}

/// See the module's documentation.
pub(crate) struct OpenFile {
    writer: ArrowWriter<File>,
    path: PathBuf,
    format: FileFormat,
    rows: u64,
}

/// A file with its footer, not yet synced.
pub(crate) struct FinishedFile {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

impl FileFormat {
    pub(crate) fn new(config: &ParquetConfig) -> Self {
        let compression = match config.compression {
            CompressionKind::Lz4 => Compression::LZ4_RAW,
            CompressionKind::None => Compression::UNCOMPRESSED,
            CompressionKind::Snappy => Compression::SNAPPY,
            CompressionKind::Zstd => Compression::ZSTD(ZstdLevel::try_new(config.zstd_level).unwrap_or_default()),
        };
        let column = |name: &str| ColumnPath::from(name);
        let mut properties = WriterProperties::builder()
            .set_compression(compression)
            // Row groups end where this sink ends them.
            .set_max_row_group_row_count(None)
            .set_created_by(concat!("millrace ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_sorting_columns(sorting_columns())
            .set_column_bloom_filter_enabled(column("device_id"), true)
            .set_column_bloom_filter_fpp(column("device_id"), 0.01)
            // The smallest and largest body tell a reader nothing.
            .set_column_statistics_enabled(column("body"), EnabledStatistics::None);
        for unlike in ["body", "message_id", "correlation_id", "creation_time_utc"] {
            properties = properties.set_column_dictionary_enabled(column(unlike), false);
        }
        for stepwise in ["offset", "enqueued_at"] {
            properties = properties
                .set_column_dictionary_enabled(column(stepwise), false)
                .set_column_encoding(column(stepwise), Encoding::DELTA_BINARY_PACKED);
        }
        Self { columns: Arc::new(Columns::new(&config.columns)), properties: Arc::new(properties.build()) }
    }
}

impl OpenFile {
    pub(crate) fn create(path: &Path, format: &FileFormat) -> Result<Self, ParquetError> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).open(path)?;
        let properties = format.properties.as_ref().clone();
        // Without Arrow's own schema, readers see plain strings where this sink hands over dictionaries.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(file, format.columns.schema(), options)?;
        Ok(Self { writer, path: path.to_owned(), format: format.clone(), rows: 0 })
    }

    /// Encodes one slice from row `from` on; answers the row to go on with.
    pub(crate) fn encode(&mut self, shard: ShardId, rows: &SortedRows, from: usize) -> Result<usize, ParquetError> {
        let slice = rows.slice(from, SLICE_ROWS_MAX, SLICE_BYTES_MAX);
        self.writer.write(&self.format.columns.record_batch(shard, &slice)?)?;
        self.rows += u64::try_from(slice.len()).unwrap_or(0);
        Ok(from + slice.len())
    }

    /// Ends the row group.
    pub(crate) fn end_row_group(&mut self) -> Result<(), ParquetError> {
        self.writer.flush()
    }

    /// Size so far.
    pub(crate) fn size_bytes(&self) -> usize {
        self.writer.bytes_written()
    }

    /// Writes the footer.
    pub(crate) fn finish(self) -> Result<FinishedFile, ParquetError> {
        let file = self.writer.into_inner()?;
        let bytes = file.metadata()?.len();
        Ok(FinishedFile { file, path: self.path, rows: self.rows, bytes })
    }

    /// Closes and removes the file.
    pub(crate) fn discard(self) {
        drop(self.writer);
        // What stays is removed at the next start.
        std::fs::remove_file(&self.path).unwrap_or_default();
    }
}

fn sorting_columns() -> Option<Vec<SortingColumn>> {
    ["device_id", "offset"]
        .map(|name| {
            let column = FIXED_COLUMNS.iter().position(|&column| column == name)?;
            Some(SortingColumn { column_idx: i32::try_from(column).ok()?, descending: false, nulls_first: false })
        })
        .into_iter()
        .collect()
}
