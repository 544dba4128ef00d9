//! Bodies of the fuzz targets; the tests run them too. Each takes any bytes and must return.
//! - Invariants checked: no panic; a condition has one meaning, whether it runs over a batch, is explained for one message, or is
//!   negated twice; a message is never selected by a condition and by its negation.

use millrace_model::batch::IdentitySlot;
use millrace_model::{
    Batch, BatchBuilder, Identity, IdentityRef, MessageSource, Offset, Selection, ShardId, Timestamp,
};

use crate::query::{Program, Scratch, explain};

/// Bag and body.
type Line<'a> = (&'a [u8], &'a [u8]);

/// Messages that hold what conditions stumble over.
const LINES: [Line<'static>; 5] = [
    (b"%24.ct=application%2Fjson&%24.ce=utf-8&a=1&b=%61", br#"{"a":{"b":[1,"x",null]},"n":-1e308}"#),
    (b"%24.ct=application%2Fjson&%24.ce=utf-16&a&A=2", b"{\0}\0"),
    (b"?a=%ff%FE&b=9223372036854775808&&=&c=/", b"\xff"),
    (b"%24.ct=application%2Fjson&%24.ce=utf-8&a=true", b"[[[["),
    (b"", b""),
];

/// Conditions that read all parts of a message.
const CONDITIONS: [&str; 8] = [
    "a = 'a' OR b IN ['1', 'a%61', ''] OR NOT c != 'x'",
    "IS_DEFINED(a) AND NOT IS_DEFINED(b)",
    "a > 1 OR b * 2 = a - 1",
    "$contentType = 'application/json' AND $messageId || a = 'ma'",
    "$body.a.b[1] = 'x' OR $body.n < 0",
    "$body.a = b OR IS_ARRAY($body.a.b)",
    "SUBSTRING(a, 1, 2) = LOWER(b) OR CONTAINS(c, 'é') OR INDEX_OF(a, b) > LENGTH(c)",
    "$connectionDeviceId = a AND a != null",
];

/// `data` as the text of a condition.
pub fn condition(data: &[u8]) {
    check(&String::from_utf8_lossy(data), &LINES);
}

/// `data` as a bag and a body; its first byte says where one ends and the other begins. The body of the second message is JSON as far
/// as its sender says.
pub fn message(data: &[u8]) {
    let Some((&at, data)) = data.split_first() else {
        return;
    };
    let (bag, body) = data.split_at(usize::from(at).min(data.len()));
    let json = [b"%24.ct=application%2Fjson&%24.ce=utf-8&", bag].concat();
    // Several, so that each is met with what is remembered of the one before.
    for condition in CONDITIONS {
        check(condition, &[(bag, body), (&json, body), (bag, data), (data, b""), (bag, body)]);
    }
}

fn check(condition: &str, lines: &[Line<'_>]) {
    let Some(batch) = batch(lines) else {
        return;
    };
    let run = |condition: &str| {
        let program = Program::compile(condition).ok()?;
        let mut selected = Selection::none(batch.len());
        program.evaluate(&batch, &mut Scratch::default(), &mut selected);
        Some(selected)
    };
    let Some(selected) = run(condition) else {
        return;
    };
    for (row, message) in batch.messages().enumerate() {
        let explained = explain(condition, &message).map(|explanation| explanation.selected);
        assert_eq!(explained, Ok(selected.contains(row)), "{condition} in row {row}");
    }
    // Both are longer and deeper, and may be refused for that.
    if let Some(not) = run(&format!("NOT ({condition})")) {
        assert!(!selected.iter().any(|row| not.contains(row)), "{condition} and its negation");
    }
    if let Some(twice) = run(&format!("NOT NOT ({condition})")) {
        assert_eq!(twice, selected, "{condition} negated twice");
    }
}

fn batch(lines: &[Line<'_>]) -> Option<Batch> {
    let sender = IdentityRef { device_id: "1", generation_id: "1", auth_method: "{}", ..IdentityRef::default() };
    let (identity, mut slot, mut builder) = (Identity::new(&sender)?, IdentitySlot::default(), BatchBuilder::new());
    for (bag, body) in lines {
        builder.append(&identity, &mut slot, MessageSource::Telemetry, Timestamp(0), [bag, b""], body);
    }
    Some(builder.seal(ShardId(0), Offset(0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_conditions_return() {
        let nested = |open: &str, count| format!("{}a{}", open.repeat(count), ")".repeat(count));
        let texts = [
            "".to_owned(),
            "NOT ".repeat(1_000),
            nested("(", 2_000),
            nested("NOT (", 31),
            "-".repeat(4_096),
            "a = 'a' OR ".repeat(300) + "true",
            format!("a IN [{}'']", "'x', ".repeat(255)),
            format!("$body{} = 1", ".a".repeat(33)),
            format!("$body{} = 1", "[0]".repeat(32)),
            "$body.a[99999999999999999999] = 1".to_owned(),
            "a = '\\uD800' OR a = '\\u0000'".to_owned(),
            "0x8000000000000000 = a OR 1e999 = a OR -9223372036854775808 / -1 = a".to_owned(),
            "a % 0 = 0 OR 1 / 0 = 1 OR POWER(10, 400) > 0 OR SQRT(-1) = 0".to_owned(),
            "CONCAT(a, a) || a || '' = '11' OR SUBSTRING(a, -1, 1e18) = a".to_owned(),
            "{\u{0}} = {a}".to_owned(),
            "'".to_owned(),
            "\"\\".to_owned(),
            "é = 'é' OR \u{10ffff} = 1".to_owned(),
            "a = b = c != d IN [a] NIN [true]".to_owned(),
            "NOT IS_DEFINED(a) OR a != '\u{fffd}'".to_owned(),
        ];
        for text in texts {
            condition(text.as_bytes());
        }
        condition(b"a = '\xff'");
    }

    #[test]
    fn hostile_messages_return() {
        for (bag, body) in [
            (&b"a=%&b=%6&c=%zz&a=%%%"[..], &b"[".repeat(200)[..]),
            (b"&&&===?/", b"{\"a\":{\"a\":{\"b\":"),
            (b"?/", b"\xef\xbb\xbf{}"),
            (b"a\0=\0&%24.ct", b"{\"a\":\"\\ud800\"}"),
            (&b"a&".repeat(120), b"{\"n\":1e999,\"n\":-0.0}"),
            (&b"%24.ct=".repeat(30), b"{\"a\":{\"b\":[1,2]},\"a\":7}"),
        ] {
            message(&[&[u8::try_from(bag.len()).unwrap()], bag, body].concat());
        }
        message(b"");
    }

    proptest! {
        #[test]
        fn conditions_of_any_bytes_return(data in prop::collection::vec(any::<u8>(), 0..200)) {
            condition(&data);
        }

        #[test]
        fn conditions_of_the_language_s_words_return(words in prop::collection::vec(
            prop::sample::select(vec![
                "a", "b", "'a'", "1", "true", "null", "undefined", "=", "!=", "<", "AND", "OR", "NOT", "IN", "NIN", "[", "]", "(", ")",
                ",", "+", "-", "/", "%", "||", "$body.a", "$body.a.b[0]", "$twin.x", "$messageId", "IS_DEFINED", "LENGTH", "{a}",
            ]), 0..12,
        )) {
            condition(words.join(" ").as_bytes());
        }

        #[test]
        fn messages_of_any_bytes_return(data in prop::collection::vec(any::<u8>(), 0..200)) {
            message(&data);
        }

        #[test]
        fn messages_of_likely_bytes_return(data in "[\\x00-\\x28]?[ab=&%61/?]{0,40}[\\[\\]{}:,\"ab01.e-]{0,40}") {
            message(data.as_bytes());
        }
    }
}
