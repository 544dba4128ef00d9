//! A value of the query language, and what the operators make of two of them.
//! - Units: numbers are 64-bit integers while that is exact, else IEEE doubles; the two compare exactly. What is not finite is undefined.
//! - Shape: what is not there is undefined, and so is every comparison and calculation with it. `null` is a value: it equals itself.
//!   Values of different kinds are unequal, and neither is less. Objects and arrays compare with nothing.
//! - Text compares by Unicode scalar values, with regard to case; so do times, which are ISO 8601 texts.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Datum<'a> {
    Undefined,
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(Cow<'a, str>),
    /// Its contents are not looked at.
    Array,
    /// Its contents are not looked at.
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

impl<'a> Datum<'a> {
    /// A member of a row, or its absence.
    pub(crate) fn of(value: Option<&'a Value>) -> Self {
        match value {
            None => Self::Undefined,
            Some(Value::Null) => Self::Null,
            Some(&Value::Bool(truth)) => Self::Bool(truth),
            Some(Value::Number(number)) => match number.as_i64() {
                Some(integer) => Self::Integer(integer),
                None => number.as_f64().map_or(Self::Undefined, Self::finite),
            },
            Some(Value::String(text)) => Self::Text(Cow::Borrowed(text)),
            Some(Value::Array(_)) => Self::Array,
            Some(Value::Object(_)) => Self::Object,
        }
    }

    /// The same without copying its text.
    pub(crate) fn borrowed(&self) -> Datum<'_> {
        match self {
            Self::Text(text) => Datum::Text(Cow::Borrowed(text)),
            Self::Undefined => Datum::Undefined,
            Self::Null => Datum::Null,
            &Self::Bool(truth) => Datum::Bool(truth),
            &Self::Integer(number) => Datum::Integer(number),
            &Self::Float(number) => Datum::Float(number),
            Self::Array => Datum::Array,
            Self::Object => Datum::Object,
        }
    }

    pub(crate) const fn truth(&self) -> Option<bool> {
        match self {
            &Self::Bool(truth) => Some(truth),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) const fn float(&self) -> Option<f64> {
        match *self {
            Self::Integer(number) => Some(float_of(number)),
            Self::Float(number) => Some(number),
            _ => None,
        }
    }

    /// Whether it is a value that can be compared.
    pub(crate) const fn is_primitive(&self) -> bool {
        !matches!(self, Self::Undefined | Self::Array | Self::Object)
    }

    /// A comparison; `None` when the two cannot be compared.
    pub(crate) fn compare(&self, comparison: Comparison, other: &Datum<'_>) -> Option<bool> {
        if !self.is_primitive() || !other.is_primitive() {
            return None;
        }
        let has_order = !matches!(self, Self::Null | Self::Bool(_));
        match (self.order(other), comparison) {
            (Some(ordering), Comparison::Equal | Comparison::NotEqual) => Some(comparison.holds(ordering)),
            (Some(ordering), _) if has_order => Some(comparison.holds(ordering)),
            (None, Comparison::Equal) => Some(false),
            (None, Comparison::NotEqual) => Some(true),
            _ => None,
        }
    }

    /// Which of two of the same kind comes first.
    fn order(&self, other: &Datum<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Null, Datum::Null) => Some(Ordering::Equal),
            (Self::Bool(left), Datum::Bool(right)) => Some(left.cmp(right)),
            (Self::Integer(left), Datum::Integer(right)) => Some(left.cmp(right)),
            (Self::Float(left), Datum::Float(right)) => left.partial_cmp(right),
            (&Self::Integer(left), &Datum::Float(right)) => order_mixed(left, right),
            (&Self::Float(left), &Datum::Integer(right)) => order_mixed(right, left).map(Ordering::reverse),
            (Self::Text(left), Datum::Text(right)) => Some(left.cmp(right)),
            _ => None,
        }
    }

    /// An order of all that can be compared: null, truths, numbers, texts. For `min` and `max`.
    pub(crate) fn total_order(&self, other: &Datum<'_>) -> Ordering {
        self.order(other).unwrap_or_else(|| self.rank().cmp(&other.rank()))
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Undefined | Self::Null => 0,
            Self::Bool(_) => 1,
            Self::Integer(_) | Self::Float(_) => 2,
            Self::Text(_) => 3,
            Self::Array | Self::Object => 4,
        }
    }

    pub(crate) fn negate(&self) -> Datum<'static> {
        match *self {
            // `0 - 0.0` would lose the sign of zero.
            Self::Float(number) => Datum::Float(-number),
            _ => Datum::Integer(0).calculate(Arithmetic::Subtract, self),
        }
    }

    /// An arithmetic operation; undefined for anything but numbers, and for a division by zero.
    pub(crate) fn calculate(&self, operation: Arithmetic, other: &Datum<'_>) -> Datum<'static> {
        if let (&Self::Integer(left), &Datum::Integer(right)) = (self, other)
            && let Some(exact) = operation.exact(left, right)
        {
            return Datum::Integer(exact);
        }
        let (Some(left), Some(right)) = (self.float(), other.float()) else {
            return Datum::Undefined;
        };
        Datum::finite(match operation {
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
}

/// As it is written in a query.
impl fmt::Display for Datum<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undefined => f.write_str("undefined"),
            Self::Null => f.write_str("null"),
            Self::Bool(truth) => truth.fmt(f),
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Text(text) => quote(text, f),
            Self::Array => f.write_str("an array"),
            Self::Object => f.write_str("an object"),
        }
    }
}

