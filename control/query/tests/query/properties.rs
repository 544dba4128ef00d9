//! Properties: nothing panics, printing and reading agree, and evaluation agrees with a naive one written from the documents.

use millrace_control_query::{Condition, Continuation, Query};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A condition in a form that is easy to evaluate naively.
#[derive(Debug, Clone)]
enum Naive {
    And(Box<Self>, Box<Self>),
    Compare(&'static str, Operand, Operand),
    Defined(&'static str),
    In(bool, &'static str, Vec<Value>),
    Not(Box<Self>),
    Or(Box<Self>, Box<Self>),
}

#[derive(Debug, Clone)]
enum Operand {
    Constant(Value),
    /// Key of a tag.
    Tag(&'static str),
}

fn key() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "my tag", "from", "é.x"])
}

fn constant() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2_i64..3).prop_map(Value::from),
        (-4_i64..5).prop_map(|quarter| json!(f64::from(i32::try_from(quarter).unwrap()) / 2.0)),
        "[ab'\\\\\n\"é]{0,2}".prop_map(Value::from),
    ]
}

fn operand() -> impl Strategy<Value = Operand> {
    prop_oneof![constant().prop_map(Operand::Constant), key().prop_map(Operand::Tag)]
}

fn naive() -> impl Strategy<Value = Naive> {
    let leaf = prop_oneof![
        (prop::sample::select(vec!["=", "!=", "<>", "<", "<=", ">", ">="]), operand(), operand())
            .prop_map(|(symbol, left, right)| Naive::Compare(symbol, left, right)),
        key().prop_map(Naive::Defined),
        (any::<bool>(), key(), prop::collection::vec(constant(), 0..4))
            .prop_map(|(negated, key, list)| Naive::In(negated, key, list)),
    ];
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(left, right)| Naive::And(Box::new(left), Box::new(right))),
            (inner.clone(), inner.clone()).prop_map(|(left, right)| Naive::Or(Box::new(left), Box::new(right))),
            inner.prop_map(|operand| Naive::Not(Box::new(operand))),
        ]
    })
}

fn row() -> impl Strategy<Value = Value> {
    let value = prop_oneof![4 => constant(), 1 => Just(json!([1])), 1 => Just(json!({"a": 1}))];
    prop::collection::vec((key(), value), 0..5).prop_map(
        |tags| json!({"tags": tags.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>()}),
    )
}

fn tag(key: &str) -> String {
    format!("tags.[[{key}]]")
}

fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        other => other.to_string(),
    }
}

fn write(naive: &Naive) -> String {
    let operand = |operand: &Operand| match operand {
        Operand::Constant(value) => literal(value),
        Operand::Tag(key) => tag(key),
    };
    match naive {
        Naive::And(left, right) => format!("({}) aNd ({})", write(left), write(right)),
        Naive::Or(left, right) => format!("({}) or ({})", write(left), write(right)),
        Naive::Not(inner) => format!("NOT ({})", write(inner)),
        Naive::Defined(key) => format!("is_defined({})", tag(key)),
        Naive::Compare(symbol, left, right) => format!("{} {symbol} {}", operand(left), operand(right)),
        Naive::In(negated, key, list) => {
            let list: Vec<_> = list.iter().map(literal).collect();
            format!("{} {} [{}]", tag(key), if *negated { "NIN" } else { "IN" }, list.join(","))
        }
    }
}

fn evaluate(naive: &Naive, row: &Value) -> Option<bool> {
    let find = |key: &str| row["tags"].get(key).cloned();
    let value = |operand: &Operand| match operand {
        Operand::Constant(value) => Some(value.clone()),
        Operand::Tag(key) => find(key),
    };
    match naive {
        Naive::And(left, right) => match (evaluate(left, row), evaluate(right, row)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), Some(true)) => Some(true),
            _ => None,
        },
        Naive::Or(left, right) => match (evaluate(left, row), evaluate(right, row)) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (Some(false), Some(false)) => Some(false),
            _ => None,
        },
        Naive::Not(inner) => evaluate(inner, row).map(|truth| !truth),
        Naive::Defined(key) => Some(find(key).is_some()),
        Naive::Compare(symbol, left, right) => compare(symbol, &value(left)?, &value(right)?),
        Naive::In(negated, key, list) => {
            let needle = find(key).filter(|needle| !needle.is_array() && !needle.is_object())?;
            Some(list.iter().any(|entry| compare("=", &needle, entry) == Some(true)) != *negated)
        }
    }
}

