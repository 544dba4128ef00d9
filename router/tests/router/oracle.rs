//! Random conditions over random batches: the compiled program against a tree walk that knows nothing of fields, masks, raw bags or
//! normal forms, and reads properties through the model and bodies through another JSON parser.

use std::cmp::Ordering;

use crate::support::{JSON, batch};
use millrace_model::{Message, PropertyName, Selection, bag};
use millrace_router::query::{Program, Scratch};
use proptest::prelude::*;

/// A condition as the test sees it.
#[derive(Debug, Clone)]
enum Tree {
    Number(i32),
    Text(&'static str),
    Truth(bool),
    Null,
    Undefined,
    Property(&'static str),
    Device,
    Body(&'static str),
    Compare(&'static str, Box<Tree>, Box<Tree>),
    In(Box<Tree>, Vec<Tree>, bool),
    Add(Box<Tree>, Box<Tree>),
    IsDefined(Box<Tree>),
    Not(Box<Tree>),
    And(Vec<Tree>),
    Or(Vec<Tree>),
}

#[derive(Debug, Clone, PartialEq)]
enum Plain {
    Undefined,
    Null,
    Truth(bool),
    Number(f64),
    Text(String),
    /// Text of a property.
    Word(String),
    Other,
}

impl Tree {
    fn text(&self) -> String {
        let join = |list: &[Self], by| list.iter().map(Self::text).collect::<Vec<_>>().join(by);
        match self {
            Self::Number(number) => format!("({number})"),
            Self::Text(text) => format!("'{text}'"),
            Self::Truth(truth) => truth.to_string(),
            Self::Null => "null".to_owned(),
            Self::Undefined => "undefined".to_owned(),
            Self::Property(name) => (*name).to_owned(),
            Self::Device => "$connectionDeviceId".to_owned(),
            Self::Body(key) => format!("$body.{key}"),
            Self::Compare(operator, left, right) => format!("({} {operator} {})", left.text(), right.text()),
            Self::In(needle, list, negated) => {
                format!("({} {} [{}])", needle.text(), if *negated { "NIN" } else { "IN" }, join(list, ", "))
            }
            Self::Add(left, right) => format!("({} + {})", left.text(), right.text()),
            Self::IsDefined(operand) => format!("IS_DEFINED({})", operand.text()),
            Self::Not(operand) => format!("(NOT {})", operand.text()),
            Self::And(list) => format!("({})", join(list, " AND ")),
            Self::Or(list) => format!("({})", join(list, " OR ")),
        }
    }

    fn value(&self, message: &Message<'_>, body: Option<&serde_json::Value>) -> Plain {
        let of = |tree: &Self| tree.value(message, body);
        match self {
            Self::Number(number) => Plain::Number(f64::from(*number)),
            Self::Text(text) => Plain::Text((*text).to_owned()),
            Self::Truth(truth) => Plain::Truth(*truth),
            Self::Null => Plain::Null,
            Self::Undefined => Plain::Undefined,
            Self::Device => Plain::Word(message.identity.device_id.to_owned()),
            Self::Property(name) => property(message, name),
            Self::Body(key) => json(body.and_then(|body| body.get(key))),
            Self::Compare(operator, left, right) => compare(operator, &of(left), &of(right)),
            Self::In(needle, list, negated) => {
                let needle = of(needle);
                let equal = list.iter().map(|entry| compare("=", &needle, &of(entry))).collect::<Vec<_>>();
                if equal.contains(&Plain::Truth(true)) {
                    Plain::Truth(!negated)
                } else if !matches!(needle, Plain::Undefined | Plain::Null | Plain::Other)
                    || equal.contains(&Plain::Truth(false))
                {
                    Plain::Truth(*negated)
                } else {
                    Plain::Undefined
                }
            }
            Self::Add(left, right) => match (number(&of(left)), number(&of(right))) {
                (Some(left), Some(right)) => Plain::Number(left + right),
                _ => Plain::Undefined,
            },
            Self::IsDefined(operand) => Plain::Truth(of(operand) != Plain::Undefined),
            Self::Not(operand) => match of(operand) {
                Plain::Truth(truth) => Plain::Truth(!truth),
                _ => Plain::Undefined,
            },
            Self::And(list) => decide(list.iter().map(of), false),
            Self::Or(list) => decide(list.iter().map(of), true),
        }
    }
}

fn property(message: &Message<'_>, wanted: &str) -> Plain {
    // Of names that differ in case only the last one sent counts, too.
    let found = bag::pairs(message.bag).filter(
        |property| matches!(&property.name, PropertyName::Application(name) if name.eq_ignore_ascii_case(wanted)),
    );
    let found = found.last();
    found.map_or(Plain::Undefined, |found| found.value.map_or(Plain::Null, |value| Plain::Word(value.into_owned())))
}

fn json(value: Option<&serde_json::Value>) -> Plain {
    match value {
        None => Plain::Undefined,
        Some(serde_json::Value::Null) => Plain::Null,
        Some(serde_json::Value::Bool(truth)) => Plain::Truth(*truth),
        Some(serde_json::Value::Number(number)) => Plain::Number(number.as_f64().unwrap()),
        Some(serde_json::Value::String(text)) => Plain::Text(text.clone()),
        Some(_) => Plain::Other,
    }
}

fn number(value: &Plain) -> Option<f64> {
    match value {
        Plain::Number(number) => Some(*number),
        Plain::Word(word) => word.parse().ok(),
        _ => None,
    }
}

fn truth(value: &Plain) -> Option<bool> {
    match value {
        Plain::Truth(truth) => Some(*truth),
        Plain::Word(word) => word.parse().ok(),
        _ => None,
    }
}

fn compare(operator: &str, left: &Plain, right: &Plain) -> Plain {
    let ordering = match (left, right) {
        (Plain::Null, Plain::Null) => Some(Ordering::Equal),
        (Plain::Truth(_), _) | (_, Plain::Truth(_)) => match (truth(left), truth(right), operator) {
            (Some(left), Some(right), "=" | "!=") => Some(left.cmp(&right)),
            _ => None,
        },
        (Plain::Number(_), _) | (_, Plain::Number(_)) => {
            number(left).zip(number(right)).and_then(|(left, right)| left.partial_cmp(&right))
        }
        (Plain::Text(left) | Plain::Word(left), Plain::Text(right) | Plain::Word(right)) => Some(left.cmp(right)),
        _ => None,
    };
    ordering.map_or(Plain::Undefined, |ordering| {
        Plain::Truth(match operator {
            "=" => ordering.is_eq(),
            "!=" => ordering.is_ne(),
            "<" => ordering.is_lt(),
            _ => ordering.is_ge(),
        })
    })
}

fn decide(values: impl Iterator<Item = Plain>, decisive: bool) -> Plain {
    let values: Vec<_> = values.collect();
    if values.contains(&Plain::Truth(decisive)) {
        Plain::Truth(decisive)
    } else if values.iter().all(|value| matches!(value, Plain::Truth(_))) {
        Plain::Truth(!decisive)
    } else {
        Plain::Undefined
    }
}

fn operand() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        (-3_i32..40).prop_map(Tree::Number),
        prop::sample::select(vec!["a", "b", "", "7", "true"]).prop_map(Tree::Text),
        any::<bool>().prop_map(Tree::Truth),
        Just(Tree::Null),
        Just(Tree::Undefined),
        prop::sample::select(vec!["p", "Q", "missing"]).prop_map(Tree::Property),
        Just(Tree::Device),
        prop::sample::select(vec!["p", "q", "z"]).prop_map(Tree::Body),
    ];
    leaf.prop_recursive(2, 4, 2, |inner| {
        (inner.clone(), inner).prop_map(|(left, right)| Tree::Add(left.into(), right.into()))
    })
}

fn condition() -> impl Strategy<Value = Tree> {
    let operators = prop::sample::select(vec!["=", "!=", "<", ">="]);
    let leaf = prop_oneof![
        4 => (operators, operand(), operand()).prop_map(|(operator, left, right)| Tree::Compare(operator, left.into(), right.into())),
        2 => (operand(), prop::collection::vec(operand(), 0..4), any::<bool>())
            .prop_map(|(needle, list, negated)| Tree::In(needle.into(), list, negated)),
        1 => operand().prop_map(|operand| Tree::IsDefined(operand.into())),
        1 => Just(Tree::Body("t")),
        1 => any::<bool>().prop_map(Tree::Truth),
        1 => Just(Tree::Undefined),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(|operand| Tree::Not(operand.into())),
            prop::collection::vec(inner.clone(), 2..4).prop_map(Tree::And),
            prop::collection::vec(inner, 2..4).prop_map(Tree::Or),
        ]
    })
}

