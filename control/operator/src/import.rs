//! The lines of an import file, and what became of them.
//! - Shape: `id,base64 key` a line; the id may stand in double quotes; the last comma separates, because ids may hold commas
//!   and base64 does not. A first line that begins with `id`, `deviceid` or `device_id` is a header; empty lines are skipped.
//! - Limits: a line has at most [`LINE_BYTES_MAX`]; at most `IMPORT_BAD_LINES_MAX` bad lines are named, all are counted.
//! - Errors: a bad line is a [`Problem`] with its number, never its text: the text holds a key.

use std::fmt;
use std::io::{self, BufRead, Read};

use millrace_protocols_identity::Key;
use serde::Serialize;
use zeroize::Zeroize;

use millrace_control_jobs::shape::IdentityBody;
use millrace_control_store::registry::IdentityName;

use crate::error::OperatorError;
use crate::identity::{body_of, key_authentication};
use crate::limits::IMPORT_BAD_LINES_MAX;

/// Longest line: an id of 128, a key of 88 characters, quotes and spaces with much to spare.
pub const LINE_BYTES_MAX: u64 = 1024;

/// What is wrong with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Problem {
    /// The device is there already, or stands in the file twice.
    Exists,
    /// The id is not a device id.
    Id,
    /// The key is not base64 of 16 to 64 bytes.
    Key,
    /// The hub refused it for another reason.
    Refused,
    /// Not `id,base64 key`.
    Shape,
    /// The line is too long.
    TooLong,
}

/// A line that was not imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BadLine {
    /// Number of the line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What became of an import.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// Devices created.
    pub created: u64,
    /// Lines that were not imported.
    pub bad: u64,
    /// The first of them.
    pub bad_lines: Vec<BadLine>,
}

impl ImportReport {
    pub(super) fn add_bad(&mut self, line: u64, problem: Problem) {
        self.bad = self.bad.saturating_add(1);
        if self.bad_lines.len() < IMPORT_BAD_LINES_MAX {
            self.bad_lines.push(BadLine { line, problem });
        }
    }

    pub(super) fn sorted(mut self) -> Self {
        self.bad_lines.sort_by_key(|bad| bad.line);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exists => "the device exists already, or stands in the file twice",
            Self::Id => "not a device id",
            Self::Key => "not a key: base64 of 16 to 64 bytes",
            Self::Refused => "refused by the hub",
            Self::Shape => "not id,base64 key",
            Self::TooLong => "too long",
        })
    }
}

/// A good line.
#[derive(Debug, Clone)]
pub struct ImportRow {
    /// Number of the line, from 1.
    pub line: u64,
    /// Who.
    pub name: IdentityName,
    /// The primary key.
    pub key: Key,
}

impl ImportRow {
    /// The device to be created.
    pub(crate) fn body(&self) -> IdentityBody {
        IdentityBody { authentication: Some(key_authentication(Some(&self.key))), ..body_of(&self.name) }
    }
}

/// Reads an import file line by line.
pub struct ImportRows<'a> {
    input: &'a mut dyn BufRead,
    line: u64,
    text: Vec<u8>,
}

impl fmt::Debug for ImportRows<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ImportRows").field("line", &self.line).finish_non_exhaustive()
    }
}

impl<'a> ImportRows<'a> {
    /// Reads from `input`.
    #[must_use]
    pub fn new(input: &'a mut dyn BufRead) -> Self {
        Self { input, line: 0, text: Vec::with_capacity(256) }
    }

    /// Number of the last line read.
    #[must_use]
    pub const fn line(&self) -> u64 {
        self.line
    }

    /// The next line that is neither empty nor the header; `None` at the end.
    ///
    /// # Errors
    /// When the input cannot be read.
    pub fn next_row(&mut self) -> Result<Option<Result<ImportRow, BadLine>>, OperatorError> {
        loop {
            let whole = match self.read_line() {
                Ok(Some(whole)) => whole,
                Ok(None) => return Ok(None),
                Err(source) => return Err(OperatorError::Input { line: self.line.saturating_add(1), source }),
            };
            self.line = self.line.saturating_add(1);
            if !whole {
                return Ok(Some(Err(BadLine { line: self.line, problem: Problem::TooLong })));
            }
            let Ok(text) = std::str::from_utf8(&self.text) else {
                return Ok(Some(Err(BadLine { line: self.line, problem: Problem::Shape })));
            };
            let text = text.trim_start_matches('\u{feff}').trim();
            if text.is_empty() || (self.line == 1 && is_header(text)) {
                continue;
            }
            let line = self.line;
            let row = parse(text).map(|(name, key)| ImportRow { line, name, key });
            return Ok(Some(row.map_err(|problem| BadLine { line, problem })));
        }
    }

