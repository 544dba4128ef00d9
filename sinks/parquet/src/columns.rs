//! The schema of the files, and sorted rows -> Arrow arrays.
//! - Shape: [`FIXED_COLUMNS`], then the typed columns of the configuration.
//! - Units: timestamps are milliseconds, UTC.
//! - Limits: one call makes one slice (`limits::SLICE_ROWS_MAX`, `limits::SLICE_BYTES_MAX`), so that no array outgrows i32.
//! - Hot path: [`Columns::record_batch`]: property bags and bodies are not looked into unless a row has some, or a typed
//!   column asks.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, MapBuilder, MapFieldNames, RecordBatch, StringBuilder, StringDictionaryBuilder,
    TimestampMillisecondArray, UInt16Array, UInt64Array, new_null_array,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use millrace_model::{PropertyName, ShardId, SystemProperty, bag};

use crate::config::ColumnConfig;
use crate::row_group::RowRef;
use crate::typed::TypedColumns;

/// Names of the columns that every file has, in their order.
pub(crate) const FIXED_COLUMNS: [&str; 22] = [
    "device_id",
    "module_id",
    "enqueued_at",
    "shard",
    "offset",
    "source",
    "message_id",
    "correlation_id",
    "user_id",
    "content_type",
    "content_encoding",
    "to",
    "creation_time_utc",
    "expiry",
    "interface_id",
    "dt_subject",
    "output_name",
    "dt_dataschema",
    "generation_id",
    "auth_method",
    "properties",
    "body",
];

/// The system properties among them, in the same order.
const SYSTEM_COLUMNS: [SystemProperty; 11] = [
    SystemProperty::MessageId,
    SystemProperty::CorrelationId,
    SystemProperty::UserId,
    SystemProperty::ContentType,
    SystemProperty::ContentEncoding,
    SystemProperty::To,
    SystemProperty::CreationTimeUtc,
    SystemProperty::Expiry,
    SystemProperty::InterfaceId,
    SystemProperty::DtSubject,
    SystemProperty::OutputName,
];

/// The columns of one sink's files.
#[derive(Debug)]
pub(crate) struct Columns {
    schema: SchemaRef,
    typed: TypedColumns,
}

impl Columns {
    /// The configuration was validated before; a path that does not parse finds nothing.
    pub(crate) fn new(columns: &[ColumnConfig]) -> Self {
        let typed = TypedColumns::new(columns);
        let required = |data_type: DataType| (data_type, false);
        let fixed = FIXED_COLUMNS.iter().map(|&name| {
            let (data_type, nullable) = match name {
                "device_id" | "source" | "generation_id" | "auth_method" => required(dictionary_type()),
                "module_id" | "dt_dataschema" => (dictionary_type(), true),
                "enqueued_at" => required(timestamp_type()),
                "shard" => required(DataType::UInt16),
                "offset" => required(DataType::UInt64),
                "properties" => required(map_type()),
                "body" => required(DataType::Binary),
                _ => (DataType::Utf8, true),
            };
            Field::new(name, data_type, nullable)
        });
        let fields: Vec<Field> = fixed.chain(typed.fields()).collect();
        Self { schema: Arc::new(Schema::new(fields)), typed }
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// One slice of rows as Arrow arrays.
    pub(crate) fn record_batch(&self, shard: ShardId, rows: &[RowRef<'_>]) -> Result<RecordBatch, ArrowError> {
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        arrays.push(texts(rows, |row| Some(row.identity.device_id))?);
        arrays.push(texts(rows, |row| row.identity.module_id)?);
        let times = TimestampMillisecondArray::from_iter_values(rows.iter().map(|row| row.enqueued_at));
        arrays.push(Arc::new(times.with_timezone("UTC")));
        arrays.push(Arc::new(UInt16Array::from_value(shard.0, rows.len())));
        arrays.push(Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.offset.0))));
        arrays.push(texts(rows, |row| Some(row.source.name()))?);
        let (system, properties) = properties(rows)?;
        arrays.extend(system);
        arrays.push(texts(rows, |row| row.identity.model_id)?);
        arrays.push(texts(rows, |row| Some(row.identity.generation_id))?);
        arrays.push(texts(rows, |row| Some(row.identity.auth_method))?);
        arrays.push(properties);
        arrays.push(bodies(rows));
        arrays.extend(self.typed.arrays(rows));
        RecordBatch::try_new(self.schema(), arrays)
    }
}

