//! A condition over one row, in three-valued logic: true, false, undefined.
//! - Source: Azure IoT Hub query language; undefined as its routes treat it: a row is taken only if its condition is true, and
//!   neither `NOT` nor `NIN` makes anything true of what is not there. `NOT IS_DEFINED(..)` is how absence is asked for.
//! - Errors: none; what makes no sense is undefined.
//! - Hot path: [`truth`]. No allocation but by functions that build a text.

use serde_json::Value;

use crate::datum::Datum;
use crate::expression::Expression;

/// Whether a condition holds; `None` is undefined.
pub(crate) fn truth(condition: &Expression, row: &Value) -> Option<bool> {
    match condition {
        Expression::All(operands) => decide(operands, row, false),
        Expression::Any(operands) => decide(operands, row, true),
        Expression::Compare(comparison, left, right) => value(left, row).compare(*comparison, &value(right, row)),
        Expression::In { negated, needle, list } => {
            let needle = value(needle, row);
            needle.is_primitive().then(|| list.contains(&needle) != *negated)
        }
        Expression::Not(operand) => truth(operand, row).map(|truth| !truth),
        Expression::Constant(_) | Expression::Member(_) | Expression::Call(..) => value(condition, row).truth(),
        Expression::Arithmetic(..) | Expression::Negate(_) => None,
    }
}

/// `AND` is decided by the first false one, `OR` by the first true one; else an undefined one makes all undefined.
fn decide(operands: &[Expression], row: &Value, decisive: bool) -> Option<bool> {
    let mut all_known = true;
    for operand in operands {
        match truth(operand, row) {
            Some(truth) if truth == decisive => return Some(decisive),
            Some(_) => {}
            None => all_known = false,
        }
    }
    all_known.then_some(!decisive)
}

fn value<'a>(expression: &'a Expression, row: &'a Value) -> Datum<'a> {
    match expression {
        Expression::Arithmetic(operation, left, right) => value(left, row).calculate(*operation, &value(right, row)),
        Expression::Call(function, arguments) => function.call(arguments.iter().map(|argument| value(argument, row))),
        Expression::Constant(constant) => constant.borrowed(),
        Expression::Member(path) => Datum::of(path.find(row)),
        Expression::Negate(operand) => value(operand, row).negate(),
        Expression::All(_)
        | Expression::Any(_)
        | Expression::Compare(..)
        | Expression::In { .. }
        | Expression::Not(_) => truth(expression, row).map_or(Datum::Undefined, Datum::Bool),
    }
}
