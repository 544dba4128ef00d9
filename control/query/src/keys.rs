//! Which values a member can have in rows for which a condition is true.
//! - Invariants: never leaves out a row that matches; may keep rows that do not.

use std::collections::BTreeSet;

use crate::datum::{Comparison, Datum};
use crate::expression::Expression;

/// The only keys that matching rows can have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHint<'a> {
    /// Which member.
    pub member: &'static str,
    /// Its values, in order, each once. None: no row can match.
    pub values: Vec<&'a str>,
}

/// The texts that a member must be one of; `None` when it may be any.
pub(crate) fn values_of<'a>(condition: &'a Expression, member: &str) -> Option<BTreeSet<&'a str>> {
    match condition {
        Expression::Compare(Comparison::Equal, left, right) => match (&**left, &**right) {
            (Expression::Member(path), Expression::Constant(constant))
            | (Expression::Constant(constant), Expression::Member(path))
                if path.is(member) =>
            {
                Some(constant.text().into_iter().collect())
            }
            _ => None,
        },
        Expression::In { negated: false, needle, list } => match &**needle {
            Expression::Member(path) if path.is(member) => Some(list.texts().collect()),
            _ => None,
        },
        Expression::All(operands) => {
            let known = operands.iter().filter_map(|operand| values_of(operand, member));
            known.reduce(|left, right| left.intersection(&right).copied().collect())
        }
        Expression::Any(operands) => operands.iter().try_fold(BTreeSet::new(), |mut all, operand| {
            all.extend(values_of(operand, member)?);
            Some(all)
        }),
        Expression::Constant(Datum::Bool(false)) => Some(BTreeSet::new()),
        _ => None,
    }
}