/// Text that repeats from row to row. Neighbours with the same text share it: rows are sorted by device.
fn texts<'a>(rows: &[RowRef<'a>], text: impl Fn(&RowRef<'a>) -> Option<&'a str>) -> Result<ArrayRef, ArrowError> {
    let mut builder = StringDictionaryBuilder::<Int32Type>::new();
    let mut rest = rows;
    while let Some(first) = rest.first() {
        let value = text(first);
        let count = rest.iter().take_while(|row| text(row) == value).count();
        match value {
            Some(value) => drop(builder.append_n(value, count)?),
            None => builder.append_nulls(count),
        }
        rest = rest.get(count..).unwrap_or_default();
    }
    Ok(Arc::new(builder.finish()))
}

fn bodies(rows: &[RowRef<'_>]) -> ArrayRef {
    let bytes = rows.iter().map(|row| row.body.len()).sum();
    let mut builder = BinaryBuilder::with_capacity(rows.len(), bytes);
    rows.iter().for_each(|row| builder.append_value(row.body));
    Arc::new(builder.finish())
}

/// The columns of system properties, and the map of application properties.
fn properties(rows: &[RowRef<'_>]) -> Result<(Vec<ArrayRef>, ArrayRef), ArrowError> {
    let mut map = MapBuilder::new(Some(map_field_names()), StringBuilder::new(), StringBuilder::new());
    if rows.iter().all(|row| row.bag.is_empty() && row.enrichments.is_empty()) {
        for _ in rows {
            map.append(true)?;
        }
        let null = new_null_array(&DataType::Utf8, rows.len());
        return Ok((vec![null; SYSTEM_COLUMNS.len()], Arc::new(map.finish())));
    }
    let mut system = SYSTEM_COLUMNS.map(|_| StringBuilder::new());
    for row in rows {
        let mut found = SYSTEM_COLUMNS.map(|_| None);
        for property in bag::properties(row.bag) {
            match property.name {
                PropertyName::System(name) => {
                    if let Some(place) = place(name).and_then(|at| found.get_mut(at)) {
                        *place = property.value;
                    }
                }
                // An enrichment is the hub's word and replaces what the sender said under the same name.
                PropertyName::Application(name) if row.enrichments.iter().any(|added| added.key == name) => {}
                PropertyName::Application(name) => {
                    map.keys().append_value(name);
                    map.values().append_option(property.value);
                }
            }
        }
        for added in row.enrichments {
            map.keys().append_value(&added.key);
            map.values().append_value(&added.value);
        }
        map.append(true)?;
        system.iter_mut().zip(found).for_each(|(builder, value)| builder.append_option(value));
    }
    let system = system.iter_mut().map(|builder| -> ArrayRef { Arc::new(builder.finish()) }).collect();
    Ok((system, Arc::new(map.finish())))
}

fn place(wanted: SystemProperty) -> Option<usize> {
    SYSTEM_COLUMNS.iter().position(|&property| property == wanted)
}

fn dictionary_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

pub(crate) fn timestamp_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))
}

fn map_field_names() -> MapFieldNames {
    MapFieldNames { entry: "key_value".to_owned(), key: "key".to_owned(), value: "value".to_owned() }
}

fn map_type() -> DataType {
    let names = map_field_names();
    let key = Field::new(names.key, DataType::Utf8, false);
    let value = Field::new(names.value, DataType::Utf8, true);
    let entries = Field::new(names.entry, DataType::Struct(vec![key, value].into()), false);
    DataType::Map(Arc::new(entries), false)
}
