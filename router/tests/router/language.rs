//! The condition language, case by case: what is selected, what is undefined, what is refused and where.

use crate::support::{JSON, batch};
use millrace_model::Selection;
use millrace_router::query::{Explanation, Program, Scratch, Value, explain};
use proptest::prelude::*;

const BODY: &str = r#"{"temperature":31.5,"big":9007199254740993,"name":"Pump 7","on":true,"off":false,"nothing":null,
    "list":[1,"two",{"deep":[10,20]}],"object":{"x":1},"odd key":5,"quoted":"a\"b\u00e9"}"#;
const BAG: &str =
    "temperatureAlert=true&Level=31&processingPath=hot&empty=&nil&a%20b=c%2Fd&text=n%C3%A9&%24.mid=m1&%24.cid=c1";

fn explained(condition: &str) -> Explanation {
    let bag = format!("{JSON}&{BAG}");
    let batch = batch(&[("d1", &bag, BODY.as_bytes())]);
    let mut selected = Selection::none(1);
    let program = Program::compile(condition).unwrap_or_else(|error| panic!("{condition}: {error}"));
    program.evaluate(&batch, &mut Scratch::default(), &mut selected);
    let explanation = explain(condition, &batch.message(0).unwrap()).unwrap();
    assert_eq!(explanation.selected, selected.contains(0), "{condition}: {explanation}");
    explanation
}

/// The value of the whole condition; what is run and what is explained must agree on it.
fn check(condition: &str, expected: &Value<'_>) {
    let explanation = explained(condition);
    assert_eq!(&explanation.steps[0].value, expected, "{condition}\n{explanation}");
    // Its negation too: undefined stays undefined on either side.
    let negated = explained(&format!("NOT ({condition})"));
    let opposite = if let Value::Bool(truth) = expected { Value::Bool(!truth) } else { Value::Undefined };
    assert_eq!(negated.steps[0].value, opposite, "NOT ({condition})\n{negated}");
}

fn holds(conditions: &[&str]) {
    conditions.iter().for_each(|condition| check(condition, &Value::Bool(true)));
}

fn fails(conditions: &[&str]) {
    conditions.iter().for_each(|condition| check(condition, &Value::Bool(false)));
}

fn undefined(conditions: &[&str]) {
    conditions.iter().for_each(|condition| check(condition, &Value::Undefined));
}

#[test]
fn an_empty_condition_takes_everything() {
    assert!(explained("").selected);
    assert!(explained("  \n ").selected);
    holds(&["true", "TRUE"]);
    fails(&["false"]);
}

#[test]
fn properties_compare_by_name_without_case_and_by_value_with_case() {
    holds(&[
        "temperatureAlert = 'true'",
        "TEMPERATUREalert = \"true\"",
        "'hot' = processingPath",
        "processingPath != 'cold'",
        "processingPath <> 'Hot'",
        "processingPath > 'hat' AND processingPath < 'hotel' AND processingPath <= 'hot' AND processingPath >= 'hot'",
        "{a b} = 'c/d'",
        "text = 'né'",
        "text = 'n\\u00e9'",
        "empty = ''",
    ]);
    fails(&["processingPath = 'Hot'", "processingPath = 'cold'", "empty != ''"]);
    undefined(&["missing = 'x'", "missing != 'x'", "missing = missing", "nil = ''", "nil != 'x'"]);
}

#[test]
fn properties_take_the_type_of_their_counterpart() {
    holds(&[
        "Level > 30",
        "level = 31",
        "Level = 31.0",
        "Level + 1 = 32",
        "-Level < 0",
        "temperatureAlert = true",
        "Level < '4'",
    ]);
    fails(&["Level > 31", "temperatureAlert = false"]);
    undefined(&[
        "processingPath > 30",
        "processingPath = 30",
        "processingPath = true",
        "processingPath + 1 = 2",
        "empty < 1",
    ]);
}

#[test]
fn system_properties_are_what_the_hub_stamped() {
    holds(&[
        "$connectionDeviceId = 'd1'",
        "$CONNECTIONDEVICEID != 'd2'",
        "$contentType = 'application/json'",
        "$contentEncoding = 'utf-8'",
        "$messageId = 'm1' AND $correlationId = 'c1'",
        "$connectionDeviceGenerationId = '637'",
        "CONTAINS($connectionAuthMethod, '\"scope\":\"device\"')",
        "$enqueuedTime >= '2023-11-14T00:00:00Z' AND $enqueuedTime = '2023-11-14T22:13:20.123Z'",
        "$iothub-message-source = 'Telemetry'",
        "{$connectionDeviceId} = 'd1'",
        "NOT IS_DEFINED($connectionModuleId)",
        "NOT IS_DEFINED($dt-dataschema)",
    ]);
    undefined(&["$userId = 'u'", "$dt-subject = 'x'", "$connectionModuleId = 'm'", "$twin.tags.site = 'a'"]);
}

