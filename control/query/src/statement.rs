//! Tokens -> a whole query, with its names checked and in the hub's spelling.
//! - Shape: SELECT [TOP n] (* | item (, item)*) FROM source [WHERE condition] [GROUP BY path (, path)*];
//!   item = (path | count() | (avg | sum | min | max)(path)) [AS name]. A path is called by its last key, an aggregate without a name
//!   `$1`, the next one `$2`, as the hub calls them.
//! - Not here: ORDER BY, JOIN and queries within queries, which the hub does not have either.

use std::collections::BTreeSet;
use std::fmt;

use crate::cursor::Cursor;
use crate::datum::Datum;
use crate::error::{Problem, QueryError};
use crate::expression::{Expression, separated};
use crate::lexer::Token;
use crate::limits::{GROUP_MEMBERS_MAX, ITEMS_MAX};
use crate::path::{Name, Path};
use crate::source::Source;

/// A query as it was understood.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statement {
    pub(crate) top: Option<u64>,
    /// Empty for `*`.
    pub(crate) items: Vec<Item>,
    pub(crate) source: Source,
    pub(crate) condition: Option<Expression>,
    pub(crate) groups: Vec<Path>,
}

/// A column of the answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    pub(crate) column: Column,
    pub(crate) name: Box<str>,
}

/// What a column shows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Column {
    Member(Path),
    /// Of a member, or, for `count`, of whole rows.
    Aggregate(Aggregate, Option<Path>),
}

/// What is made of all rows of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aggregate {
    Average,
    Count,
    Maximum,
    Minimum,
    Sum,
}

/// An item as it was written.
struct Written {
    column: Column,
    alias: Option<Box<str>>,
    start: usize,
}

impl Statement {
    /// All rows of a source.
    pub(crate) const fn all(source: Source) -> Self {
        Self { top: None, items: Vec::new(), source, condition: None, groups: Vec::new() }
    }

    /// Reads a query. Where the caller says which collection is asked, the name behind FROM only has to be one.
    pub(crate) fn parse(text: &str, asked: Option<Source>) -> Result<Self, QueryError> {
        let cursor = &mut Cursor::new(text)?;
        expect(cursor, "SELECT", "SELECT")?;
        let top = top(cursor)?;
        let written = items(cursor)?;
        let named = source(cursor, if written.is_empty() { "FROM" } else { "',', AS or FROM" })?;
        let source = asked.unwrap_or(named);
        let mut condition = cursor.takes_keyword("WHERE").then(|| cursor.condition()).transpose()?;
        if let Some(condition) = &mut condition {
            condition.each_path_mut(&|path| source.resolve(path));
        }
        let start = cursor.position();
        let groups = groups(cursor, source)?;
        cursor.end(if condition.is_some() {
            "an operator, GROUP BY or the end"
        } else {
            "WHERE, GROUP BY or the end"
        })?;
        if written.is_empty() && !groups.is_empty() {
            return Err(cursor.problem(start, Problem::WholeGrouped));
        }
        let items = finish(written, source, &groups, cursor)?;
        Ok(Self { top, items, source, condition, groups })
    }

    /// Whether its rows are made of groups of rows.
    pub(crate) fn is_aggregate(&self) -> bool {
        !self.groups.is_empty() || self.items.iter().any(|item| item.column.is_aggregate())
    }
}

impl Column {
    const fn is_aggregate(&self) -> bool {
        matches!(self, Self::Aggregate(..))
    }

    /// The member that it shows or aggregates.
    pub(crate) const fn path(&self) -> Option<&Path> {
        match self {
            Self::Member(path) => Some(path),
            Self::Aggregate(_, path) => path.as_ref(),
        }
    }
}

impl Aggregate {
    fn from_name(name: &str) -> Option<Self> {
        let all = [Self::Average, Self::Count, Self::Maximum, Self::Minimum, Self::Sum];
        all.into_iter().find(|aggregate| aggregate.name().eq_ignore_ascii_case(name))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Average => "avg",
            Self::Count => "count",
            Self::Maximum => "max",
            Self::Minimum => "min",
            Self::Sum => "sum",
        }
    }
}

/// `FROM source`
pub(crate) fn source(cursor: &mut Cursor<'_>, expected: &'static str) -> Result<Source, QueryError> {
    expect(cursor, "FROM", expected)?;
    let start = cursor.position();
    let name = cursor.path("a collection such as devices")?.to_string();
    Source::from_name(&name).ok_or_else(|| cursor.problem(start, Problem::UnknownSource(name)))
}

fn expect(cursor: &mut Cursor<'_>, keyword: &str, expected: &'static str) -> Result<(), QueryError> {
    if cursor.takes_keyword(keyword) { Ok(()) } else { Err(cursor.expected(expected)) }
}

/// `TOP n`; a member called `top` is not followed by a number.
fn top(cursor: &mut Cursor<'_>) -> Result<Option<u64>, QueryError> {
    if !matches!(cursor.following(), Some(Token::Number(_))) || !cursor.takes_keyword("TOP") {
        return Ok(None);
    }
    let rows = match cursor.token() {
        Some(&Token::Number(Datum::Integer(rows))) => u64::try_from(rows).ok(),
        _ => None,
    };
    let rows = rows.ok_or_else(|| cursor.expected("a whole number of rows"))?;
    cursor.advance();
    Ok(Some(rows))
}

