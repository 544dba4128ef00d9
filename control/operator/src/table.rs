//! Tables: which members of JSON rows stand in which column.
//! - Invariants: a cell is one line without control characters, whatever a device or a hub has written there.

use std::borrow::Cow;

use serde_json::Value;

/// What stands in a column.
#[derive(Debug, Clone, Copy)]
pub enum Cell {
    /// The value at this JSON pointer.
    At(&'static str),
    /// One of two words, by the flag at this JSON pointer.
    Flag(&'static str, &'static str, &'static str),
}

/// The columns of a table.
#[derive(Debug, Clone, Copy)]
pub enum Columns {
    /// These titles and cells.
    Fixed(&'static [(&'static str, Cell)]),
    /// The members of the first row.
    AsTheyCome,
}

/// Rows of a table, all or the next of them.
#[derive(Debug)]
pub struct Rows {
    /// Columns; the same for all pages of one command.
    pub columns: Columns,
    /// The rows, as the hub wrote them but without secrets.
    pub rows: Vec<Value>,
    /// One thing, not a list of one: as JSON it stands without brackets.
    pub is_single: bool,
    /// No rows follow.
    pub is_last: bool,
    /// Said after the last row when there are more than were asked for.
    pub remark: Option<Cow<'static, str>>,
}

impl Rows {
    /// One thing.
    #[must_use]
    pub fn single(columns: Columns, row: Value) -> Self {
        Self { columns, rows: vec![row], is_single: true, is_last: true, remark: None }
    }

    /// All of a list.
    #[must_use]
    pub fn all(columns: Columns, rows: Vec<Value>) -> Self {
        Self { columns, rows, is_single: false, is_last: true, remark: None }
    }
}

impl Columns {
    /// Titles of the columns.
    pub(crate) fn titles(self, rows: &[Value]) -> Vec<String> {
        match self {
            Self::Fixed(columns) => columns.iter().map(|(title, _)| (*title).to_owned()).collect(),
            Self::AsTheyCome => {
                let members = rows.first().and_then(Value::as_object);
                members.map(|members| members.keys().map(|name| plain(name)).collect()).unwrap_or_default()
            }
        }
    }

    /// Cells of a row; `titles` are those of the first page.
    pub(crate) fn cells(self, row: &Value, titles: &[String]) -> Vec<String> {
        match self {
            Self::Fixed(columns) => columns.iter().map(|(_, cell)| cell.text(row)).collect(),
            Self::AsTheyCome if row.is_object() => {
                titles.iter().map(|title| row.get(title).map(text).unwrap_or_default()).collect()
            }
            Self::AsTheyCome => vec![text(row)],
        }
    }
}

impl Cell {
    fn text(self, row: &Value) -> String {
        match self {
            Self::At(pointer) => row.pointer(pointer).map(text).unwrap_or_default(),
            Self::Flag(pointer, yes, no) => {
                let is_set = row.pointer(pointer).and_then(Value::as_bool).unwrap_or_default();
                if is_set { yes } else { no }.to_owned()
            }
        }
    }
}

/// Text stands without quotes, nothing as nothing, all else as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text),
        other => plain(&other.to_string()),
    }
}

/// What comes from outside goes to a terminal: control characters could move its cursor, and a tab or line feed would break the table.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}
