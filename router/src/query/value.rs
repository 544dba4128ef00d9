//! A value of the condition language, and what the operators make of two of them.
//! - Units: numbers are 64-bit integers while that is exact, else IEEE doubles; the two compare exactly. What is not finite is undefined.
//! - Text compares by Unicode scalar values, with regard to case.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Not there, or not meaningful.
    Undefined,
    /// Explicitly nothing.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other finite number.
    Float(f64),
    /// Text with that type: a literal, a text in the body, a result.
    Text(Cow<'a, str>),
    /// The value of a property: text that takes the type of its counterpart.
    Word(Cow<'a, str>),
    /// An array of the body; its contents are not looked at.
    Array,
    /// An object of the body; its contents are not looked at.
    Object,
}

/// `= != < <= > >=`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// `+ - * / %`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl<'a> Value<'a> {
    pub(crate) const fn is_true(&self) -> bool {
        matches!(self, Self::Bool(true))
    }

    /// The number it is, or, for a property, reads as.
    pub(crate) fn number(&self) -> Option<Value<'static>> {
        match self {
            &Self::Integer(number) => Some(Value::Integer(number)),
            &Self::Float(number) => Some(Value::Float(number)),
            Self::Word(word) => number_of(word),
            _ => None,
        }
    }

    pub(crate) fn float(&self) -> Option<f64> {
        match self.number()? {
            Value::Integer(number) => Some(float_of(number)),
            Value::Float(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Word(text) => Some(text),
            _ => None,
        }
    }

    /// The truth it is, or, for a property, reads as.
    fn truth(&self) -> Option<bool> {
        match self {
            &Self::Bool(truth) => Some(truth),
            Self::Word(word) if word.eq_ignore_ascii_case("true") => Some(true),
            Self::Word(word) if word.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// Three-valued negation.
    pub(crate) fn not(&self) -> Value<'static> {
        match self {
            Self::Bool(truth) => Value::Bool(!truth),
            _ => Value::Undefined,
        }
    }

    pub(crate) fn negate(&self) -> Value<'static> {
        Value::Integer(0).calculate(Arithmetic::Subtract, self)
    }

    /// A comparison; undefined when the two cannot be compared.
    pub(crate) fn compare(&self, comparison: Comparison, other: &Value<'_>) -> Value<'static> {
        let ordering = match (self, other) {
            (Self::Null, Value::Null) => Some(Ordering::Equal),
            (Self::Bool(_), _) | (_, Value::Bool(_)) => return self.compare_truths(comparison, other),
            (Self::Integer(_) | Self::Float(_), _) | (_, Value::Integer(_) | Value::Float(_)) => {
                self.number().zip(other.number()).and_then(|(left, right)| order(&left, &right))
            }
            _ => self.text().zip(other.text()).map(|(left, right)| left.cmp(right)),
        };
        ordering.map_or(Value::Undefined, |ordering| Value::Bool(comparison.holds(ordering)))
    }

    /// Booleans are equal or not; neither is less.
    fn compare_truths(&self, comparison: Comparison, other: &Value<'_>) -> Value<'static> {
        match (self.truth().zip(other.truth()), comparison) {
            (Some((left, right)), Comparison::Equal) => Value::Bool(left == right),
            (Some((left, right)), Comparison::NotEqual) => Value::Bool(left != right),
            _ => Value::Undefined,
        }
    }

    /// An arithmetic operation; undefined for anything but numbers, and for a division by zero.
    pub(crate) fn calculate(&self, operation: Arithmetic, other: &Value<'_>) -> Value<'static> {
        let (Some(left), Some(right)) = (self.number(), other.number()) else {
            return Value::Undefined;
        };
        if let (Value::Integer(left), Value::Integer(right)) = (&left, &right)
            && let Some(exact) = operation.exact(*left, *right)
        {
            return Value::Integer(exact);
        }
        let (Some(left), Some(right)) = (left.float(), right.float()) else {
            return Value::Undefined;
        };
        Value::finite(match operation {
            Arithmetic::Add => left + right,
            Arithmetic::Subtract => left - right,
            Arithmetic::Multiply => left * right,
            Arithmetic::Divide => left / right,
            Arithmetic::Remainder => left % right,
        })
    }

    /// A float, or undefined when it is none.
    pub(crate) fn finite(number: f64) -> Self {
        if number.is_finite() { Self::Float(number) } else { Self::Undefined }
    }

    /// Cuts its ties to what it was read from.
    pub(crate) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Undefined => Value::Undefined,
            Self::Null => Value::Null,
            Self::Bool(truth) => Value::Bool(truth),
            Self::Integer(number) => Value::Integer(number),
            Self::Float(number) => Value::Float(number),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Word(text) => Value::Word(Cow::Owned(text.into_owned())),
            Self::Array => Value::Array,
            Self::Object => Value::Object,
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undefined => f.write_str("undefined"),
            Self::Null => f.write_str("null"),
            Self::Bool(truth) => truth.fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Text(text) | Self::Word(text) => write!(f, "'{text}'"),
            Self::Array => f.write_str("an array"),
            Self::Object => f.write_str("an object"),
        }
    }
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

impl Arithmetic {
    /// The result, where it is a whole number that fits.
    fn exact(self, left: i64, right: i64) -> Option<i64> {
        match self {
            Self::Add => left.checked_add(right),
            Self::Subtract => left.checked_sub(right),
            Self::Multiply => left.checked_mul(right),
            Self::Divide => left.checked_div(right).filter(|_| left.checked_rem(right) == Some(0)),
            Self::Remainder => left.checked_rem(right),
        }
    }
}

/// The number that a text reads as: decimal, with fraction and exponent if need be.
pub(crate) fn number_of(text: &str) -> Option<Value<'static>> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return Some(Value::Integer(number));
    }
    // `parse` also takes "inf" and "nan".
    if !text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E')) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Float)
}