    /// Reads one line into `text`; `Some(false)` when it was too long and has been passed over.
    fn read_line(&mut self) -> io::Result<Option<bool>> {
        self.text.clear();
        let taken = self.input.take(LINE_BYTES_MAX).read_until(b'\n', &mut self.text)?;
        if taken == 0 {
            return Ok(None);
        }
        if self.text.ends_with(b"\n") || self.text.len() < usize::try_from(LINE_BYTES_MAX).unwrap_or(usize::MAX) {
            return Ok(Some(true));
        }
        loop {
            self.text.clear();
            let taken = self.input.take(LINE_BYTES_MAX).read_until(b'\n', &mut self.text)?;
            if taken == 0 || self.text.ends_with(b"\n") {
                return Ok(Some(false));
            }
        }
    }
}

impl Drop for ImportRows<'_> {
    fn drop(&mut self) {
        self.text.zeroize();
    }
}

fn is_header(text: &str) -> bool {
    let first = text.split(',').next().unwrap_or_default().trim().trim_matches('"');
    ["id", "deviceid", "device_id"].iter().any(|name| first.eq_ignore_ascii_case(name))
}

fn parse(text: &str) -> Result<(IdentityName, Key), Problem> {
    let (id, key) = text.rsplit_once(',').ok_or(Problem::Shape)?;
    let name = IdentityName::new(unquoted(id), None).map_err(|_| Problem::Id)?;
    let key = Key::from_base64(unquoted(key)).map_err(|_| Problem::Key)?;
    Ok((name, key))
}

/// A quotation mark is no letter of an id or key, so there is nothing to unescape.
fn unquoted(field: &str) -> &str {
    let field = field.trim();
    field.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";

    fn read(text: &str) -> Vec<Result<(u64, String), (u64, Problem)>> {
        let mut input = text.as_bytes();
        let mut rows = ImportRows::new(&mut input);
        std::iter::from_fn(|| rows.next_row().unwrap())
            .map(|row| row.map(|row| (row.line, row.name.to_string())).map_err(|bad| (bad.line, bad.problem)))
            .collect()
    }

    #[test]
    fn reads_ids_and_keys_with_and_without_header_and_quotes() {
        let text = format!("\u{feff}Id,Key\r\na,{KEY}\r\n\r\n\"b,c\",\"{KEY}\"\r\n d , {KEY} ");
        assert_eq!(read(&text), [Ok((2, "a".to_owned())), Ok((4, "b,c".to_owned())), Ok((5, "d".to_owned()))]);
        assert_eq!(read(&format!("x\n{KEY}")), [Err((1, Problem::Shape)), Err((2, Problem::Shape))]);
        assert_eq!(read(""), []);
    }

    #[test]
    fn a_bad_line_is_named_and_the_next_one_read() {
        let long = "x".repeat(5_000);
        let text = format!("a b,{KEY}\nc,short\nd,{KEY},e\n{long}\nf,\n\u{0},{KEY}\ng,{KEY}\n");
        let bad = [Problem::Id, Problem::Key, Problem::Key, Problem::TooLong, Problem::Key, Problem::Id];
        let mut expected: Vec<_> = (1..).zip(bad).map(Err).collect();
        expected.push(Ok((7, "g".to_owned())));
        assert_eq!(read(&text), expected);
        let mut not_text: &[u8] = b"\xff\xfe,abc\n";
        let row = ImportRows::new(&mut not_text).next_row().unwrap().unwrap();
        assert_eq!(row.unwrap_err().problem, Problem::Shape);
    }

    #[test]
    fn a_line_of_just_the_limit_is_read() {
        let limit = usize::try_from(LINE_BYTES_MAX).unwrap();
        let filled = |length: usize| format!("a,{KEY}{}", " ".repeat(length - 2 - KEY.len()));
        assert!(read(&format!("{}\n", filled(limit - 1)))[0].is_ok());
        assert_eq!(read(&format!("{}\nb,{KEY}", filled(limit)))[0], Err((1, Problem::TooLong)));
    }
}
