//! The functions of the condition language.
//! - Errors: none. A function of an argument that it is not made for is undefined; the type tests are defined for everything.
//! - Units: texts are counted in Unicode scalar values, from 0.

use std::borrow::Cow;

use super::value::{Arithmetic, Value, integer_of, number_of};
use crate::limits::TEXT_BYTES_MAX;

/// Function, its name, and how many arguments it takes.
macro_rules! functions {
    ($($function:ident $name:literal $least:literal $most:literal)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Function { $($function),* }

        impl Function {
            pub(crate) const ALL: &[Self] = &[$(Self::$function),*];

            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$function => $name),* }
            }

            /// Fewest and most arguments.
            pub(crate) const fn arity(self) -> (usize, usize) {
                match self { $(Self::$function => ($least, $most)),* }
            }
        }
    };
}

functions! {
    Abs "ABS" 1 1
    AsNumber "AS_NUMBER" 1 1
    Ceiling "CEILING" 1 1
    Concat "CONCAT" 1 1024
    Contains "CONTAINS" 2 2
    EndsWith "ENDS_WITH" 2 2
    Exp "EXP" 1 1
    Floor "FLOOR" 1 1
    IndexOf "INDEX_OF" 2 2
    IsArray "IS_ARRAY" 1 1
    IsBool "IS_BOOL" 1 1
    IsDefined "IS_DEFINED" 1 1
    IsNull "IS_NULL" 1 1
    IsNumber "IS_NUMBER" 1 1
    IsObject "IS_OBJECT" 1 1
    IsPrimitive "IS_PRIMITIVE" 1 1
    IsString "IS_STRING" 1 1
    Length "LENGTH" 1 1
    Lower "LOWER" 1 1
    Power "POWER" 2 2
    Sign "SIGN" 1 1
    Sqrt "SQRT" 1 1
    Square "SQUARE" 1 1
    StartsWith "STARTS_WITH" 2 2
    Substring "SUBSTRING" 2 3
    Upper "UPPER" 1 1
}