fn order(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Integer(left), Value::Integer(right)) => Some(left.cmp(right)),
        (Value::Float(left), Value::Float(right)) => left.partial_cmp(right),
        (&Value::Integer(left), &Value::Float(right)) => order_mixed(left, right),
        (&Value::Float(left), &Value::Integer(right)) => order_mixed(right, left).map(Ordering::reverse),
        _ => None,
    }
}

/// Exact also where the integer is no double: rounding can only make the two equal, never swap them.
fn order_mixed(integer: i64, float: f64) -> Option<Ordering> {
    match float_of(integer).partial_cmp(&float)? {
        Ordering::Equal => integer_of(float).map_or(Some(Ordering::Less), |float| Some(integer.cmp(&float))),
        unequal => Some(unequal),
    }
}

#[expect(clippy::as_conversions, reason = "rounds to the nearest double, which is wanted")]
pub(crate) const fn float_of(number: i64) -> f64 {
    number as f64
}

/// The integer that a whole double is; `None` beyond 64 bits.
#[expect(clippy::as_conversions, reason = "checked against the range just before")]
pub(crate) fn integer_of(number: f64) -> Option<i64> {
    let range = -9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0;
    (range.contains(&number) && number.fract() == 0.0).then_some(number as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_and_floats_compare_exactly() {
        let big = 9_007_199_254_740_993;
        assert_eq!(order_mixed(big, 9_007_199_254_740_992.0), Some(Ordering::Greater));
        assert_eq!(order_mixed(i64::MAX, 9_223_372_036_854_775_808.0), Some(Ordering::Less));
        assert_eq!(order_mixed(i64::MIN, -9_223_372_036_854_775_808.0), Some(Ordering::Equal));
        assert_eq!(order_mixed(1, 1.5), Some(Ordering::Less));
    }

    #[test]
    fn texts_read_as_numbers_only_when_they_are() {
        assert_eq!(number_of(" 31 "), Some(Value::Integer(31)));
        assert_eq!(number_of("-1.5e2"), Some(Value::Float(-150.0)));
        assert_eq!(number_of("9223372036854775808"), Some(Value::Float(9_223_372_036_854_775_808.0)));
        for no in ["", "inf", "nan", "1e999", "0x10", "1,5", "e"] {
            assert_eq!(number_of(no), None, "{no}");
        }
    }

    #[test]
    fn calculation_stays_exact_while_it_can() {
        let calculate = |left, operation, right| Value::Integer(left).calculate(operation, &Value::Integer(right));
        assert_eq!(calculate(6, Arithmetic::Divide, 3), Value::Integer(2));
        assert_eq!(calculate(5, Arithmetic::Divide, 2), Value::Float(2.5));
        assert_eq!(calculate(5, Arithmetic::Divide, 0), Value::Undefined);
        assert_eq!(calculate(5, Arithmetic::Remainder, 0), Value::Undefined);
        assert_eq!(calculate(i64::MIN, Arithmetic::Divide, -1), Value::Float(9_223_372_036_854_775_808.0));
        assert_eq!(calculate(i64::MAX, Arithmetic::Add, 1), Value::Float(9_223_372_036_854_775_808.0));
    }
}
