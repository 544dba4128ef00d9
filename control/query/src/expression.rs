//! The tree of a condition.
//! - Invariants: at most [`crate::limits::EXPRESSION_DEPTH_MAX`] high, so that everything that walks it may recurse.
//! - Shape: `Display` writes a text that parses to the same tree.

use std::fmt;

use crate::datum::{Arithmetic, Comparison, Datum};
use crate::functions::Function;
use crate::path::Path;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    /// `AND`
    All(Vec<Self>),
    /// `OR`
    Any(Vec<Self>),
    Arithmetic(Arithmetic, Box<Self>, Box<Self>),
    Call(Function, Vec<Self>),
    Compare(Comparison, Box<Self>, Box<Self>),
    Constant(Datum<'static>),
    In {
        negated: bool,
        needle: Box<Self>,
        list: List,
    },
    Member(Path),
    Negate(Box<Self>),
    Not(Box<Self>),
}

/// The constants of an `IN [..]`, in order, each once.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct List(Vec<Datum<'static>>);

impl List {
    /// Keeps those that something can be equal to.
    pub(crate) fn new(mut constants: Vec<Datum<'static>>) -> Self {
        constants.retain(Datum::is_primitive);
        constants.sort_by(Datum::total_order);
        constants.dedup_by(|next, kept| next.total_order(kept).is_eq());
        Self(constants)
    }

    pub(crate) fn contains(&self, needle: &Datum<'_>) -> bool {
        self.0.binary_search_by(|constant| constant.total_order(needle)).is_ok()
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(Datum::text)
    }
}

impl Expression {
    /// Calls `visit` with each path in it.
    pub(crate) fn each_path<'a>(&'a self, visit: &mut dyn FnMut(&'a Path)) {
        match self {
            Self::Constant(_) => {}
            Self::Member(path) => visit(path),
            Self::Not(operand) | Self::Negate(operand) | Self::In { needle: operand, .. } => operand.each_path(visit),
            Self::All(operands) | Self::Any(operands) | Self::Call(_, operands) => {
                operands.iter().for_each(|operand| operand.each_path(visit));
            }
            Self::Arithmetic(_, left, right) | Self::Compare(_, left, right) => {
                left.each_path(visit);
                right.each_path(visit);
            }
        }
    }

    /// Calls `change` with each path in it.
    pub(crate) fn each_path_mut(&mut self, change: &dyn Fn(&mut Path)) {
        match self {
            Self::Constant(_) => {}
            Self::Member(path) => change(path),
            Self::Not(operand) | Self::Negate(operand) | Self::In { needle: operand, .. } => {
                operand.each_path_mut(change);
            }
            Self::All(operands) | Self::Any(operands) | Self::Call(_, operands) => {
                operands.iter_mut().for_each(|operand| operand.each_path_mut(change));
            }
            Self::Arithmetic(_, left, right) | Self::Compare(_, left, right) => {
                left.each_path_mut(change);
                right.each_path_mut(change);
            }
        }
    }

    /// What it is, if it can never be true or false.
    pub(crate) const fn never_boolean(&self) -> Option<&'static str> {
        match self {
            Self::Arithmetic(..) | Self::Negate(_) => Some("a calculation"),
            Self::Constant(Datum::Text(_)) => Some("a text"),
            Self::Constant(Datum::Integer(_) | Datum::Float(_)) => Some("a number"),
            Self::Constant(Datum::Null) => Some("null"),
            Self::Call(function, _) if !function.is_condition() => Some("the result of this function"),
            _ => None,
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(operands) => chain(operands, " AND ", f),
            Self::Any(operands) => chain(operands, " OR ", f),
            Self::Arithmetic(operation, left, right) => {
                write!(f, "{} {} {}", Operand(left), operation.symbol(), Operand(right))
            }
            Self::Call(function, arguments) => {
                write!(f, "{}(", function.name())?;
                separated(arguments.iter(), ", ", f)?;
                f.write_str(")")
            }
            Self::Compare(comparison, left, right) => {
                write!(f, "{} {} {}", Operand(left), comparison.symbol(), Operand(right))
            }
            Self::Constant(constant) => constant.fmt(f),
            Self::In { negated, needle, list } => {
                write!(f, "{} {}IN {list}", Operand(needle), if *negated { "N" } else { "" })
            }
            Self::Member(path) => path.fmt(f),
            Self::Negate(operand) => match **operand {
                Self::Negate(_) => write!(f, "-{operand}"),
                _ => write!(f, "-{}", Operand(operand)),
            },
            Self::Not(operand) => match **operand {
                Self::All(_) | Self::Any(_) => write!(f, "NOT ({operand})"),
                _ => write!(f, "NOT {operand}"),
            },
        }
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        separated(self.0.iter(), ", ", f)?;
        f.write_str("]")
    }
}

/// An operand that keeps its place: in parentheses if it has operands of its own.
struct Operand<'a>(&'a Expression);

impl fmt::Display for Operand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Expression::Call(..) | Expression::Constant(_) | Expression::Member(_) => self.0.fmt(f),
            composed => write!(f, "({composed})"),
        }
    }
}

fn chain(operands: &[Expression], keyword: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    separated(operands.iter().map(Operand), keyword, f)
}

pub(crate) fn separated(
    entries: impl Iterator<Item = impl fmt::Display>,
    between: &str,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    for (number, entry) in entries.enumerate() {
        if number > 0 {
            f.write_str(between)?;
        }
        entry.fmt(f)?;
    }
    Ok(())
}
