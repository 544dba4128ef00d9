//! What may stand in a section: names, texts, numbers, levels, and how much of it all.
//! - Source: Azure IoT Hub, format and size of device twins.
//! - Units: counted bytes are the hub's (UTF-8 of names, characters of texts without control characters, 8 for a number, 4 for a
//!   boolean, nothing else); stored bytes are those of the JSON text.
//! - Invariants: a patch is checked before it is merged, so that a merge never walks deeper than [`DEPTH_MAX`].

use serde_json::{Map, Number, Value};

use crate::error::{SectionName, TwinError};
use crate::limits::{
    DEPTH_MAX, INTEGER_MAX, NAME_BYTES_MAX, PROPERTIES_BYTES_MAX, PROPERTIES_STORED_BYTES_MAX, TAGS_BYTES_MAX,
    TAGS_STORED_BYTES_MAX, TEXT_BYTES_MAX, VALUES_MAX,
};
use crate::path::Path;

/// Checks every name and value of a patch.
pub(crate) fn patch(section: SectionName, members: &Map<String, Value>) -> Result<(), TwinError> {
    object(Path::root(section.path()), members, 0)
}

fn object(path: Path<'_>, members: &Map<String, Value>, depth: usize) -> Result<(), TwinError> {
    for (name, member) in members {
        let path = path.member(name);
        if let Some(why) = name_problem(name) {
            return Err(TwinError::Name { path: path.text(), why });
        }
        value(path, member, depth)?;
    }
    Ok(())
}

fn value(path: Path<'_>, value: &Value, depth: usize) -> Result<(), TwinError> {
    match value {
        Value::Object(_) | Value::Array(_) if depth == DEPTH_MAX => Err(TwinError::Depth(path.text())),
        Value::Object(members) => object(path, members, depth + 1),
        Value::Array(elements) => elements
            .iter()
            .enumerate()
            .try_for_each(|(index, element)| self::value(path.element(index), element, depth + 1)),
        Value::String(text) if text.len() > TEXT_BYTES_MAX => Err(TwinError::Text(path.text())),
        Value::Number(number) if !is_in_range(number) => Err(TwinError::Integer(path.text())),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// What is wrong with a name.
fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("has at least one character")
    } else if name.len() > NAME_BYTES_MAX {
        Some("has at most 1024 bytes")
    } else if name.starts_with('$') {
        Some("does not begin with $: such members are the hub's own")
    } else if name.contains(['.', '$', ' ']) || name.contains(char::is_control) {
        Some("has no dot, dollar sign, space or control character")
    } else {
        None
    }
}

fn is_in_range(number: &Number) -> bool {
    if number.is_f64() {
        return true;
    }
    let magnitude = number.as_i64().map(i64::unsigned_abs).or_else(|| number.as_u64());
    magnitude.is_some_and(|magnitude| magnitude <= INTEGER_MAX)
}

/// Sizes of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Sizes {
    pub(crate) counted: usize,
    pub(crate) stored: usize,
    pub(crate) values: usize,
}

impl Sizes {
    /// Adds up a section.
    pub(crate) fn of(members: &Map<String, Value>) -> Self {
        let mut sizes = Self::default();
        sizes.add_members(members);
        sizes
    }

    fn add_members(&mut self, members: &Map<String, Value>) {
        self.stored += 2;
        for (name, value) in members {
            self.counted += name.len();
            self.stored += stored_bytes(name) + 2;
            self.add(value);
        }
    }

    fn add(&mut self, value: &Value) {
        self.values += 1;
        // A comma, which the last one has not.
        self.stored += 1;
        match value {
            Value::Null => self.stored += 4,
            Value::Bool(_) => {
                self.counted += 4;
                self.stored += 5;
            }
            Value::Number(_) => {
                self.counted += 8;
                self.stored += 24;
            }
            Value::String(text) => {
                self.counted += text.chars().filter(|character| !character.is_control()).count();
                self.stored += stored_bytes(text);
            }
            Value::Array(elements) => {
                self.stored += 2;
                elements.iter().for_each(|element| self.add(element));
            }
            Value::Object(members) => self.add_members(members),
        }
    }
}

/// Bytes of a text in JSON, quotation marks included.
fn stored_bytes(text: &str) -> usize {
    let escapes: usize = text
        .bytes()
        .map(|byte| match byte {
            b'"' | b'\\' => 1,
            0..0x20 => 5,
            _ => 0,
        })
        .sum();
    text.len() + escapes + 2
}

