//! A TOML document whose parts are turned into typed sections one by one, so that one mistake does not hide the next.
//! - Errors: [`Problem`]: line, column, words. A key that does not fit is reported and taken out, and the rest is tried again.

use std::fmt;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Error, ValueDeserializer};

/// Most problems that are looked for in one section.
const PROBLEMS_MAX: usize = 64;

/// One thing that is wrong with a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Line and column, from 1; `None` where the problem has no place.
    pub(crate) place: Option<(usize, usize)>,
    pub(crate) message: String,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// See the module's documentation.
pub(crate) struct Document<'a> {
    text: &'a str,
    table: DeTable<'a>,
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Document<'a> {
    pub(crate) fn parse(text: &'a str) -> Self {
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut document = Self { text, table: table.into_inner(), problems: Vec::new() };
        for error in errors {
            document.report(&error, "");
        }
        document
    }

    /// Takes a section out; an absent one has its defaults.
    pub(crate) fn section<T: DeserializeOwned + Default>(&mut self, name: &str) -> T {
        self.take(name).and_then(|value| self.typed(value, name)).unwrap_or_default()
    }

    /// Takes an array of tables out, without those that do not fit; each comes with its position.
    pub(crate) fn list<T: DeserializeOwned>(&mut self, name: &str) -> Vec<(usize, T)> {
        let Some(value) = self.take(name) else {
            return Vec::new();
        };
        let start = value.span().start;
        match value.into_inner() {
            DeValue::Array(items) => items
                .into_iter()
                .filter_map(|item| {
                    let start = item.span().start;
                    Some((start, self.typed(item, name)?))
                })
                .collect(),
            _ => {
                self.note(start, format!("{name}: a list of tables is needed: [[{name}]]"));
                Vec::new()
            }
        }
    }

    /// Takes a table of named tables out: `[name.KEY]`.
    pub(crate) fn named(&mut self, name: &str) -> Vec<(usize, String, Spanned<DeValue<'a>>)> {
        let Some(value) = self.take(name) else {
            return Vec::new();
        };
        let start = value.span().start;
        match value.into_inner() {
            DeValue::Table(table) => {
                table.into_iter().map(|(key, value)| (key.span().start, key.into_inner().into_owned(), value)).collect()
            }
            _ => {
                self.note(start, format!("{name}: named tables are needed: [{name}.NAME]"));
                Vec::new()
            }
        }
    }

    /// Whatever was not taken is not known.
    pub(crate) fn finish(mut self) -> Vec<Problem> {
        let unknown: Vec<_> =
            self.table.iter().map(|(key, _)| (key.span().start, key.get_ref().clone().into_owned())).collect();
        for (start, key) in unknown {
            self.note(start, format!("unknown section `{key}`"));
        }
        self.problems.sort_by_key(|problem| problem.place);
        self.problems
    }

    /// Turns a value into a typed one, reporting every key that does not fit.
    pub(crate) fn typed<T: DeserializeOwned>(&mut self, value: Spanned<DeValue<'a>>, context: &str) -> Option<T> {
        let mut value = value;
        for _ in 0..PROBLEMS_MAX {
            match T::deserialize(ValueDeserializer::from(value.clone())) {
                Ok(typed) => return Some(typed),
                Err(error) => {
                    self.report(&error, context);
                    let culprit = error.span()?.start;
                    if !remove_at(&mut value, culprit) {
                        return None;
                    }
                }
            }
        }
        None
    }

    pub(crate) fn note(&mut self, position: usize, message: String) {
        self.problems.push(Problem { place: Some(line_column(self.text, position)), message });
    }

    fn take(&mut self, name: &str) -> Option<Spanned<DeValue<'a>>> {
        self.table.remove(name)
    }

    fn report(&mut self, error: &Error, context: &str) {
        let message = error.message().trim().replace('\n', " ");
        let message = if context.is_empty() { message } else { format!("{context}: {message}") };
        let place = error.span().map(|span| line_column(self.text, span.start));
        self.problems.push(Problem { place, message });
    }
}

/// Takes the key that covers a position out of a table, however deep. False: there is none.
fn remove_at(value: &mut Spanned<DeValue<'_>>, position: usize) -> bool {
    match value.get_mut() {
        DeValue::Table(table) => {
            let covers = |key: std::ops::Range<usize>, value: std::ops::Range<usize>| {
                key.contains(&position) || value.contains(&position)
            };
            let Some(key) = table
                .iter()
                .find(|(key, value)| covers(key.span(), value.span()))
                .map(|(key, _)| key.get_ref().clone().into_owned())
            else {
                return false;
            };
            let is_deeper = table.get_mut(key.as_str()).is_some_and(|inner| remove_at(inner, position));
            is_deeper || table.remove(key.as_str()).is_some()
        }
        DeValue::Array(items) => {
            items.iter_mut().any(|item| item.span().contains(&position) && remove_at(item, position))
        }
        _ => false,
    }
}

fn line_column(text: &str, position: usize) -> (usize, usize) {
    let before = text.get(..position).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}
