//! Typed columns: values taken out of JSON bodies by the paths of the configuration.
//! - Invariants: a value of another type is null, never converted, except a whole number in a `double` column.
//! - Limits: a body is parsed at most once per row, and only when there are typed columns.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMillisecondBuilder,
};
use arrow::datatypes::{DataType, Field};

use crate::columns::timestamp_type;
use crate::config::{ColumnConfig, ColumnKind};
use crate::json_path::{JsonPath, PathTree, Scalar};
use crate::row_group::RowRef;

/// The typed columns of one sink.
#[derive(Debug)]
pub(crate) struct TypedColumns {
    columns: Vec<(String, ColumnKind)>,
    paths: PathTree,
}

/// What a path found in one body.
#[derive(Debug, Clone)]
enum Value {
    Boolean(bool),
    Double(f64),
    Long(i64),
    Text(String),
}

enum Builder {
    Boolean(BooleanBuilder),
    Double(Float64Builder),
    Long(Int64Builder),
    String(StringBuilder),
    Timestamp(TimestampMillisecondBuilder),
}

impl TypedColumns {
    pub(crate) fn new(columns: &[ColumnConfig]) -> Self {
        let usable = columns.iter().filter_map(|column| Some((column, JsonPath::parse(&column.path).ok()?)));
        let (columns, paths): (Vec<_>, Vec<_>) =
            usable.map(|(column, path)| ((column.name.clone(), column.kind), path)).unzip();
        Self { columns, paths: PathTree::new(&paths) }
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = Field> {
        self.columns.iter().map(|(name, kind)| {
            let data_type = match kind {
                ColumnKind::Boolean => DataType::Boolean,
                ColumnKind::Double => DataType::Float64,
                ColumnKind::Long => DataType::Int64,
                ColumnKind::String => DataType::Utf8,
                ColumnKind::Timestamp => timestamp_type(),
            };
            Field::new(name, data_type, true)
        })
    }

    pub(crate) fn arrays(&self, rows: &[RowRef<'_>]) -> Vec<ArrayRef> {
        if self.columns.is_empty() {
            return Vec::new();
        }
        let mut builders: Vec<Builder> = self.columns.iter().map(|&(_, kind)| Builder::new(kind)).collect();
        let mut values = vec![None; self.columns.len()];
        for row in rows {
            self.paths.find(row.body, &mut |number, value| {
                if let Some(place) = values.get_mut(number) {
                    *place = Value::of(value);
                }
            });
            builders.iter_mut().zip(&mut values).for_each(|(builder, value)| builder.append(value.take()));
        }
        builders.into_iter().map(Builder::finish).collect()
    }
}

impl Value {
    fn of(value: Scalar<'_>) -> Option<Self> {
        match value {
            Scalar::Boolean(value) => Some(Self::Boolean(value)),
            Scalar::Double(value) => Some(Self::Double(value)),
            Scalar::Long(value) => Some(Self::Long(value)),
            Scalar::Null => None,
            Scalar::Text(value) => Some(Self::Text(value.to_owned())),
        }
    }
}

impl Builder {
    fn new(kind: ColumnKind) -> Self {
        match kind {
            ColumnKind::Boolean => Self::Boolean(BooleanBuilder::new()),
            ColumnKind::Double => Self::Double(Float64Builder::new()),
            ColumnKind::Long => Self::Long(Int64Builder::new()),
            ColumnKind::String => Self::String(StringBuilder::new()),
            ColumnKind::Timestamp => Self::Timestamp(TimestampMillisecondBuilder::new().with_timezone("UTC")),
        }
    }

    fn append(&mut self, value: Option<Value>) {
        match self {
            Self::Boolean(builder) => builder.append_option(match value {
                Some(Value::Boolean(value)) => Some(value),
                _ => None,
            }),
            Self::Double(builder) => builder.append_option(match value {
                Some(Value::Double(value)) => Some(value),
                Some(Value::Long(value)) => Some(double(value)),
                _ => None,
            }),
            Self::Long(builder) => builder.append_option(match value {
                Some(Value::Long(value)) => Some(value),
                _ => None,
            }),
            Self::String(builder) => builder.append_option(match value {
                Some(Value::Text(value)) => Some(value),
                _ => None,
            }),
            Self::Timestamp(builder) => builder.append_option(match value {
                Some(Value::Long(value)) => Some(value),
                Some(Value::Text(value)) => value.parse().ok().map(jiff::Timestamp::as_millisecond),
                _ => None,
            }),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Boolean(mut builder) => Arc::new(builder.finish()),
            Self::Double(mut builder) => Arc::new(builder.finish()),
            Self::Long(mut builder) => Arc::new(builder.finish()),
            Self::String(mut builder) => Arc::new(builder.finish()),
            Self::Timestamp(mut builder) => Arc::new(builder.finish()),
        }
    }
}

#[expect(clippy::as_conversions, reason = "the nearest double is what a reader of JSON numbers expects")]
const fn double(value: i64) -> f64 {
    value as f64
}
