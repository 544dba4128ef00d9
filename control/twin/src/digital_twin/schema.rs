//! Schemas: what a value of a model may be.
//! - Source: DTDL, schemas.
//! - Invariants: a field that is absent is no fault: the models do not say which are required.

use jiff::civil::{Date, Time};
use serde_json::Value;

use super::error::Problems;
use super::is_name;
use crate::path::Path;

/// What a value may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Schema {
    /// A single value.
    Primitive(Primitive),
    /// Elements of one schema.
    Array(Box<Schema>),
    /// One of several values.
    Enum(EnumValues),
    /// A place or shape on earth, as GeoJSON; its coordinates are not looked at.
    Geospatial,
    /// Names that the writer chooses, with values of one schema.
    Map(Box<Schema>),
    /// Named fields.
    Object(Vec<Field>),
}

/// Schemas of single values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Primitive {
    /// True or false.
    Boolean,
    /// Full date of RFC 3339.
    Date,
    /// Date and time of RFC 3339.
    DateTime,
    /// IEEE 754, eight bytes.
    Double,
    /// Duration of ISO 8601.
    Duration,
    /// IEEE 754, four bytes.
    Float,
    /// Signed, four bytes.
    Integer,
    /// Signed, eight bytes.
    Long,
    /// Text.
    String,
    /// Full time of RFC 3339.
    Time,
}

/// Values of an enumeration, all of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnumValues {
    /// Numbers.
    Integers(Vec<i64>),
    /// Texts.
    Strings(Vec<String>),
}

/// A named part of an object, or the request or response of a command.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it may be.
    pub schema: Schema,
}

impl Schema {
    /// What is wrong with a value.
    ///
    /// # Errors
    /// All of it, with paths inside the value.
    pub fn check(&self, value: &Value) -> Result<(), Problems> {
        let mut problems = Problems::default();
        self.collect(Path::root(""), value, &mut problems);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn collect(&self, path: Path<'_>, value: &Value, problems: &mut Problems) {
        match (self, value) {
            (Self::Primitive(primitive), value) => {
                if !primitive.admits(value) {
                    problems.add(path, format!("is not {}", primitive.article()));
                }
            }
            (Self::Array(schema), Value::Array(elements)) => {
                for (index, element) in elements.iter().enumerate() {
                    schema.collect(path.element(index), element, problems);
                }
            }
            (Self::Array(_), _) => problems.add(path, "is not an array"),
            (Self::Enum(values), value) => {
                if !values.admits(value) {
                    problems.add(path, "is none of the values of the enumeration");
                }
            }
            (Self::Geospatial | Self::Map(_) | Self::Object(_), value) if !value.is_object() => {
                problems.add(path, "is not an object");
            }
            (Self::Map(schema), Value::Object(members)) => {
                for (name, member) in members {
                    schema.collect(path.member(name), member, problems);
                    if !is_name(name) {
                        problems.add(path.member(name), "is not a name as maps have them");
                    }
                }
            }
            (Self::Object(fields), Value::Object(members)) => {
                for (name, member) in members {
                    match fields.iter().find(|field| field.name == *name) {
                        Some(field) => field.schema.collect(path.member(name), member, problems),
                        None => problems.add(path.member(name), "is not a field of the object"),
                    }
                }
            }
            (Self::Geospatial | Self::Map(_) | Self::Object(_), _) => {}
        }
    }

    /// Whether it is or holds an array.
    pub(crate) fn has_array(&self) -> bool {
        match self {
            Self::Array(_) => true,
            Self::Map(schema) => schema.has_array(),
            Self::Object(fields) => fields.iter().any(|field| field.schema.has_array()),
            Self::Primitive(_) | Self::Enum(_) | Self::Geospatial => false,
        }
    }
}

impl Primitive {
    /// Names in a model, and with an article for people.
    const ALL: [(&'static str, Self, &'static str); 10] = [
        ("boolean", Self::Boolean, "a boolean"),
        ("date", Self::Date, "a date (2024-05-01)"),
        ("dateTime", Self::DateTime, "a date and time (2024-05-01T10:00:00Z)"),
        ("double", Self::Double, "a number"),
        ("duration", Self::Duration, "a duration (PT5M)"),
        ("float", Self::Float, "a number of single precision"),
        ("integer", Self::Integer, "an integer of four bytes"),
        ("long", Self::Long, "an integer of eight bytes"),
        ("string", Self::String, "a text"),
        ("time", Self::Time, "a time (10:00:00Z)"),
    ];

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, ..)| *known == name).map(|(_, primitive, _)| *primitive)
    }

    fn article(self) -> &'static str {
        Self::ALL.iter().find(|(_, primitive, _)| *primitive == self).map_or("of its schema", |(.., article)| article)
    }

    fn admits(self, value: &Value) -> bool {
        let text = |is_one: fn(&str) -> bool| value.as_str().is_some_and(is_one);
        match self {
            Self::Boolean => value.is_boolean(),
            Self::Double => value.is_number(),
            Self::Float => value.as_f64().is_some_and(|number| number.abs() <= f64::from(f32::MAX)),
            Self::Integer => whole(value).is_some_and(|number| i32::try_from(number).is_ok()),
            Self::Long => whole(value).is_some(),
            Self::String => value.is_string(),
            Self::Date => text(|text| text.len() == 10 && text.parse::<Date>().is_ok()),
            Self::DateTime => text(|text| text.parse::<jiff::Timestamp>().is_ok()),
            Self::Duration => text(|text| text.starts_with('P') && text.parse::<jiff::Span>().is_ok()),
            Self::Time => text(is_time),
        }
    }
}