#[test]
fn body_paths_reach_into_json() {
    holds(&[
        "$body.temperature > 31",
        "$body.list[0] = 1",
        "$body.list[1] = 'two'",
        "$body.list[2].deep[1] = 20",
        "$body.object.x = 1",
        "{$body.odd key} = 5",
        "$body.on",
        "$body.on = true",
        "NOT $body.off",
        "$body.name = 'Pump 7'",
        "$body.quoted = 'a\\\"bé'",
        "$body.big = 9007199254740993",
        "$body.big != 9007199254740992",
        "$body.temperature > Level",
        "$BODY.on AND processingPath = 'hot'",
    ]);
    fails(&["$body.name = 'pump 7'", "$body.off", "$body.big = 9007199254740992"]);
    undefined(&[
        "$body.missing = 1",
        "$body.Temperature = 31.5",
        "$body.list[9] = 1",
        "$body.name > 5",
        "$body.object = 1",
        "$body.list = $body.list",
        "$body = 1",
        "$body.nothing = 0",
    ]);
}

#[test]
fn null_and_undefined_are_neither_true_nor_false() {
    holds(&["null = null", "$body.nothing = null", "nil = null", "true OR undefined", "undefined OR true"]);
    fails(&["null != null", "false AND undefined", "undefined AND false", "false AND missing = 1"]);
    undefined(&[
        "undefined",
        "undefined = undefined",
        "undefined != 1",
        "null = 1",
        "null != 'a'",
        "null < 1",
        "true AND undefined",
        "false OR undefined",
        "NOT undefined",
        "NOT null",
        "missing = 1 OR false",
        "null AND true",
    ]);
}

#[test]
fn what_is_not_boolean_selects_nothing_on_either_side_of_not() {
    for condition in ["null", "$body.temperature", "$body.name", "$body.nothing", "$body.list", "$body.missing"] {
        assert!(!explained(condition).selected, "{condition}");
        assert!(!explained(&format!("NOT {condition}")).selected, "{condition}");
    }
}

#[test]
fn precedence_is_that_of_the_language() {
    holds(&[
        "true OR false AND false",
        "1 + 2 * 3 = 7",
        "(1 + 2) * 3 = 9",
        "10 - 2 - 3 = 5",
        "2 * 7 % 4 = 2",
        "-2 + 3 = 1",
        "- -2 = 2",
        "NOT false AND true",
        "NOT (true AND false)",
        "NOT processingPath = 'cold'",
        "true = NOT false",
        "1 < 2 = true",
        "'a' || 'b' || 'c' = 'abc'",
        "processingPath || '-' || 1 + 1 = 'x' OR true",
        "0x1F = 31",
        "1.5e1 = 15",
        "not false and TRUE or False",
    ]);
    fails(&["NOT true OR false", "false OR true AND false"]);
}

#[test]
fn lists_hold_what_equals_an_entry() {
    holds(&[
        "processingPath IN ['cold', 'hot']",
        "processingPath NIN ['cold', 'warm']",
        "Level IN [30, 31]",
        "$body.list[0] in [1]",
        "$connectionDeviceId IN ['d1', 'd2']",
        "1 IN [1, undefined]",
        "processingPath NIN []",
        "$body.name NIN [1, 2]",
    ]);
    fails(&["processingPath IN []", "processingPath IN ['cold']", "processingPath NIN ['hot']", "'a' IN [1, 2]"]);
    undefined(&["missing IN ['a']", "missing NIN ['a']", "$body.nothing IN [1]"]);
}

#[test]
fn arithmetic_is_exact_or_undefined() {
    holds(&["7 / 2 = 3.5", "6 / 3 = 2", "7 % 3 = 1", "0.1 + 0.2 > 0.3", "9223372036854775807 = 9223372036854775807"]);
    undefined(&[
        "1 / 0 = 1",
        "1 % 0 = 1",
        "'a' + 1 = 1",
        "true + 1 = 2",
        "EXP(1000) = 1",
        "'a' || 1 = 'a1'",
        "'a' = 1",
        "true < false",
    ]);
}

