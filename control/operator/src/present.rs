//! Results as text: aligned tables for people, tab-separated rows for pipes, JSON for programs.
//! - Shape: a JSON list is written page by page, `[` with the first and `]` behind the last row.
//! - Invariants: no control character of the hub's or a device's reaches a terminal; JSON writes them escaped.

use serde_json::Value;
use zeroize::Zeroizing;

use crate::context::Outcome;
use crate::import::ImportReport;
use crate::table::Rows;

/// Widest column of an aligned table, so that one long cell does not push all others off the screen.
const COLUMN_WIDTH_MAX: usize = 60;

/// Turns outcomes into text.
#[derive(Debug, Default)]
pub struct Presenter {
    json: bool,
    is_terminal: bool,
    /// Titles of the table that is being written.
    titles: Option<Vec<String>>,
    /// Rows of the JSON list written so far.
    listed: u64,
}

/// Text to be written.
#[derive(Debug, Default)]
pub struct Shown {
    /// To standard output, ended by a line feed unless it is empty. It can hold a secret.
    pub output: Zeroizing<String>,
    /// To standard error.
    pub remarks: Vec<String>,
    /// Nothing was done, and the program should exit with 1 and say this.
    pub failure: Option<String>,
}

impl Presenter {
    /// For standard output, which may be a terminal.
    #[must_use]
    pub fn new(json: bool, is_terminal: bool) -> Self {
        Self { json, is_terminal, ..Self::default() }
    }

    /// Turns the next outcome of a command into text.
    pub fn present(&mut self, outcome: Outcome) -> Shown {
        match outcome {
            Outcome::ConnectionString(text) => Shown::line(&text.expose()),
            Outcome::Secret(text) => Shown::line(&text),
            Outcome::Document(value) => Shown::line(&json(&value)),
            Outcome::Done(text) => Shown { remarks: vec![text], ..Shown::default() },
            Outcome::Imported(report) => self.imported(&report),
            Outcome::Rows(rows) if self.json => self.listed(rows),
            Outcome::Rows(rows) => self.table(rows),
        }
    }

    fn listed(&mut self, rows: Rows) -> Shown {
        let mut shown = Shown { remarks: rows.remark.into_iter().map(String::from).collect(), ..Shown::default() };
        if rows.is_single {
            rows.rows.iter().for_each(|row| shown.push(&json(row)));
            return shown;
        }
        let mut text = String::new();
        for row in &rows.rows {
            text.push_str(if self.listed == 0 { "[\n" } else { ",\n" });
            let row = json(row);
            let lines: Vec<_> = row.lines().map(|line| format!("  {line}")).collect();
            text.push_str(&lines.join("\n"));
            self.listed = self.listed.saturating_add(1);
        }
        if rows.is_last {
            text.push_str(if self.listed == 0 { "[]\n" } else { "\n]\n" });
            self.listed = 0;
        }
        shown.output.push_str(&text);
        shown
    }

    fn table(&mut self, rows: Rows) -> Shown {
        let is_first = self.titles.is_none();
        let titles = self.titles.take().unwrap_or_else(|| rows.columns.titles(&rows.rows));
        let mut lines: Vec<_> = rows.rows.iter().map(|row| rows.columns.cells(row, &titles)).collect();
        let mut shown = Shown { remarks: rows.remark.into_iter().map(String::from).collect(), ..Shown::default() };
        if self.is_terminal && !rows.is_single && is_first && !lines.is_empty() {
            lines.insert(0, titles.clone());
        }
        if self.is_terminal {
            align(&lines).iter().for_each(|line| shown.push(line));
        } else {
            lines.iter().for_each(|cells| shown.push(&cells.join("\t")));
        }
        self.titles = Some(titles).filter(|titles| !rows.is_last && !titles.is_empty());
        shown
    }

    fn imported(&self, report: &ImportReport) -> Shown {
        let mut shown = if self.json {
            Shown::line(&serde_json::json!({ "created": report.created, "bad": report.bad }).to_string())
        } else {
            Shown::line(&format!("{} devices created", report.created))
        };
        shown.remarks = report.bad_lines.iter().map(|bad| format!("line {}: {}", bad.line, bad.problem)).collect();
        if report.bad > 0 && report.created == 0 {
            shown.failure = Some(format!("{} bad lines, nothing was created", report.bad));
        }
        shown
    }
}

