//! Tree -> what is run: expressions with constants folded, and above them a [`Condition`] whose negations have moved to its leaves,
//! so that it works on sets of rows.
//! - Invariants: negation normal form is sound in three-valued logic (De Morgan holds); a leaf selects the rows for which it is its
//!   `wanted` truth, so undefined is never selected on either side of a `NOT`.
//! - Shape: an `AND` runs its cheap operands first and the later ones only on the rows that are left; bodies come last.

use super::ast::{Kind, Node};
use super::columns::Texts;
use super::error::{Problem, QueryError};
use super::fields::{Fields, IdentityField, PropertyKey, SystemField};
use super::functions::Function;
use super::row::Row;
use super::value::{Arithmetic, Comparison, Value};

/// A tree over numbered fields.
#[derive(Debug, Clone)]
pub(crate) enum Expression {
    Constant(Value<'static>),
    Property(u16),
    Body(u16),
    Identity(IdentityField),
    EnqueuedTime,
    MessageSource,
    Not(Box<Self>),
    Negate(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
    Arithmetic(Arithmetic, Box<Self>, Box<Self>),
    Compare(Comparison, Box<Self>, Box<Self>),
    In { negated: bool, needle: Box<Self>, list: Vec<Self> },
    Call(Function, Vec<Self>),
}

/// Which rows a route wants.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    Always,
    Never,
    All(Vec<Self>),
    Any(Vec<Self>),
    Leaf { test: Test, wanted: bool },
}

/// In the order of cost.
#[derive(Debug, Clone)]
pub(crate) enum Test {
    /// Reads nothing but the sender: one answer for each identity of a batch, remembered under a number.
    Identity { number: usize, expression: Expression },
    /// Whether a message has the property of a column.
    PropertyDefined { column: usize },
    /// A property against literal texts: a set of its column.
    PropertyIn { column: usize, set: usize, negated: bool },
    /// Reads no body.
    Row(Expression),
    /// Reads the body.
    Body(Expression),
}

/// What an expression reads.
#[derive(Debug, Clone, Copy, Default)]
struct Reads {
    identity: bool,
    row: bool,
    body: bool,
}

/// Compiles a tree that came from `text`, numbering what it reads in `fields`.
pub(crate) fn compile(text: &str, node: &Node, fields: &mut Fields) -> Result<Condition, QueryError> {
    let mut compiler = Compiler { text, fields };
    compiler.condition(node, true)
}

/// Compiles one sub-expression for an explanation.
pub(super) fn compile_expression(text: &str, node: &Node, fields: &mut Fields) -> Result<Expression, QueryError> {
    let mut compiler = Compiler { text, fields };
    compiler.expression(node).map(|(expression, _)| expression)
}

struct Compiler<'a> {
    text: &'a str,
    fields: &'a mut Fields,
}

impl Compiler<'_> {
    fn condition(&mut self, node: &Node, wanted: bool) -> Result<Condition, QueryError> {
        match &node.kind {
            Kind::Not(operand) => self.condition(operand, !wanted),
            Kind::All(operands) => self.conditions(operands, wanted).map(|all| join(all, wanted)),
            Kind::Any(operands) => self.conditions(operands, wanted).map(|any| join(any, !wanted)),
            kind => {
                if let Some(what) = never_boolean(kind) {
                    return Err(QueryError::at(self.text, node.span.start, Problem::NotBoolean(what)));
                }
                self.leaf(node, wanted)
            }
        }
    }

    fn conditions(&mut self, operands: &[Node], wanted: bool) -> Result<Vec<Condition>, QueryError> {
        operands.iter().map(|operand| self.condition(operand, wanted)).collect()
    }

    fn leaf(&mut self, node: &Node, wanted: bool) -> Result<Condition, QueryError> {
        let (expression, reads) = self.expression(node)?;
        if let Expression::Constant(value) = expression {
            return Ok(if value == Value::Bool(wanted) { Condition::Always } else { Condition::Never });
        }
        let test = if reads.body {
            Test::Body(expression)
        } else if !reads.row {
            let number = self.fields.identity_leaves;
            self.fields.identity_leaves += 1;
            Test::Identity { number, expression }
        } else {
            self.property_test(&expression).unwrap_or(Test::Row(expression))
        };
        Ok(Condition::Leaf { test, wanted })
    }

    /// The test of one property that a column answers.
    fn property_test(&mut self, expression: &Expression) -> Option<Test> {
        if let Expression::Call(Function::IsDefined, operands) = expression
            && let [Expression::Property(field)] = operands.as_slice()
        {
            return Some(Test::PropertyDefined { column: self.fields.column(*field) });
        }
        let (field, texts, negated) = property_in(expression)?;
        let column = self.fields.column(field);
        let set = self.fields.columns.get_mut(column)?.set(texts);
        Some(Test::PropertyIn { column, set, negated })
    }

    fn expression(&mut self, node: &Node) -> Result<(Expression, Reads), QueryError> {
        let mut reads = Reads::default();
        let expression = match &node.kind {
            Kind::Literal(value) => Expression::Constant(value.clone()),
            Kind::Twin => Expression::Constant(Value::Undefined),
            Kind::Property(_) | Kind::System(_) | Kind::Body(_) => self.field(node, &mut reads)?,
            Kind::Not(operand) => Expression::Not(Box::new(self.read(operand, &mut reads)?)),
            Kind::Negate(operand) => Expression::Negate(Box::new(self.read(operand, &mut reads)?)),
            Kind::All(operands) => Expression::All(self.read_all(operands, &mut reads)?),
            Kind::Any(operands) => Expression::Any(self.read_all(operands, &mut reads)?),
            Kind::Arithmetic(operation, left, right) => {
                let (left, right) = (self.read(left, &mut reads)?, self.read(right, &mut reads)?);
                Expression::Arithmetic(*operation, Box::new(left), Box::new(right))
            }
            Kind::Compare(comparison, left, right) => {
                let (left, right) = (self.read(left, &mut reads)?, self.read(right, &mut reads)?);
                Expression::Compare(*comparison, Box::new(left), Box::new(right))
            }
            Kind::In { negated, needle, list } => {
                let needle = Box::new(self.read(needle, &mut reads)?);
                Expression::In { negated: *negated, needle, list: self.read_all(list, &mut reads)? }
            }
            Kind::Call(function, arguments) => Expression::Call(*function, self.read_all(arguments, &mut reads)?),
        };
        if reads.identity || reads.row || reads.body {
            return Ok((expression, reads));
        }
        let constant = expression.evaluate(&Row::of_identity(millrace_model::IdentityRef::default())).into_owned();
        Ok((Expression::Constant(constant), reads))
    }

    fn read(&mut self, node: &Node, reads: &mut Reads) -> Result<Expression, QueryError> {
        let (expression, more) = self.expression(node)?;
        reads.identity |= more.identity;
        reads.row |= more.row;
        reads.body |= more.body;
        Ok(expression)
    }

    fn read_all(&mut self, nodes: &[Node], reads: &mut Reads) -> Result<Vec<Expression>, QueryError> {
        nodes.iter().map(|node| self.read(node, reads)).collect()
    }

    fn field(&mut self, node: &Node, reads: &mut Reads) -> Result<Expression, QueryError> {
        let problem = |problem| QueryError::at(self.text, node.span.start, problem);
        reads.row = true;
        Ok(match &node.kind {
            Kind::Property(name) => {
                Expression::Property(self.fields.property(PropertyKey::Application(name.clone())).map_err(problem)?)
            }
            Kind::Body(path) => {
                reads.body = true;
                Expression::Body(self.fields.body(path).map_err(problem)?)
            }
            Kind::System(SystemField::Property(property)) => {
                Expression::Property(self.fields.property(PropertyKey::System(*property)).map_err(problem)?)
            }
            Kind::System(SystemField::Identity(field)) => {
                *reads = Reads { identity: true, row: false, ..*reads };
                self.fields.reads_identity = true;
                Expression::Identity(*field)
            }
            Kind::System(SystemField::EnqueuedTime) => Expression::EnqueuedTime,
            Kind::System(SystemField::MessageSource) => Expression::MessageSource,
            _ => Expression::Constant(Value::Undefined),
        })
    }
}

