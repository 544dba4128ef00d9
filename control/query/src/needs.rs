//! What of a row a query looks at, so that nobody gathers what is not asked for.

use crate::expression::Expression;
use crate::path::Path;

/// What of a row is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needs<'a> {
    /// The whole row.
    Everything,
    /// Only these paths, as keys from the row on.
    Paths(Vec<Vec<&'a str>>),
}

impl<'a> Needs<'a> {
    pub(crate) const fn nothing() -> Self {
        Self::Paths(Vec::new())
    }

    pub(crate) fn add(&mut self, path: &'a Path) {
        if let Self::Paths(paths) = self {
            paths.push(path.keys().collect());
        }
    }

    pub(crate) fn add_condition(&mut self, condition: &'a Expression) {
        condition.each_path(&mut |path| self.add(path));
    }

    /// Whether anything at, above or below this path is looked at: `reads(&["properties", "reported"])`.
    #[must_use]
    pub fn reads(&self, path: &[&str]) -> bool {
        match self {
            Self::Everything => true,
            Self::Paths(paths) => paths.iter().any(|read| read.iter().zip(path).all(|(read, asked)| read == asked)),
        }
    }

    /// Whether nothing but these members of the row itself is looked at.
    #[must_use]
    pub fn is_within(&self, members: &[&str]) -> bool {
        match self {
            Self::Everything => false,
            Self::Paths(paths) => paths.iter().all(|read| read.first().is_some_and(|first| members.contains(first))),
        }
    }
}
