//! A condition by itself: `targetCondition` of a configuration, `queryCondition` of a job.
//! - Shape: the part of a query behind WHERE; `*` for all devices; `FROM devices.modules WHERE ..` for modules.
//! - Invariants: an empty condition matches nothing. So does the hub's: a configuration without a condition targets no device, and
//!   nobody changes a million twins by leaving a field out.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::cursor::Cursor;
use crate::error::{Problem, QueryError};
use crate::evaluate::truth;
use crate::expression::Expression;
use crate::keys::{KeyHint, values_of};
use crate::needs::Needs;
use crate::source::Source;
use crate::statement::source;

/// A condition on the rows of a collection.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    source: Source,
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    All,
    Nothing,
    If(Expression),
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// Says what is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let cursor = &mut Cursor::new(text)?;
        let mut source = Source::Devices;
        if cursor.is_keyword("FROM") {
            source = from(cursor)?;
            if cursor.token().is_none() {
                return Ok(Self { source, test: Test::All });
            }
            if !cursor.takes_keyword("WHERE") {
                return Err(cursor.expected("WHERE or the end"));
            }
        } else if cursor.token().is_none() {
            return Ok(Self { source, test: Test::Nothing });
        }
        if cursor.takes("*") {
            cursor.end("nothing behind '*'")?;
            return Ok(Self { source, test: Test::All });
        }
        let mut condition = cursor.condition()?;
        cursor.end("an operator or the end")?;
        condition.each_path_mut(&|path| source.resolve(path));
        Ok(Self { source, test: Test::If(condition) })
    }

    pub(crate) fn of(source: Source, condition: Option<Expression>) -> Self {
        Self { source, test: condition.map_or(Test::All, Test::If) }
    }

    /// What its rows are: twins of devices or of modules.
    #[must_use]
    pub const fn source(&self) -> Source {
        self.source
    }

    /// Whether it was left empty, so that it matches nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.test == Test::Nothing
    }

    /// Whether a row is meant.
    #[must_use]
    pub fn matches(&self, row: &Value) -> bool {
        match &self.test {
            Test::All => true,
            Test::Nothing => false,
            Test::If(condition) => truth(condition, row) == Some(true),
        }
    }

    /// As [`crate::Query::keys`].
    #[must_use]
    pub fn keys(&self) -> Option<KeyHint<'_>> {
        let member = self.source.key();
        self.values_of(member).map(|values| KeyHint { member, values })
    }

    /// As [`crate::Query::values_of`].
    #[must_use]
    pub fn values_of(&self, member: &str) -> Option<Vec<&str>> {
        match &self.test {
            Test::All => None,
            Test::Nothing => Some(Vec::new()),
            Test::If(condition) => values_of(condition, member).map(|values| values.into_iter().collect()),
        }
    }

    /// What of a row must be there to say whether it matches.
    #[must_use]
    pub fn needs(&self) -> Needs<'_> {
        let mut needs = Needs::nothing();
        if let Test::If(condition) = &self.test {
            needs.add_condition(condition);
        }
        needs
    }
}

/// `FROM devices | devices.modules`
fn from(cursor: &mut Cursor<'_>) -> Result<Source, QueryError> {
    let start = cursor.position();
    match source(cursor, "FROM")? {
        source @ (Source::Devices | Source::Modules) => Ok(source),
        _ => Err(cursor.problem(start, Problem::OtherSource("devices and devices.modules"))),
    }
}

impl FromStr for Condition {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

/// In one spelling, which parses to the same condition.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.source != Source::Devices {
            write!(f, "FROM {} WHERE ", self.source.name())?;
        }
        match &self.test {
            Test::All => f.write_str("*"),
            Test::Nothing => Ok(()),
            Test::If(condition) => condition.fmt(f),
        }
    }
}