/// What can never be true or false, in words.
fn never_boolean(kind: &Kind) -> Option<&'static str> {
    match kind {
        Kind::Literal(Value::Integer(_) | Value::Float(_)) => Some("a number"),
        Kind::Literal(Value::Text(_)) => Some("a text"),
        Kind::Property(_) | Kind::System(_) => Some("a property"),
        Kind::Negate(_) | Kind::Arithmetic(..) => Some("a calculation"),
        Kind::Call(function, _) if !function.is_predicate() => Some("the result of this function"),
        _ => None,
    }
}

/// All or any of the operands, without those that decide nothing.
fn join(mut operands: Vec<Condition>, all: bool) -> Condition {
    let decides = |operand: &Condition| matches!((operand, all), (Condition::Never, true) | (Condition::Always, false));
    if operands.iter().any(decides) {
        return if all { Condition::Never } else { Condition::Always };
    }
    operands.retain(|operand| !matches!(operand, Condition::Always | Condition::Never));
    operands.sort_by_key(Condition::cost);
    match (operands.len(), all) {
        (0, true) => Condition::Always,
        (0, false) => Condition::Never,
        (1, _) => operands.pop().unwrap_or(Condition::Never),
        (_, true) => Condition::All(operands),
        (_, false) => Condition::Any(operands),
    }
}

impl Condition {
    fn cost(&self) -> u32 {
        match self {
            Self::Always | Self::Never => 0,
            Self::Leaf { test, .. } => match test {
                Test::Identity { .. } => 1,
                Test::PropertyDefined { .. } | Test::PropertyIn { .. } => 2,
                Test::Row(_) => 3,
                Test::Body(_) => 4,
            },
            Self::All(operands) | Self::Any(operands) => operands.iter().map(Self::cost).max().unwrap_or(0),
        }
    }
}

/// `property = 'text'` and its kin: property, texts, and whether it must be none of them.
fn property_in(expression: &Expression) -> Option<(u16, Texts, bool)> {
    let (field, literals, negated) = match expression {
        Expression::Compare(comparison @ (Comparison::Equal | Comparison::NotEqual), left, right) => {
            let (field, literal) = match (&**left, &**right) {
                (Expression::Property(field), literal) | (literal, Expression::Property(field)) => (*field, literal),
                _ => return None,
            };
            (field, std::slice::from_ref(literal), *comparison == Comparison::NotEqual)
        }
        Expression::In { negated, needle, list } => match &**needle {
            Expression::Property(field) => (*field, list.as_slice(), *negated),
            _ => return None,
        },
        _ => return None,
    };
    let bytes = |literal: &Expression| match literal {
        // U+FFFD may also stand for broken bytes, which a comparison of raw bytes would miss.
        Expression::Constant(Value::Text(text)) if !text.contains('\u{fffd}') => Some(text.as_bytes().into()),
        _ => None,
    };
    Some((field, literals.iter().map(bytes).collect::<Option<_>>()?, negated))
}