#[test]
fn every_function_does_what_its_name_says() {
    holds(&[
        "ABS(-5) = 5",
        "ABS(-2.5) = 2.5",
        "AS_NUMBER('12.5') = 12.5",
        "AS_NUMBER(Level) = 31",
        "AS_NUMBER(3) = 3",
        "CEILING(1.2) = 2",
        "CEILING(-1.2) = -1",
        "CONCAT('a', processingPath, 'b') = 'ahotb'",
        "CONTAINS($body.name, 'ump')",
        "ENDS_WITH(processingPath, 'ot')",
        "EXP(0) = 1",
        "FLOOR(1.8) = 1",
        "FLOOR(-1.2) = -2",
        "INDEX_OF('hello', 'l') = 2",
        "INDEX_OF('é!', '!') = 1",
        "INDEX_OF('a', 'x') = -1",
        "IS_ARRAY($body.list)",
        "IS_BOOL($body.on)",
        "IS_BOOL(1 = 1)",
        "IS_DEFINED(processingPath)",
        "IS_DEFINED(nil)",
        "IS_NULL($body.nothing)",
        "IS_NULL(nil)",
        "IS_NUMBER($body.temperature)",
        "IS_OBJECT($body.object)",
        "IS_OBJECT($body)",
        "IS_PRIMITIVE($body.name)",
        "IS_PRIMITIVE(null)",
        "IS_STRING(Level)",
        "LENGTH(processingPath) = 3",
        "LENGTH('é') = 1",
        "LOWER('HoT') = processingPath",
        "POWER(2, 10) = 1024",
        "POWER(4, 0.5) = 2",
        "SIGN(-3) = -1",
        "SIGN(0.0) = 0",
        "SIGN(2.5) = 1",
        "SQRT(9) = 3",
        "SQUARE(-3) = 9",
        "SQUARE(1.5) = 2.25",
        "STARTS_WITH(processingPath, 'ho')",
        "SUBSTRING('hello', 1) = 'ello'",
        "SUBSTRING('hello', 1, 3) = 'ell'",
        "SUBSTRING('hello', 9) = ''",
        "upper(processingPath) = 'HOT'",
        "is_defined($body.object.x)",
    ]);
}

#[test]
fn no_function_takes_what_it_is_not_made_for() {
    fails(&[
        "IS_ARRAY($body.object)",
        "IS_BOOL(temperatureAlert)",
        "IS_DEFINED(missing)",
        "IS_DEFINED(undefined)",
        "IS_NULL(missing)",
        "IS_NUMBER(Level)",
        "IS_OBJECT($body.list)",
        "IS_PRIMITIVE($body.list)",
        "IS_PRIMITIVE(missing)",
        "IS_STRING(1)",
        "CONTAINS('abc', 'x')",
        "STARTS_WITH('abc', 'b')",
        "ENDS_WITH('abc', 'b')",
        "IS_DEFINED($twin.tags.x)",
    ]);
    undefined(&[
        "ABS('a') = 1",
        "AS_NUMBER('x') = 1",
        "AS_NUMBER(true) = 1",
        "LENGTH(5) = 1",
        "SQRT(-1) = 1",
        "SUBSTRING('a', -1) = 'a'",
        "SUBSTRING('a', 0.5) = 'a'",
        "CONTAINS(missing, 'a')",
        "LOWER(1) = '1'",
        "CONCAT('a', 1) = 'a1'",
        "POWER(10, 400) = 1",
        "LENGTH($body.list) = 3",
    ]);
}

