//! A query: what it asks for, and what it makes of a row.
//! - Source: Azure IoT Hub query language for twins and jobs; Device Provisioning Service queries.
//! - Shape: rows are the JSON objects that the hub shows: twins in the service's view, outcomes of jobs, enrollments. Columns that a row
//!   does not have are left out of its object.
//! - Not here: where rows come from, and pages ([`crate::Run`] counts them).

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::condition::Condition;
use crate::error::QueryError;
use crate::evaluate::truth;
use crate::keys::{KeyHint, values_of};
use crate::needs::Needs;
use crate::source::{ItemType, Source};
use crate::statement::{Column, Statement};

/// A query.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    pub(crate) statement: Statement,
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// Says what is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        Statement::parse(text, None).map(|statement| Self { statement })
    }

    /// Reads a query where the address says which collection is asked, as the provisioning service has it. What is named behind FROM
    /// does not matter there: clients ask registrations with `SELECT * FROM enrollmentGroups`. `*` alone, which some clients send, and
    /// nothing at all ask for all of it.
    ///
    /// # Errors
    /// Says what is wrong with it, and where.
    pub fn parse_for(source: Source, text: &str) -> Result<Self, QueryError> {
        if matches!(text.trim(), "" | "*") {
            return Ok(Self { statement: Statement::all(source) });
        }
        Statement::parse(text, Some(source)).map(|statement| Self { statement })
    }

    /// What it asks.
    #[must_use]
    pub const fn source(&self) -> Source {
        self.statement.source
    }

    /// At most so many rows.
    #[must_use]
    pub const fn top(&self) -> Option<u64> {
        self.statement.top
    }

    /// Whether its rows are made of groups of rows, so that all rows must be seen before the first answer.
    #[must_use]
    pub fn is_aggregate(&self) -> bool {
        self.statement.is_aggregate()
    }

    /// What the rows of the answer are.
    #[must_use]
    pub const fn item_type(&self) -> ItemType {
        if self.statement.items.is_empty() { self.source().item_type() } else { ItemType::Raw }
    }

    /// The only values that the key of the source ([`Source::key`]) can have in rows that match: look those up instead of reading all.
    /// `None` when the condition says nothing of it. What is looked up must still match.
    #[must_use]
    pub fn keys(&self) -> Option<KeyHint<'_>> {
        let member = self.source().key();
        self.values_of(member).map(|values| KeyHint { member, values })
    }

    /// The only texts that a member of the row itself can be in rows that match, in order. For members that are always texts.
    #[must_use]
    pub fn values_of(&self, member: &str) -> Option<Vec<&str>> {
        values_of(self.statement.condition.as_ref()?, member).map(|values| values.into_iter().collect())
    }

    /// What of a row must be there to say whether it matches.
    #[must_use]
    pub fn condition_needs(&self) -> Needs<'_> {
        let mut needs = Needs::nothing();
        if let Some(condition) = &self.statement.condition {
            needs.add_condition(condition);
        }
        needs
    }

    /// What of a row must be there to answer.
    #[must_use]
    pub fn needs(&self) -> Needs<'_> {
        if self.statement.items.is_empty() {
            return Needs::Everything;
        }
        let mut needs = self.condition_needs();
        let columns = self.statement.items.iter().filter_map(|item| item.column.path());
        columns.chain(&self.statement.groups).for_each(|path| needs.add(path));
        needs
    }

    /// Whether a row is asked for.
    #[must_use]
    pub fn matches(&self, row: &Value) -> bool {
        self.statement.condition.as_ref().is_none_or(|condition| truth(condition, row) == Some(true))
    }

    /// The row of the answer that a matching row becomes: itself for `*`, else an object with the selected columns. An aggregate has no
    /// value here ([`crate::Aggregation`] makes those rows).
    #[must_use]
    pub fn project(&self, row: Value) -> Value {
        if self.statement.items.is_empty() {
            return row;
        }
        let columns = self.statement.items.iter().filter_map(|item| match &item.column {
            Column::Member(path) => Some((String::from(&*item.name), path.find(&row)?.clone())),
            Column::Aggregate(..) => None,
        });
        Value::Object(columns.collect::<Map<_, _>>())
    }

    /// Its condition by itself.
    #[must_use]
    pub fn condition(&self) -> Condition {
        Condition::of(self.source(), self.statement.condition.clone())
    }

    /// Tells this query from others, whatever its spelling. Not a secret.
    pub(crate) fn fingerprint(&self) -> u64 {
        crate::continuation::hash(self.to_string().as_bytes())
    }
}

impl FromStr for Query {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// In one spelling, which parses to the same query.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.statement.fmt(f)
    }
}