/// `*` is no item at all.
fn items(cursor: &mut Cursor<'_>) -> Result<Vec<Written>, QueryError> {
    let mut items = Vec::new();
    if cursor.takes("*") {
        return Ok(items);
    }
    loop {
        if items.len() == ITEMS_MAX {
            return Err(cursor.problem(cursor.position(), Problem::TooMany(ITEMS_MAX)));
        }
        items.push(item(cursor)?);
        if !cursor.takes(",") {
            return Ok(items);
        }
    }
}

fn item(cursor: &mut Cursor<'_>) -> Result<Written, QueryError> {
    let start = cursor.position();
    let column = match (cursor.token(), cursor.following()) {
        (Some(&Token::Word(name)), Some(Token::Symbol("("))) => {
            let Some(aggregate) = Aggregate::from_name(name) else {
                return Err(cursor.expected("a member or one of count, avg, sum, min and max"));
            };
            cursor.advance();
            cursor.advance();
            Column::Aggregate(aggregate, argument(cursor, aggregate)?)
        }
        _ => Column::Member(cursor.path("*, a member or an aggregate")?),
    };
    let alias = cursor.takes_keyword("AS").then(|| alias(cursor)).transpose()?;
    Ok(Written { column, alias, start })
}

/// What stands between the parentheses; for `count` it may be nothing or `*`.
fn argument(cursor: &mut Cursor<'_>, aggregate: Aggregate) -> Result<Option<Path>, QueryError> {
    let mut path = None;
    let counts_rows = aggregate == Aggregate::Count && (cursor.takes("*") || cursor.symbol() == Some(")"));
    if !counts_rows {
        path = Some(cursor.path("a member")?);
    }
    if cursor.takes(")") { Ok(path) } else { Err(cursor.expected("')'")) }
}

fn alias(cursor: &mut Cursor<'_>) -> Result<Box<str>, QueryError> {
    let (expected, start) = ("a name without dots", cursor.position());
    let path = cursor.path(expected)?;
    if path.is(path.name()) {
        return Ok(path.name().into());
    }
    Err(cursor.problem(start, Problem::Expected { expected, found: format!("'{path}'") }))
}

fn groups(cursor: &mut Cursor<'_>, source: Source) -> Result<Vec<Path>, QueryError> {
    let mut groups = Vec::new();
    if !cursor.takes_keyword("GROUP") {
        return Ok(groups);
    }
    expect(cursor, "BY", "BY")?;
    loop {
        if groups.len() == GROUP_MEMBERS_MAX {
            return Err(cursor.problem(cursor.position(), Problem::TooMany(GROUP_MEMBERS_MAX)));
        }
        let mut path = cursor.path("a member")?;
        source.resolve(&mut path);
        groups.push(path);
        if !cursor.takes(",") {
            return Ok(groups);
        }
    }
}

/// Gives each item its name, and checks that each has a value and a name of its own.
fn finish(
    written: Vec<Written>,
    source: Source,
    groups: &[Path],
    cursor: &Cursor<'_>,
) -> Result<Vec<Item>, QueryError> {
    let grouped = !groups.is_empty() || written.iter().any(|item| item.column.is_aggregate());
    let (mut names, mut unnamed) = (BTreeSet::new(), 0);
    let mut items = Vec::with_capacity(written.len());
    for Written { mut column, alias, start } in written {
        if let Column::Member(path) | Column::Aggregate(_, Some(path)) = &mut column {
            source.resolve(path);
        }
        let name = match &column {
            Column::Member(path) if grouped && !groups.contains(path) => {
                return Err(cursor.problem(start, Problem::NotGrouped(path.to_string())));
            }
            Column::Member(path) => alias.unwrap_or_else(|| path.name().into()),
            Column::Aggregate(..) => alias.unwrap_or_else(|| {
                unnamed += 1;
                format!("${unnamed}").into()
            }),
        };
        if !names.insert(name.clone()) {
            return Err(cursor.problem(start, Problem::NameTwice(name.into())));
        }
        items.push(Item { column, name });
    }
    Ok(items)
}

/// In one spelling, whatever the case and spacing of the text that it came from.
impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SELECT ")?;
        if let Some(rows) = self.top {
            write!(f, "TOP {rows} ")?;
        }
        if self.items.is_empty() {
            f.write_str("*")?;
        }
        separated(self.items.iter(), ", ", f)?;
        write!(f, " FROM {}", self.source.name())?;
        if let Some(condition) = &self.condition {
            write!(f, " WHERE {condition}")?;
        }
        if !self.groups.is_empty() {
            f.write_str(" GROUP BY ")?;
        }
        separated(self.groups.iter(), ", ", f)
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Column::Member(path) => path.fmt(f)?,
            Column::Aggregate(aggregate, None) => write!(f, "{}()", aggregate.name())?,
            Column::Aggregate(aggregate, Some(path)) => write!(f, "{}({path})", aggregate.name())?,
        }
        write!(f, " AS {}", Name(&self.name))
    }
}
