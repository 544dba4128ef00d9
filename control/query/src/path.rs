//! A path into a row: `tags.site`, `properties.reported.list[0]`, `configurations.[[odd name]].status`.
//! - Invariants: at least one step; the first one is a key.

use std::fmt;

use serde_json::Value;

/// Words that stand for themselves only inside `[[..]]` or behind a dot.
const RESERVED: [&str; 15] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP",
    "BY",
    "AS",
    "AND",
    "OR",
    "NOT",
    "IN",
    "NIN",
    "TRUE",
    "FALSE",
    "NULL",
    "UNDEFINED",
];

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Key(Box<str>),
    Index(usize),
}

/// A path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path(pub(crate) Vec<Step>);

impl Path {
    /// What it leads to in a row.
    pub(crate) fn find<'a>(&self, row: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(row, |value, step| match step {
            Step::Key(key) => value.as_object()?.get(&**key),
            &Step::Index(index) => value.as_array()?.get(index),
        })
    }

    /// What a column of it is called: its last key.
    pub(crate) fn name(&self) -> &str {
        self.0.iter().rev().find_map(Step::key).unwrap_or_default()
    }

    /// Whether it is this member of the row itself.
    pub(crate) fn is(&self, member: &str) -> bool {
        matches!(self.0.as_slice(), [Step::Key(key)] if **key == *member)
    }

    /// Its keys, up to the first index.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map_while(Step::key)
    }
}

impl Step {
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Self::Key(key) => Some(key),
            Self::Index(_) => None,
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if number == 0 => Name(key).fmt(f)?,
                Step::Key(key) => write!(f, ".{}", Name(key))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A name as it is written in a query, escaped if need be.
pub(crate) struct Name<'a>(pub(crate) &'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.0.chars().all(is_word) && !self.0.starts_with(|first: char| first.is_numeric());
        if plain && !is_reserved(self.0) { f.write_str(self.0) } else { write!(f, "[[{}]]", self.0) }
    }
}

pub(crate) fn is_reserved(word: &str) -> bool {
    RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
}

/// Whether a name may hold the character without `[[..]]`.
pub(crate) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$')
}