/// `10:00:00`, with fraction and offset or without.
fn is_time(text: &str) -> bool {
    let offset = text.find(['Z', 'z', '+', '-']);
    let (clock, offset) = offset.and_then(|at| text.split_at_checked(at)).unwrap_or((text, "Z"));
    let is_offset = matches!(offset, "Z" | "z")
        || offset.get(1..).is_some_and(|hours| hours.len() == 5 && hours.parse::<Time>().is_ok());
    is_offset && clock.parse::<Time>().is_ok()
}

/// An integer; `5.0` is one, because not every sender keeps the two apart.
fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number =
            value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0)?;
        format!("{number:.0}").parse().ok()
    })
}

impl EnumValues {
    fn admits(&self, value: &Value) -> bool {
        match self {
            Self::Integers(values) => whole(value).is_some_and(|number| values.contains(&number)),
            Self::Strings(values) => value.as_str().is_some_and(|text| values.iter().any(|known| known == text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn primitives_admit_what_they_name() {
        for (name, good, bad) in [
            ("boolean", json!(true), json!("true")),
            ("date", json!("2024-02-29"), json!("2023-02-29")),
            ("dateTime", json!("2024-05-01T10:00:00+02:00"), json!("2024-05-01")),
            ("double", json!(1), json!("1")),
            ("duration", json!("PT5M"), json!("5 minutes")),
            ("float", json!(1.5), json!(1e300)),
            ("integer", json!(2_147_483_647), json!(2_147_483_648_i64)),
            ("long", json!(5.0), json!(5.5)),
            ("string", json!(""), json!(null)),
            ("time", json!("10:00:00.5+02:00"), json!("25:00:00Z")),
        ] {
            let schema = Schema::Primitive(Primitive::named(name).unwrap());
            assert_eq!(schema.check(&good), Ok(()), "{name}");
            assert_eq!(schema.check(&bad).unwrap_err().len(), 1, "{name}");
        }
        for time in ["10:00:00Z", "10:00:00", "10:00:00-08:30"] {
            assert!(is_time(time), "{time}");
        }
        for text in ["", "Z", "+", "10:00:00+", "10:00:00é", "-"] {
            assert!(!is_time(text), "{text}");
        }
    }

    #[test]
    fn all_problems_of_a_value_are_told_with_their_paths() {
        let number = || Box::new(Schema::Primitive(Primitive::Double));
        let schema = Schema::Object(vec![
            Field { name: "list".to_owned(), schema: Schema::Array(number()) },
            Field { name: "map".to_owned(), schema: Schema::Map(number()) },
            Field { name: "choice".to_owned(), schema: Schema::Enum(EnumValues::Integers(vec![1, 2])) },
        ]);
        assert_eq!(schema.check(&json!({"list": [1, 2.5], "map": {"a": 1}, "choice": 2})), Ok(()));
        let problems = schema.check(&json!({"list": [1, "x"], "map": {"a b": 1}, "choice": 3, "more": 1})).unwrap_err();
        let paths: Vec<_> = problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(paths, ["list[1]", "map.a b", "choice", "more"]);
        assert_eq!(schema.check(&json!([])).unwrap_err().to_string(), "is not an object");
    }
}
