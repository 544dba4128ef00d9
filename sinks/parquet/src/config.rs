//! The `[sinks.parquet]` part of the configuration file.
//! - Units: durations in seconds, sizes in bytes.
//! - Errors: [`ParquetConfig::validate`] lists all problems at once.
//! - Not here: credentials need not be here either; an object store's own environment variables are read first.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::Deserialize;

use crate::columns::FIXED_COLUMNS;
use crate::json_path::JsonPath;
use crate::limits::{COLUMNS_MAX, ROW_GROUP_BYTES_MIN};

/// Where files go, when they are complete, and what is in them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParquetConfig {
    /// `file:///folder`, `s3://bucket/prefix`, `az://container/prefix` or `gs://bucket/prefix`. Empty (the default): a folder
    /// in the data directory.
    pub url: String,
    /// Passed to the object store's client, under its names (`region`, `endpoint`, `access_key_id`, ..). Values are never
    /// logged. Default: none.
    pub options: Options,
    /// A file is completed once it has reached this size; it overshoots by at most a row group. Default 268435456 (256 MiB).
    pub file_bytes: usize,
    /// A file is completed when its first row has waited this long. Default 300.
    pub file_seconds: u64,
    /// Rows of a row group. Default 1048576.
    pub row_group_rows: usize,
    /// Bytes that a row group holds in memory before it is sorted and encoded. Default 67108864 (64 MiB).
    pub row_group_bytes: usize,
    /// Memory for all shards together. A row group is never larger than a third of a shard's share. Default 536870912 (512 MiB).
    pub memory_bytes_max: usize,
    /// How pages are compressed. Default `zstd`.
    pub compression: CompressionKind,
    /// Level of `zstd`, 1 to 22. Default 1.
    pub zstd_level: i32,
    /// Columns taken out of JSON bodies. Default: none.
    pub columns: Vec<ColumnConfig>,
}

/// Options of an object store's client; its `Debug` shows names only.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Options(pub BTreeMap<String, String>);

/// A column taken out of JSON bodies. It is null where the path leads nowhere or to a value of another type.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnConfig {
    /// Name of the column.
    pub name: String,
    /// Where the value stands: `$.temperature`, `a.b[0]`, `$['odd name']`.
    pub path: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ColumnKind,
}

/// Type of a column taken out of JSON bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnKind {
    /// `true` and `false`.
    Boolean,
    /// Any number.
    Double,
    /// A whole number of 64 bits.
    Long,
    /// A string.
    String,
    /// An RFC 3339 string, or a whole number of milliseconds since 1970; stored as milliseconds, UTC.
    Timestamp,
}

/// How pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CompressionKind {
    /// LZ4, raw blocks.
    Lz4,
    /// Not at all.
    None,
    /// Snappy.
    Snappy,
    /// Zstandard at `zstd_level`.
    Zstd,
}

impl Default for ParquetConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            options: Options::default(),
            file_bytes: 256 * 1024 * 1024,
            file_seconds: 300,
            row_group_rows: 1024 * 1024,
            row_group_bytes: 64 * 1024 * 1024,
            memory_bytes_max: 512 * 1024 * 1024,
            compression: CompressionKind::Zstd,
            zstd_level: 1,
            columns: Vec::new(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl ParquetConfig {
    /// All problems, each with the name of its field.
    #[must_use]
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut require = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        require(self.file_bytes > 0, "file_bytes: must be more than 0");
        require(self.file_seconds > 0, "file_seconds: must be more than 0");
        require((1..=16 * 1024 * 1024).contains(&self.row_group_rows), "row_group_rows: must be from 1 to 16777216");
        require(
            (ROW_GROUP_BYTES_MIN..=2048 * 1024 * 1024).contains(&self.row_group_bytes),
            "row_group_bytes: must be from 4194304 to 2147483648",
        );
        require(self.memory_bytes_max >= 3 * ROW_GROUP_BYTES_MIN, "memory_bytes_max: must be at least 12582912");
        require((1..=22).contains(&self.zstd_level), "zstd_level: must be from 1 to 22");
        require(self.columns.len() <= COLUMNS_MAX, "columns: at most 256");
        problems.extend(crate::target::problems(self));
        problems.extend(self.column_problems());
        problems
    }

    fn column_problems(&self) -> Vec<String> {
        let mut names: HashSet<String> = FIXED_COLUMNS.iter().map(|&name| name.to_owned()).collect();
        let mut problems = Vec::new();
        for column in &self.columns {
            if column.name.is_empty() {
                problems.push("columns: a column without a name".to_owned());
            } else if !names.insert(column.name.to_lowercase()) {
                problems.push(format!("columns: the name `{}` is taken", column.name));
            }
            if let Err(problem) = JsonPath::parse(&column.path) {
                problems.push(format!("columns: `{}`: path `{}`: {problem}", column.name, column.path));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        assert_eq!(ParquetConfig::default().validate(), Vec::<String>::new());
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let column = |name: &str, path: &str| ColumnConfig {
            name: name.to_owned(),
            path: path.to_owned(),
            kind: ColumnKind::Double,
        };
        let config = ParquetConfig {
            url: "ftp://nowhere".to_owned(),
            file_bytes: 0,
            file_seconds: 0,
            row_group_rows: 0,
            row_group_bytes: 1,
            memory_bytes_max: 1,
            zstd_level: 99,
            columns: vec![column("a", "$."), column("A", "a"), column("body", "x"), column("", "x")],
            ..ParquetConfig::default()
        };
        let problems = config.validate();
        assert_eq!(problems.len(), 11, "{problems:#?}");
    }

    #[test]
    fn option_values_are_not_shown() {
        let options = Options([("secret_access_key".to_owned(), "hunter2".to_owned())].into());
        let shown = format!("{:?}", ParquetConfig { options, ..ParquetConfig::default() });
        assert!(shown.contains("secret_access_key") && !shown.contains("hunter2"), "{shown}");
    }
}
