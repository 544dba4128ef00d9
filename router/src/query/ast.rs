//! The tree of a condition, each node with the text it came from.
//! - Invariants: at most [`crate::limits::CONDITION_DEPTH_MAX`] high, so that everything that walks it may recurse.

use std::ops::Range;

use super::fields::SystemField;
use super::functions::Function;
use super::value::{Arithmetic, Comparison, Value};

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// Bytes of the text.
    pub(crate) span: Range<usize>,
    /// 1 for a leaf.
    pub(crate) height: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Literal(Value<'static>),
    /// Application property, spelled as in the text.
    Property(String),
    System(SystemField),
    Body(Vec<PathStep>),
    /// Always undefined.
    Twin,
    Not(Box<Node>),
    Negate(Box<Node>),
    /// `AND`
    All(Vec<Node>),
    /// `OR`
    Any(Vec<Node>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    In {
        negated: bool,
        needle: Box<Node>,
        list: Vec<Node>,
    },
    Call(Function, Vec<Node>),
}

/// One step of a path into the body.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum PathStep {
    Key(String),
    Index(usize),
}

impl Node {
    pub(crate) fn leaf(kind: Kind, span: Range<usize>) -> Self {
        Self { kind, span, height: 1 }
    }

    pub(crate) fn children(&self) -> Vec<&Self> {
        match &self.kind {
            Kind::Literal(_) | Kind::Property(_) | Kind::System(_) | Kind::Body(_) | Kind::Twin => Vec::new(),
            Kind::Not(operand) | Kind::Negate(operand) => vec![operand],
            Kind::All(operands) | Kind::Any(operands) | Kind::Call(_, operands) => operands.iter().collect(),
            Kind::Arithmetic(_, left, right) | Kind::Compare(_, left, right) => vec![left, right],
            Kind::In { needle, list, .. } => std::iter::once(&**needle).chain(list).collect(),
        }
    }
}
