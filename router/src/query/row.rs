//! One message as expressions see it, and the evaluation of an expression over it.
//! - Invariants: pure. What a [`Row`] borrows has been scanned and parsed before.

use millrace_model::{IdentityRef, MessageSource};

use super::body::Cell;
use super::compile::Expression;
use super::fields::IdentityField;
use super::properties::Span;
use super::value::{Comparison, Value};

#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) identity: IdentityRef<'a>,
    pub(super) enqueued_at: i64,
    pub(super) source: u8,
    /// Of the whole batch; spans are positions in it.
    pub(super) bytes: &'a [u8],
    pub(super) spans: &'a [Span],
    pub(super) cells: &'a [Cell],
    pub(super) arena: &'a str,
}

impl Row<'_> {
    /// Of which nothing is known but who sent it.
    pub(super) const fn of_identity(identity: IdentityRef<'_>) -> Row<'_> {
        Row { identity, enqueued_at: 0, source: 0, bytes: &[], spans: &[], cells: &[], arena: "" }
    }
}

impl Expression {
    pub(super) fn evaluate<'a>(&'a self, row: &Row<'a>) -> Value<'a> {
        match self {
            Self::Constant(value) => value.clone(),
            Self::Property(field) => {
                row.spans.get(usize::from(*field)).map_or(Value::Undefined, |span| span.value(row.bytes))
            }
            Self::Body(field) => {
                row.cells.get(usize::from(*field)).map_or(Value::Undefined, |cell| cell.value(row.arena))
            }
            Self::Identity(field) => field.value(&row.identity),
            Self::EnqueuedTime => time(row.enqueued_at),
            Self::MessageSource => {
                source(row.source).map_or(Value::Undefined, |source| Value::Text(source.name().into()))
            }
            Self::Not(operand) => operand.evaluate(row).not(),
            Self::Negate(operand) => operand.evaluate(row).negate(),
            Self::All(operands) => three_valued(operands.iter().map(|operand| operand.evaluate(row)), false),
            Self::Any(operands) => three_valued(operands.iter().map(|operand| operand.evaluate(row)), true),
            Self::Arithmetic(operation, left, right) => left.evaluate(row).calculate(*operation, &right.evaluate(row)),
            Self::Compare(comparison, left, right) => left.evaluate(row).compare(*comparison, &right.evaluate(row)),
            Self::In { negated, needle, list } => is_in(&needle.evaluate(row), list, row, *negated),
            Self::Call(function, arguments) => {
                let arguments: Vec<_> = arguments.iter().map(|argument| argument.evaluate(row)).collect();
                function.call(&arguments)
            }
        }
    }
}

impl IdentityField {
    fn value<'a>(self, identity: &IdentityRef<'a>) -> Value<'a> {
        let text = match self {
            Self::DeviceId => Some(identity.device_id),
            Self::ModuleId => identity.module_id,
            Self::AuthMethod => Some(identity.auth_method),
            Self::GenerationId => Some(identity.generation_id),
            Self::DataSchema => identity.model_id,
        };
        text.map_or(Value::Undefined, |text| Value::Word(text.into()))
    }
}

/// `OR` when `decisive` is true, `AND` when it is false: one decisive value decides, else one undefined leaves it open.
fn three_valued<'a>(values: impl Iterator<Item = Value<'a>>, decisive: bool) -> Value<'static> {
    let mut result = Value::Bool(!decisive);
    for value in values {
        match value {
            Value::Bool(truth) if truth == decisive => return Value::Bool(decisive),
            Value::Bool(_) => {}
            _ => result = Value::Undefined,
        }
    }
    result
}

/// True when the needle equals an entry; false when it can be compared with one and equals none; else undefined.
fn is_in(needle: &Value<'_>, list: &[Expression], row: &Row<'_>, negated: bool) -> Value<'static> {
    let mut result = Value::Undefined;
    for entry in list {
        match needle.compare(Comparison::Equal, &entry.evaluate(row)) {
            Value::Bool(true) => return Value::Bool(!negated),
            Value::Bool(false) => result = Value::Bool(negated),
            _ => {}
        }
    }
    // A defined needle is in no list of other types, and in no empty list.
    match needle {
        Value::Undefined | Value::Null | Value::Array | Value::Object => result,
        _ => Value::Bool(negated),
    }
}

/// ISO 8601 in UTC with three digits of fraction, so that texts sort as times do.
fn time(milliseconds: i64) -> Value<'static> {
    jiff::Timestamp::from_millisecond(milliseconds)
        .map_or(Value::Undefined, |time| Value::Text(format!("{time:.3}").into()))
}

fn source(code: u8) -> Option<MessageSource> {
    MessageSource::from_code(code)
}