/// Checks that a section, as it would be, keeps its limits.
pub(crate) fn sizes(section: SectionName, members: &Map<String, Value>) -> Result<(), TwinError> {
    let (counted_max, stored_max) = match section {
        SectionName::Tags => (TAGS_BYTES_MAX, TAGS_STORED_BYTES_MAX),
        SectionName::Desired | SectionName::Reported => (PROPERTIES_BYTES_MAX, PROPERTIES_STORED_BYTES_MAX),
    };
    let sizes = Sizes::of(members);
    let too_large = |max, unit| Err(TwinError::Size { section: section.path(), max, unit });
    if sizes.counted > counted_max {
        too_large(counted_max, "bytes")
    } else if sizes.stored > stored_max {
        too_large(stored_max, "bytes of JSON")
    } else if sizes.values > VALUES_MAX {
        too_large(VALUES_MAX, "members and elements")
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn members(value: Value) -> Map<String, Value> {
        let Value::Object(members) = value else { panic!("not an object") };
        members
    }

    fn nested(levels: usize) -> Value {
        (0..levels).fold(json!({"p": 1}), |inner, _| json!({ "n": inner }))
    }

    #[test]
    fn names_of_the_hub_and_of_paths_are_refused() {
        for name in ["", "a.b", "$a", "a$", "a b", "a\tb", "a\u{85}b", &"x".repeat(1025)] {
            let result = patch(SectionName::Tags, &members(json!({ "o": { name: 1 } })));
            assert!(matches!(result, Err(TwinError::Name { .. })), "{name:?}");
        }
        for name in ["__t", "a-b", "ä", "a*b", "[x]", &"x".repeat(1024)] {
            assert_eq!(patch(SectionName::Tags, &members(json!({ name: 1 }))), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn ten_levels_are_allowed_and_eleven_are_not() {
        assert_eq!(patch(SectionName::Desired, &members(nested(10))), Ok(()));
        let result = patch(SectionName::Desired, &members(nested(11)));
        assert_eq!(result, Err(TwinError::Depth(format!("properties.desired{}", ".n".repeat(11)))));
        let arrays = (0..11).fold(json!(1), |inner, _| json!([inner]));
        assert!(patch(SectionName::Desired, &members(json!({ "a": arrays }))).is_err());
    }

    #[test]
    fn integers_and_texts_have_their_limits() {
        for good in
            [json!(4_503_599_627_370_496_i64), json!(-4_503_599_627_370_496_i64), json!(1e300), json!("x".repeat(4096))]
        {
            assert_eq!(patch(SectionName::Desired, &members(json!({ "a": good }))), Ok(()));
        }
        for bad in
            [json!(4_503_599_627_370_497_i64), json!(-4_503_599_627_370_497_i64), json!(u64::MAX), json!(i64::MIN)]
        {
            let result = patch(SectionName::Desired, &members(json!({ "a": [bad] })));
            assert_eq!(result, Err(TwinError::Integer("properties.desired.a[0]".to_owned())));
        }
        let long = patch(SectionName::Tags, &members(json!({ "a": "x".repeat(4097) })));
        assert_eq!(long, Err(TwinError::Text("tags.a".to_owned())));
    }

    #[test]
    fn sizes_are_counted_as_documented() {
        let section = members(json!({"äb": "x\u{1}yä", "n": 1.5, "b": true, "z": null, "o": {"k": [1, "q"]}}));
        assert_eq!(Sizes::of(&section).counted, (3 + 3) + (1 + 8) + (1 + 4) + 1 + (1 + 1 + 8 + 1));
        assert_eq!(Sizes::of(&section).values, 8);
        assert!(Sizes::of(&section).stored >= Value::Object(section).to_string().len());
    }

    #[test]
    fn what_counts_nothing_is_bounded_all_the_same() {
        let empty = vec![json!({}); VALUES_MAX];
        assert!(matches!(sizes(SectionName::Desired, &members(json!({ "a": empty }))), Err(TwinError::Size { .. })));
        let controls = vec![json!("\u{1}".repeat(4096)); 8];
        let result = sizes(SectionName::Desired, &members(json!({ "a": controls })));
        assert!(matches!(result, Err(TwinError::Size { unit: "bytes of JSON", .. })));
    }
}