fn quote(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("'")?;
    for character in text.chars() {
        match character {
            '\'' | '\\' => write!(f, "\\{character}")?,
            control if control.is_control() => write!(f, "\\u{:04x}", u32::from(control))?,
            other => write!(f, "{other}")?,
        }
    }
    f.write_str("'")
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

    /// As it is written in a query.
    pub(crate) const fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
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

    /// As it is written in a query.
    pub(crate) const fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Remainder => "%",
        }
    }
}

/// The number that a text reads as: decimal, with fraction and exponent if need be.
pub(crate) fn number_of(text: &str) -> Option<Datum<'static>> {
    let text = text.trim();
    if let Ok(number) = text.parse() {
        return Some(Datum::Integer(number));
    }
    // `parse` also takes "inf" and "nan".
    if !text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E')) {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite()).map(Datum::Float)
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
        assert_eq!(order_mixed(1, 1.5), Some(Ordering::Less));
    }

    #[test]
    fn kinds_are_unequal_and_unordered() {
        let (one, text) = (Datum::Integer(1), Datum::Text("1".into()));
        assert_eq!(one.compare(Comparison::Equal, &text), Some(false));
        assert_eq!(one.compare(Comparison::NotEqual, &text), Some(true));
        assert_eq!(one.compare(Comparison::Less, &text), None);
        assert_eq!(Datum::Null.compare(Comparison::Equal, &Datum::Null), Some(true));
        assert_eq!(Datum::Null.compare(Comparison::LessOrEqual, &Datum::Null), None);
        assert_eq!(Datum::Bool(false).compare(Comparison::Less, &Datum::Bool(true)), None);
        for nothing in [Datum::Undefined, Datum::Array, Datum::Object] {
            assert_eq!(nothing.compare(Comparison::NotEqual, &one), None);
            assert_eq!(one.compare(Comparison::Equal, &nothing), None);
        }
    }

    #[test]
    fn calculation_stays_exact_while_it_can() {
        let calculate = |left, operation, right| Datum::Integer(left).calculate(operation, &Datum::Integer(right));
        assert_eq!(calculate(6, Arithmetic::Divide, 3), Datum::Integer(2));
        assert_eq!(calculate(5, Arithmetic::Divide, 2), Datum::Float(2.5));
        assert_eq!(calculate(5, Arithmetic::Divide, 0), Datum::Undefined);
        assert_eq!(calculate(i64::MIN, Arithmetic::Divide, -1), Datum::Float(9_223_372_036_854_775_808.0));
    }
}