fn bags() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec!["a", "b", "7", "31", "true", "%61", "x%", ""]);
    let pair = prop_oneof![
        (prop::sample::select(vec!["p", "P", "q", "%70", "r"]), value)
            .prop_map(|(key, value)| format!("{key}={value}")),
        Just("q".to_owned()),
    ];
    (any::<bool>(), prop::collection::vec(pair, 0..4)).prop_map(|(json, pairs)| {
        let mut bag = if json { vec![JSON.to_owned()] } else { Vec::new() };
        bag.extend(pairs);
        bag.join("&")
    })
}

fn body() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec![
        "1",
        "31",
        "7.0",
        "\"a\"",
        "\"7\"",
        "true",
        "false",
        "null",
        "[1]",
        "{}",
        "{\"p\":1}",
    ]);
    let pair = (prop::sample::select(vec!["p", "q", "t", "other"]), value)
        .prop_map(|(key, value)| format!("\"{key}\":{value}"));
    prop_oneof![
        9 => prop::collection::vec(pair, 0..4).prop_map(|pairs| format!("{{{}}}", pairs.join(","))),
        1 => Just("{\"p\":".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]
    #[test]
    fn the_program_agrees_with_a_naive_walk(tree in condition(), rows in prop::collection::vec((bags(), body()), 1..6)) {
        let messages: Vec<_> = rows.iter().enumerate()
            .map(|(row, (bag, body))| (if row % 2 == 0 { "a" } else { "7" }, bag.as_str(), body.as_bytes()))
            .collect();
        let batch = batch(&messages);
        let condition = tree.text();
        let program = Program::compile(&condition);
        prop_assert!(program.is_ok(), "{}: {:?}", condition, program);
        let mut selected = Selection::none(batch.len());
        program.unwrap().evaluate(&batch, &mut Scratch::default(), &mut selected);
        for (row, message) in batch.messages().enumerate() {
            let is_json = rows[row].0.starts_with(JSON);
            let body = is_json.then(|| serde_json::from_slice(message.body).ok()).flatten();
            let expected = tree.value(&message, body.as_ref()) == Plain::Truth(true);
            prop_assert_eq!(selected.contains(row), expected, "{} over {:?}", condition, rows[row]);
        }
    }
}