impl Function {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|function| function.name().eq_ignore_ascii_case(name))
    }

    /// Whether the result is true or false where it is defined.
    pub(crate) const fn is_predicate(self) -> bool {
        matches!(
            self,
            Self::Contains
                | Self::EndsWith
                | Self::StartsWith
                | Self::IsArray
                | Self::IsBool
                | Self::IsDefined
                | Self::IsNull
                | Self::IsNumber
                | Self::IsObject
                | Self::IsPrimitive
                | Self::IsString
        )
    }

    pub(crate) fn call<'a>(self, arguments: &[Value<'a>]) -> Value<'a> {
        let result = match (self, arguments) {
            (Self::Concat, texts) => concat(texts),
            (Self::Contains | Self::EndsWith | Self::IndexOf | Self::StartsWith, [text, part]) => {
                self.search(text, part)
            }
            (Self::Power, [base, exponent]) => power(base, exponent),
            (Self::Substring, [text, start]) => substring(text, start, None),
            (Self::Substring, [text, start, length]) => substring(text, start, Some(length)),
            (Self::Length | Self::Lower | Self::Upper, [text]) => self.transform(text),
            (Self::AsNumber, [value]) => as_number(value),
            (
                Self::Abs | Self::Ceiling | Self::Exp | Self::Floor | Self::Sign | Self::Sqrt | Self::Square,
                [number],
            ) => self.calculate(number),
            (_, [value]) => self.test(value).map(Value::Bool),
            _ => None,
        };
        result.unwrap_or(Value::Undefined)
    }

    fn test(self, value: &Value<'_>) -> Option<bool> {
        let text = value.text().is_some();
        let number = matches!(value, Value::Integer(_) | Value::Float(_));
        let (truth, null) = (matches!(value, Value::Bool(_)), *value == Value::Null);
        match self {
            Self::IsArray => Some(*value == Value::Array),
            Self::IsBool => Some(truth),
            Self::IsDefined => Some(*value != Value::Undefined),
            Self::IsNull => Some(null),
            Self::IsNumber => Some(number),
            Self::IsObject => Some(*value == Value::Object),
            Self::IsPrimitive => Some(text || number || truth || null),
            Self::IsString => Some(text),
            _ => None,
        }
    }

    fn search(self, text: &Value<'_>, part: &Value<'_>) -> Option<Value<'static>> {
        let (text, part) = (text.text()?, part.text()?);
        Some(match self {
            Self::Contains => Value::Bool(text.contains(part)),
            Self::EndsWith => Value::Bool(text.ends_with(part)),
            Self::StartsWith => Value::Bool(text.starts_with(part)),
            _ => match text.find(part) {
                Some(at) => count(text.get(..at)?)?,
                None => Value::Integer(-1),
            },
        })
    }

    fn transform(self, text: &Value<'_>) -> Option<Value<'static>> {
        let text = text.text()?;
        Some(match self {
            Self::Length => count(text)?,
            Self::Lower => Value::Text(Cow::Owned(text.to_lowercase())),
            _ => Value::Text(Cow::Owned(text.to_uppercase())),
        })
    }

    fn calculate(self, argument: &Value<'_>) -> Option<Value<'static>> {
        let number = argument.number()?;
        let float = number.float()?;
        Some(match (self, &number) {
            (Self::Square, number) => number.calculate(Arithmetic::Multiply, number),
            (Self::Exp, _) => Value::finite(float.exp()),
            (Self::Sqrt, _) => whole(float.sqrt()),
            (Self::Abs, Value::Integer(number)) => {
                number.checked_abs().map_or_else(|| Value::finite(float.abs()), Value::Integer)
            }
            (Self::Sign, Value::Integer(number)) => Value::Integer(number.signum()),
            (Self::Ceiling | Self::Floor, Value::Integer(number)) => Value::Integer(*number),
            (Self::Abs, _) => Value::finite(float.abs()),
            (Self::Ceiling, _) => whole(float.ceil()),
            (Self::Floor, _) => whole(float.floor()),
            (Self::Sign, _) => whole(if float == 0.0 { 0.0 } else { float.signum() }),
            _ => return None,
        })
    }
}

fn concat(texts: &[Value<'_>]) -> Option<Value<'static>> {
    let mut joined = String::new();
    for text in texts {
        let text = text.text()?;
        if joined.len() + text.len() > TEXT_BYTES_MAX {
            return None;
        }
        joined.push_str(text);
    }
    Some(Value::Text(Cow::Owned(joined)))
}

fn substring(text: &Value<'_>, start: &Value<'_>, length: Option<&Value<'_>>) -> Option<Value<'static>> {
    let text = text.text()?;
    let start = position(start)?;
    let length = match length {
        Some(length) => position(length)?,
        None => usize::MAX,
    };
    Some(Value::Text(Cow::Owned(text.chars().skip(start).take(length).collect())))
}

fn power(base: &Value<'_>, exponent: &Value<'_>) -> Option<Value<'static>> {
    Some(whole(base.float()?.powf(exponent.float()?)))
}

fn as_number(value: &Value<'_>) -> Option<Value<'static>> {
    match value {
        Value::Text(text) => number_of(text),
        value => value.number(),
    }
}

fn position(value: &Value<'_>) -> Option<usize> {
    let whole = match value.number()? {
        Value::Integer(number) => number,
        Value::Float(number) => integer_of(number)?,
        _ => return None,
    };
    usize::try_from(whole).ok()
}

fn count(text: &str) -> Option<Value<'static>> {
    i64::try_from(text.chars().count()).ok().map(Value::Integer)
}

/// An integer where that is exact.
fn whole(number: f64) -> Value<'static> {
    integer_of(number).map_or_else(|| Value::finite(number), Value::Integer)
}
