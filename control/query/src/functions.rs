//! The functions of the language.
//! - Source: Azure IoT Hub query language. The hub documents only `IS_DEFINED` and the type checks for twins; the mathematical and
//!   text functions of its routes are taken here too.
//! - Units: texts are counted in characters, from 0.
//! - Errors: an argument of the wrong kind, and a result that is no finite number or a text beyond [`TEXT_BYTES_MAX`], is undefined.

use std::borrow::Cow;

use crate::datum::{Datum, float_of, integer_of, number_of};
use crate::limits::{ARGUMENTS_MAX, TEXT_BYTES_MAX};

macro_rules! functions {
    ($($function:ident = $name:literal $(| $also:literal)*, $least:literal ..= $most:expr;)*) => {
        /// A function.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Function {
            $($function,)*
        }

        impl Function {
            /// The function of this name, in any case.
            pub(crate) fn from_name(name: &str) -> Option<Self> {
                let names = [$(($name, Self::$function), $(($also, Self::$function),)*)*];
                names.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, function)| function)
            }

            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$function => $name,)*
                }
            }

            /// Least and most arguments.
            pub(crate) const fn arity(self) -> (usize, usize) {
                match self {
                    $(Self::$function => ($least, $most),)*
                }
            }
        }
    };
}

functions! {
    Abs = "ABS", 1..=1;
    AsNumber = "AS_NUMBER", 1..=1;
    Ceiling = "CEILING", 1..=1;
    Concat = "CONCAT", 2..=ARGUMENTS_MAX;
    Contains = "CONTAINS", 2..=2;
    EndsWith = "ENDSWITH" | "ENDS_WITH", 2..=2;
    Exp = "EXP", 1..=1;
    Floor = "FLOOR", 1..=1;
    IndexOf = "INDEX_OF", 2..=2;
    IsArray = "IS_ARRAY", 1..=1;
    IsBool = "IS_BOOL" | "IS_BOOLEAN", 1..=1;
    IsDefined = "IS_DEFINED", 1..=1;
    IsNull = "IS_NULL", 1..=1;
    IsNumber = "IS_NUMBER", 1..=1;
    IsObject = "IS_OBJECT", 1..=1;
    IsPrimitive = "IS_PRIMITIVE", 1..=1;
    IsString = "IS_STRING", 1..=1;
    Length = "LENGTH", 1..=1;
    Lower = "LOWER", 1..=1;
    Power = "POWER", 2..=2;
    Sign = "SIGN", 1..=1;
    Sqrt = "SQRT", 1..=1;
    Square = "SQUARE", 1..=1;
    StartsWith = "STARTSWITH" | "STARTS_WITH", 2..=2;
    Substring = "SUBSTRING", 2..=3;
    Upper = "UPPER", 1..=1;
}

impl Function {
    /// Whether its result is true or false.
    pub(crate) const fn is_condition(self) -> bool {
        matches!(self, Self::Contains | Self::EndsWith | Self::StartsWith) || self.is_check()
    }

    /// Whether it is true or false also of what is not there.
    const fn is_check(self) -> bool {
        matches!(
            self,
            Self::IsArray
                | Self::IsBool
                | Self::IsDefined
                | Self::IsNull
                | Self::IsNumber
                | Self::IsObject
                | Self::IsPrimitive
                | Self::IsString
        )
    }

    /// Its result for arguments of which there are as many as [`Function::arity`] says.
    pub(crate) fn call<'a>(self, mut arguments: impl Iterator<Item = Datum<'a>>) -> Datum<'a> {
        if self == Self::Concat {
            return concat(arguments);
        }
        let first = arguments.next().unwrap_or(Datum::Undefined);
        if self.is_check() {
            return Datum::Bool(self.check(&first));
        }
        match (&first, arguments.next()) {
            (Datum::Text(text), None) => self.of_text(text),
            (Datum::Text(text), Some(Datum::Text(part))) => self.of_texts(text, &part),
            (Datum::Text(text), Some(start)) if self == Self::Substring => {
                substring(text, &start, arguments.next()).unwrap_or(Datum::Undefined)
            }
            (number, None) => self.of_number(number),
            (base, Some(exponent)) if self == Self::Power => match (base.float(), exponent.float()) {
                (Some(base), Some(exponent)) => whole(base.powf(exponent)),
                _ => Datum::Undefined,
            },
            _ => Datum::Undefined,
        }
    }

    const fn check(self, argument: &Datum<'_>) -> bool {
        match self {
            Self::IsArray => matches!(argument, Datum::Array),
            Self::IsBool => matches!(argument, Datum::Bool(_)),
            Self::IsDefined => !matches!(argument, Datum::Undefined),
            Self::IsNull => matches!(argument, Datum::Null),
            Self::IsNumber => matches!(argument, Datum::Integer(_) | Datum::Float(_)),
            Self::IsObject => matches!(argument, Datum::Object),
            Self::IsPrimitive => argument.is_primitive(),
            Self::IsString => matches!(argument, Datum::Text(_)),
            _ => false,
        }
    }

    fn of_text(self, text: &str) -> Datum<'static> {
        match self {
            Self::AsNumber => number_of(text).unwrap_or(Datum::Undefined),
            Self::Length => count(text.chars().count()),
            Self::Lower => bounded(text.to_lowercase()),
            Self::Upper => bounded(text.to_uppercase()),
            _ => Datum::Undefined,
        }
    }

    fn of_texts(self, text: &str, part: &str) -> Datum<'static> {
        match self {
            Self::Contains => Datum::Bool(text.contains(part)),
            Self::EndsWith => Datum::Bool(text.ends_with(part)),
            Self::IndexOf => match text.split_once(part) {
                Some((before, _)) => count(before.chars().count()),
                None => Datum::Integer(-1),
            },
            Self::StartsWith => Datum::Bool(text.starts_with(part)),
            _ => Datum::Undefined,
        }
    }

    fn of_number(self, argument: &Datum<'_>) -> Datum<'static> {
        let Some(number) = argument.float() else {
            return Datum::Undefined;
        };
        match (self, argument) {
            (Self::AsNumber | Self::Ceiling | Self::Floor, &Datum::Integer(integer)) => Datum::Integer(integer),
            (Self::Abs, Datum::Integer(integer)) => {
                integer.checked_abs().map_or_else(|| whole(number.abs()), Datum::Integer)
            }
            (Self::Abs, _) => whole(number.abs()),
            (Self::AsNumber, _) => Datum::finite(number),
            (Self::Ceiling, _) => whole(number.ceil()),
            (Self::Exp, _) => whole(number.exp()),
            (Self::Floor, _) => whole(number.floor()),
            (Self::Sign, _) => whole(if number == 0.0 { 0.0 } else { number.signum() }),
            (Self::Sqrt, _) => whole(number.sqrt()),
            (Self::Square, _) => whole(number * number),
            _ => Datum::Undefined,
        }
    }
}