#[test]
fn the_body_is_read_only_when_its_properties_say_json() {
    let cases: [(&str, &[u8], bool, bool); 9] = [
        (JSON, br#"{"a":1}"#, true, false),
        ("%24.ct=application/json&%24.ce=UTF-8", br#"{"a":1}"#, true, false),
        ("$.ct=APPLICATION%2FJSON%3B%20charset=utf-8&$.ce=utf8", br#"{"a":1}"#, true, false),
        ("%24.ce=utf-8", br#"{"a":1}"#, false, false),
        ("%24.ct=application%2Fjson", br#"{"a":1}"#, false, false),
        ("%24.ct=text%2Fplain&%24.ce=utf-8", br#"{"a":1}"#, false, false),
        (JSON, b"{\"a\":1", false, true),
        (JSON, b"", false, true),
        ("%24.ct=application%2Fjson&%24.ce=utf-16", b"{\0\"\0a\0\"\0:\x001\0}\0", true, false),
    ];
    let program = Program::compile("$body.a = 1").unwrap();
    for (bag, body, expected, poison) in cases {
        let batch = batch(&[("d", bag, body)]);
        let (mut scratch, mut selected) = (Scratch::default(), Selection::none(1));
        program.evaluate(&batch, &mut scratch, &mut selected);
        assert_eq!((selected.contains(0), !scratch.poison().is_empty()), (expected, poison), "{bag}");
    }
    let plain = batch(&[("d", "%24.ce=utf-8", b"{}")]);
    let explanation = explain("$body.a = 1", &plain.message(0).unwrap()).unwrap().to_string();
    assert!(explanation.contains("$body.a is undefined: the content type is not application/json"), "{explanation}");
}

#[test]
fn a_body_is_only_read_where_the_answer_depends_on_it() {
    let batch = batch(&[("d", &format!("{JSON}&a=1"), b"broken"), ("d", JSON, b"broken")]);
    let (mut scratch, mut selected) = (Scratch::default(), Selection::none(2));
    Program::compile("$body.x = 1 AND a = '1'").unwrap().evaluate(&batch, &mut scratch, &mut selected);
    assert_eq!(scratch.poison().iter().map(|(row, _)| *row).collect::<Vec<_>>(), [0]);
}

#[test]
fn refusals_name_line_column_and_what_was_expected() {
    let deep = format!("{}true{}", "(".repeat(40), ")".repeat(40));
    let sum = format!("{}1 = 1", "1 + ".repeat(40));
    let list = format!("a IN [{}1]", "1,".repeat(300));
    let long = "a".repeat(5000);
    let path = format!("$body{} = 1", ".a".repeat(40));
    let cases = [
        ("a = ", 1, 5, "expected a value"),
        ("a =\n  AND b", 2, 3, "found 'AND'"),
        ("a = 1 b", 1, 7, "expected an operator or the end"),
        ("(a = 1", 1, 7, "')'"),
        ("a IN 1", 1, 6, "'['"),
        ("a IN [1 2]", 1, 9, "',' or ']'"),
        ("FOO(1) = 1", 1, 1, "no function FOO"),
        ("ABS() = 1", 1, 1, "ABS takes 1"),
        ("SUBSTRING('a') = 'a'", 1, 1, "2 to 3"),
        ("$nonsense = 1", 1, 1, "no system property $nonsense"),
        ("'abc'", 1, 1, "a text is not a condition"),
        ("true AND processingPath", 1, 10, "a property is not a condition"),
        ("1 + 1", 1, 1, "a calculation"),
        ("LENGTH(a)", 1, 1, "not a condition"),
        ("a = 'x", 1, 5, "closing quote"),
        ("é = 'x' ? 1", 1, 9, "found '?'"),
        (&deep, 1, 34, "32 levels"),
        (&sum, 1, 1, "32 levels"),
        (&list, 1, 519, "256"),
        (&long, 1, 4097, "4096 bytes"),
        (&path, 1, 1, "32"),
    ];
    for (condition, line, column, part) in cases {
        let error = Program::compile(condition).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{condition}: {error}");
        assert!(error.to_string().contains(part), "{condition}: {error}");
    }
}

#[test]
fn long_chains_are_no_depth() {
    let condition = vec!["a = '1'"; 300].join(" OR ");
    assert!(Program::compile(&condition).is_ok());
    let condition = format!("{} = 'x'", vec!["a"; 200].join(" || "));
    assert!(Program::compile(&condition).is_ok());
}

#[test]
fn chunks_and_identities_do_not_mix_up_rows() {
    let devices: Vec<String> = (0..1000).map(|number| format!("d{}", number % 7)).collect();
    let bags: Vec<String> = (0..1000).map(|number| format!("n={number}&even={}", number % 2 == 0)).collect();
    let messages: Vec<_> =
        devices.iter().zip(&bags).map(|(device, bag)| (device.as_str(), bag.as_str(), &b""[..])).collect();
    let batch = batch(&messages);
    let program = Program::compile("$connectionDeviceId IN ['d3', 'd5'] AND even = 'true' OR n = 999").unwrap();
    let mut selected = Selection::none(1000);
    program.evaluate(&batch, &mut Scratch::default(), &mut selected);
    let expected: Vec<_> = (0..1000).filter(|n| (n % 7 == 3 || n % 7 == 5) && n % 2 == 0 || *n == 999).collect();
    assert_eq!(selected.iter().collect::<Vec<_>>(), expected);
}

proptest! {
    #[test]
    fn no_text_panics_the_compiler(text in ".{0,200}") {
        drop(Program::compile(&text));
    }

    #[test]
    fn no_soup_of_tokens_panics_anything(
        words in prop::collection::vec(prop::sample::select(vec![
            "a", "'x'", "1", "2.5", "(", ")", "[", "]", ",", "=", "!=", "<", "AND", "OR", "NOT", "IN", "NIN", "+", "-", "*", "/", "%",
            "||", "null", "undefined", "true", "$body.a", "$body.b[0]", "$connectionDeviceId", "{a b}", "LENGTH(", "IS_DEFINED(",
            "SUBSTRING(", "$body", "0x1f", "'",
        ]), 0..24),
        bag in "[ab=&%$.ct0-9]{0,30}",
        body in "[{}\\[\\]\":,ab0-9.]{0,40}",
    ) {
        let condition = words.join(" ");
        if let Ok(program) = Program::compile(&condition) {
            let bag = format!("{JSON}&{bag}");
            let batch = batch(&[("d", &bag, body.as_bytes())]);
            let mut selected = Selection::none(1);
            program.evaluate(&batch, &mut Scratch::default(), &mut selected);
            let explanation = explain(&condition, &batch.message(0).unwrap()).unwrap();
            prop_assert_eq!(explanation.selected, selected.contains(0), "{}", condition);
        }
    }
}