fn compare(symbol: &str, left: &Value, right: &Value) -> Option<bool> {
    let ordering = match (left, right) {
        (Value::Array(_) | Value::Object(_), _) | (_, Value::Array(_) | Value::Object(_)) => return None,
        (Value::Number(left), Value::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        _ => None,
    };
    let equal = ordering.map_or(left == right, |ordering| ordering.is_eq());
    match symbol {
        "=" => Some(equal),
        "!=" | "<>" => Some(!equal),
        "<" => ordering.map(|ordering| ordering.is_lt()),
        "<=" => ordering.map(|ordering| ordering.is_le()),
        ">" => ordering.map(|ordering| ordering.is_gt()),
        _ => ordering.map(|ordering| ordering.is_ge()),
    }
}

/// Text made of what the language is made of.
fn soup() -> impl Strategy<Value = String> {
    let pieces = vec![
        "SELECT",
        "TOP",
        "FROM",
        "WHERE",
        "GROUP",
        "BY",
        "AS",
        "devices",
        "devices.jobs",
        "AND",
        "OR",
        "NOT",
        "IN",
        "NIN",
        "*",
        "(",
        ")",
        "[",
        "]",
        "[[",
        "]]",
        ",",
        ".",
        "=",
        "<>",
        "<",
        "-",
        "+",
        "/",
        "%",
        "'a'",
        "\"b\"",
        "'",
        "\\",
        "1",
        "0x",
        "1e",
        "9223372036854775808",
        "tags.a",
        "deviceId",
        "count",
        "sum(",
        "is_defined(",
        "CONCAT(",
        "null",
        "undefined",
        "é",
        "\u{0}",
    ];
    prop::collection::vec(prop::sample::select(pieces), 0..40).prop_map(|pieces| pieces.join(" "))
}

/// Whatever is read reads back from its own print, and does the same.
fn reads_back_or_is_refused(text: &str, row: &Value) {
    if let Ok(condition) = Condition::parse(text) {
        let again = Condition::parse(&condition.to_string());
        assert_eq!(again.as_ref(), Ok(&condition), "{text}\n{condition}");
        assert_eq!(again.unwrap().matches(row), condition.matches(row), "{text}");
    }
    if let Ok(query) = Query::parse(text) {
        let again = Query::parse(&query.to_string());
        assert_eq!(again.as_ref(), Ok(&query), "{text}\n{query}");
        assert_eq!(again.unwrap().project(row.clone()), query.project(row.clone()), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}", row in row()) {
        reads_back_or_is_refused(&text, &row);
    }

    #[test]
    fn any_soup_is_read_or_refused(text in soup(), row in row()) {
        reads_back_or_is_refused(&text, &row);
        reads_back_or_is_refused(&format!("SELECT * FROM devices WHERE {text}"), &row);
        reads_back_or_is_refused(&format!("SELECT {text} FROM devices"), &row);
    }

    #[test]
    fn any_calculation_reads_back(terms in prop::collection::vec((prop::sample::select(vec!["+", "-", "*", "/", "%", "- -"]), -3_i64..4), 1..12)) {
        let text: String = terms.iter().map(|(symbol, number)| format!(" {symbol} ({number} - tags.a)")).collect();
        reads_back_or_is_refused(&format!("-tags.b{text} < - 2.50"), &json!({"tags": {"a": 1, "b": 0.5}}));
    }

    #[test]
    fn evaluation_agrees_with_a_naive_one(naive in naive(), row in row()) {
        let text = write(&naive);
        let condition = Condition::parse(&text).unwrap();
        prop_assert_eq!(condition.matches(&row), evaluate(&naive, &row) == Some(true), "{}\n{}", text, row);
        let printed = condition.to_string();
        prop_assert_eq!(Condition::parse(&printed).unwrap(), condition, "{}", printed);
    }

    #[test]
    fn keys_never_lose_a_row(naive in naive(), row in row()) {
        let text = write(&naive).replace("tags.[[a]]", "deviceId");
        let condition = Condition::parse(&text).unwrap();
        let id = row["tags"].get("a").and_then(Value::as_str).unwrap_or("z").to_owned();
        let row = json!({"deviceId": id, "tags": row["tags"]});
        if let Some(hint) = condition.keys() {
            prop_assert!(!condition.matches(&row) || hint.values.contains(&id.as_str()), "{}\n{}", text, row);
        }
    }

    #[test]
    fn any_continuation_is_read_or_refused(text in "[A-Za-z0-9_-]{0,80}", query: u64, taken: u64, after in prop::collection::vec(".{0,20}", 0..4)) {
        prop_assert!(Continuation::decode(&text).is_err());
        let after = after.into_iter().map(String::into_boxed_str).collect();
        let continuation = Continuation { query, taken, after };
        prop_assert_eq!(Continuation::decode(&continuation.encode()), Ok(continuation));
    }
}
