//! Reads Parquet files back: all complete files below a directory, one shard after the other, each in the order of its journal.
//! - Shape: columns `device_id`, `shard`, `offset`, `body`, and where there is one the map `properties`; any other is left alone.
//! - Limits: the numbers of one shard's messages are sorted in memory, 24 bytes each.
//! - Errors: a file that can't be read fails the verification: what looks complete must be complete.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use arrow::array::{Array, ArrayRef, AsArray, MapArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, UInt32Type, UInt64Type};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::stamp;
use crate::verify::audit::{Audit, Seen};

const COLUMNS: [&str; 4] = ["device_id", "shard", "offset", "body"];
const PROPERTIES: &str = "properties";
const ROWS_PER_BATCH: usize = 8_192;
/// Hive-style folders are two deep; this only stops loops of links.
const DEPTH_MAX: usize = 16;

/// What is kept of a row until its shard is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    offset: u64,
    sequence: u64,
    device: u32,
}

/// Hands every row below a directory to the audit.
pub(super) fn read(directory: &Path, audit: &mut Audit<'_>) -> Result<()> {
    let mut files = Vec::new();
    collect(directory, DEPTH_MAX, &mut files)?;
    let mut shards: BTreeMap<u32, Vec<Row>> = BTreeMap::new();
    for file in &files {
        read_file(file, audit, &mut shards).with_context(|| format!("reading {}", file.display()))?;
    }
    for (shard, mut rows) in shards {
        rows.sort_unstable();
        for row in rows {
            audit.take(shard, row.device, row.sequence, Some((shard, row.offset)));
        }
    }
    Ok(())
}

fn collect(directory: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let context = || format!("listing {}", directory.display());
    for entry in std::fs::read_dir(directory).with_context(context)? {
        let entry = entry.with_context(context)?;
        let name = entry.file_name();
        let is_hidden = name.to_string_lossy().starts_with(['_', '.']);
        let path = entry.path();
        if is_hidden {
            continue;
        }
        if path.is_dir() {
            if depth > 0 {
                collect(&path, depth - 1, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            files.push(path);
        }
    }
    Ok(())
}

fn read_file(path: &Path, audit: &mut Audit<'_>, shards: &mut BTreeMap<u32, Vec<Row>>) -> Result<()> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?;
    let has = |name: &&str| builder.schema().index_of(name).is_ok();
    let missing: Vec<&str> = COLUMNS.into_iter().filter(|name| !has(name)).collect();
    if !missing.is_empty() {
        bail!("no column {}", missing.join(", "));
    }
    let wanted = COLUMNS.into_iter().chain([PROPERTIES]).filter(has);
    let mask = ProjectionMask::columns(builder.parquet_schema(), wanted);
    for batch in builder.with_projection(mask).with_batch_size(ROWS_PER_BATCH).build()? {
        read_batch(&batch?, audit, shards)?;
    }
    Ok(())
}

fn read_batch(batch: &RecordBatch, audit: &mut Audit<'_>, shards: &mut BTreeMap<u32, Vec<Row>>) -> Result<()> {
    let column = |name: &str, kind: &DataType| -> Result<ArrayRef> {
        let array = batch.column_by_name(name).with_context(|| format!("no column {name}"))?;
        cast(array, kind).with_context(|| format!("column {name} is {}", array.data_type()))
    };
    let device_ids = column("device_id", &DataType::Utf8)?;
    let shard_numbers = column("shard", &DataType::UInt32)?;
    let offsets = column("offset", &DataType::UInt64)?;
    let bodies = column("body", &DataType::Binary)?;
    let properties = batch.column_by_name(PROPERTIES).and_then(|array| array.as_map_opt());
    let (device_ids, bodies) = (device_ids.as_string::<i32>(), bodies.as_binary::<i32>());
    let (shard_numbers, offsets) = (shard_numbers.as_primitive::<UInt32Type>(), offsets.as_primitive::<UInt64Type>());
    for row in 0..batch.num_rows() {
        let (shard, offset) = (shard_numbers.value(row), offsets.value(row));
        let stamp = properties.and_then(|properties| property(properties, row));
        let body = if bodies.is_null(row) { &[][..] } else { bodies.value(row) };
        let seen = Seen {
            stream: shard,
            device_id: device_ids.value(row),
            body,
            stamp: stamp.as_deref().map(str::as_bytes),
            place: Some((shard, offset)),
        };
        if let Some((device, sequence)) = audit.identify(&seen) {
            shards.entry(shard).or_default().push(Row { offset, sequence, device });
        }
    }
    Ok(())
}

fn property(properties: &MapArray, row: usize) -> Option<String> {
    if properties.is_null(row) {
        return None;
    }
    let entries = properties.value(row);
    let names = cast(entries.column(0), &DataType::Utf8).ok()?;
    let values = cast(entries.column(1), &DataType::Utf8).ok()?;
    let position = names.as_string::<i32>().iter().position(|name| name == Some(stamp::NAME))?;
    let values = values.as_string::<i32>();
    values.is_valid(position).then(|| values.value(position).to_owned())
}

#[cfg(test)]
mod tests;