/// An integer where the number is one.
fn whole(number: f64) -> Datum<'static> {
    integer_of(number)
        .filter(|&integer| float_of(integer) == number)
        .map_or_else(|| Datum::finite(number), Datum::Integer)
}

fn count(count: usize) -> Datum<'static> {
    i64::try_from(count).map_or(Datum::Undefined, Datum::Integer)
}

fn bounded(text: String) -> Datum<'static> {
    if text.len() <= TEXT_BYTES_MAX { Datum::Text(Cow::Owned(text)) } else { Datum::Undefined }
}

fn concat<'a>(arguments: impl Iterator<Item = Datum<'a>>) -> Datum<'a> {
    let mut joined = String::new();
    for argument in arguments {
        match argument.text() {
            Some(text) if joined.len() + text.len() <= TEXT_BYTES_MAX => joined.push_str(text),
            _ => return Datum::Undefined,
        }
    }
    Datum::Text(Cow::Owned(joined))
}

/// What lies beyond the end of the text is left out; a start or length below 0 is undefined.
fn substring(text: &str, start: &Datum<'_>, length: Option<Datum<'_>>) -> Option<Datum<'static>> {
    let start = position(start)?;
    let length = length.map_or(Some(usize::MAX), |length| position(&length))?;
    Some(bounded(text.chars().skip(start).take(length).collect()))
}

fn position(number: &Datum<'_>) -> Option<usize> {
    match *number {
        Datum::Integer(integer) => usize::try_from(integer).ok(),
        Datum::Float(float) => usize::try_from(integer_of(float)?).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, arguments: &[Datum<'static>], expected: &Datum<'static>) {
        let function = Function::from_name(name).unwrap();
        assert_eq!(&function.call(arguments.iter().cloned()), expected, "{name}");
    }

    #[test]
    fn results() {
        let text = |text: &'static str| Datum::Text(text.into());
        let (one, nothing) = (Datum::Integer(1), Datum::Undefined);
        check("is_defined", &[Datum::Null], &Datum::Bool(true));
        check("is_string", &[Datum::Undefined], &Datum::Bool(false));
        check("startswith", &[text("abc"), text("ab")], &Datum::Bool(true));
        check("ENDS_WITH", &[text("abc"), text("ab")], &Datum::Bool(false));
        check("contains", &[text("abc"), one.clone()], &nothing);
        check("index_of", &[text("aéb"), text("b")], &Datum::Integer(2));
        check("index_of", &[text("aéb"), text("x")], &Datum::Integer(-1));
        check("length", &[text("aé")], &Datum::Integer(2));
        check("substring", &[text("aéb"), one.clone()], &text("éb"));
        check("substring", &[text("aéb"), one.clone(), one.clone()], &text("é"));
        check("substring", &[text("aéb"), Datum::Integer(-1)], &nothing);
        check("concat", &[text("a"), text("b"), text("c")], &text("abc"));
        check("concat", &[text("a"), one.clone()], &nothing);
        check("upper", &[text("é")], &text("É"));
        check("power", &[Datum::Integer(2), Datum::Integer(10)], &Datum::Integer(1024));
        check("sqrt", &[Datum::Integer(-1)], &nothing);
        check("ceiling", &[Datum::Float(1.2)], &Datum::Integer(2));
        check("sign", &[Datum::Float(-0.5)], &Datum::Integer(-1));
        check("abs", &[Datum::Integer(-3)], &Datum::Integer(3));
        check("as_number", &[text("12.5")], &Datum::Float(12.5));
        check("exp", &[text("1")], &nothing);
    }

    #[test]
    fn built_texts_are_bounded() {
        let long = Datum::Text("x".repeat(TEXT_BYTES_MAX).into());
        check("concat", &[long.clone(), Datum::Text("y".into())], &Datum::Undefined);
        check("length", &[long], &Datum::Integer(65_536));
    }
}