impl Shown {
    fn line(text: &str) -> Self {
        let mut shown = Self::default();
        shown.push(text);
        shown
    }

    fn push(&mut self, line: &str) {
        // Enough space at once, so that no copy of a secret stays behind.
        self.output.reserve(line.len().saturating_add(1));
        self.output.push_str(line);
        self.output.push('\n');
    }
}

/// Pretty JSON. What JSON need not escape but terminals obey is escaped too; it can only stand within strings.
fn json(value: &Value) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    if !text.chars().any(is_hidden_control) {
        return text;
    }
    let escaped = |character: char| match is_hidden_control(character) {
        true => format!("\\u{:04x}", u32::from(character)),
        false => character.to_string(),
    };
    text.chars().map(escaped).collect()
}

fn is_hidden_control(character: char) -> bool {
    ('\u{7f}'..='\u{9f}').contains(&character)
}

fn align(lines: &[Vec<String>]) -> Vec<String> {
    let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
    let width =
        |column: usize| lines.iter().filter_map(|cells| cells.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or_default().min(COLUMN_WIDTH_MAX)).collect();
    let line = |cells: &Vec<String>| {
        let padded: Vec<_> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::table::{Cell, Columns};

    const COLUMNS: Columns =
        Columns::Fixed(&[("ID", Cell::At("/id")), ("STATUS", Cell::Flag("/on", "enabled", "disabled"))]);

    fn page(rows: &[Value], is_last: bool) -> Outcome {
        Outcome::Rows(Rows { columns: COLUMNS, rows: rows.to_vec(), is_single: false, is_last, remark: None })
    }

    fn written(presenter: &mut Presenter, outcomes: Vec<Outcome>) -> String {
        outcomes.into_iter().map(|outcome| presenter.present(outcome).output.to_string()).collect()
    }

    #[test]
    fn pages_make_one_table_and_one_list() {
        let pages = || vec![page(&[json!({"id": "a", "on": true})], false), page(&[json!({"id": "bcd"})], true)];
        let mut pipe = Presenter::new(false, false);
        assert_eq!(written(&mut pipe, pages()), "a\tenabled\nbcd\tdisabled\n");
        let mut terminal = Presenter::new(false, true);
        assert_eq!(written(&mut terminal, pages()), "ID  STATUS\na   enabled\nbcd  disabled\n");
        let listed: Value = serde_json::from_str(&written(&mut Presenter::new(true, true), pages())).unwrap();
        assert_eq!(listed, json!([{"id": "a", "on": true}, {"id": "bcd"}]));
        for (rows, last) in [(vec![], "[]\n"), (vec![json!(1)], "[\n  1\n]\n")] {
            assert_eq!(written(&mut Presenter::new(true, false), vec![page(&rows, true)]), last);
        }
    }

    #[test]
    fn rows_of_a_query_name_their_own_columns() {
        let rows = vec![json!({"deviceId": "a", "n": 1}), json!({"n": {"x": [1]}, "other": 2}), json!(7)];
        let outcome = Outcome::Rows(Rows::all(Columns::AsTheyCome, rows));
        let text = written(&mut Presenter::new(false, false), vec![outcome]);
        assert_eq!(text, "a\t1\n\t{\"x\":[1]}\n7\n");
    }

    #[test]
    fn terminals_are_not_steered_from_outside() {
        let evil = json!({"id": "\u{1b}[2J\u{9b}x\n\ty", "on": true});
        let table = written(&mut Presenter::new(false, true), vec![page(std::slice::from_ref(&evil), true)]);
        let document = written(&mut Presenter::new(true, true), vec![Outcome::Document(evil.clone())]);
        for text in [&table, &document] {
            assert!(!text.chars().any(|character| character.is_control() && character != '\n'), "{text:?}");
        }
        assert_eq!(serde_json::from_str::<Value>(&document).unwrap(), evil, "and JSON stays what it was");
    }

    #[test]
    fn an_import_that_did_nothing_has_failed() {
        let report = ImportReport { bad: 2, ..ImportReport::default() };
        assert!(Presenter::default().present(Outcome::Imported(report)).failure.is_some());
        let report = ImportReport { created: 1, bad: 2, ..ImportReport::default() };
        assert!(Presenter::default().present(Outcome::Imported(report)).failure.is_none());
    }
}
