//! Answers: groups of rows, pages, continuations.

use millrace_control_query::limits::GROUPS_MAX;
use millrace_control_query::{Aggregation, Answer, ContinuationError, End, GroupsFull, Query, Run};
use serde_json::{Value, json};

fn rows(count: usize) -> Vec<Value> {
    (0..count)
        .map(|number| json!({"deviceId": format!("d{number:03}"), "tags": {"site": if number % 3 == 0 { "A" } else { "B" }, "n": number}}))
        .collect()
}

/// One page over sorted rows, as a caller makes it; `offers_max` is where it loses patience.
fn page(query: &Query, rows: &[Value], continuation: Option<&str>, page_rows: usize, offers_max: usize) -> Answer {
    let mut run = Run::new(query, continuation, page_rows).unwrap();
    let after = run.after().first().cloned();
    let rest = rows.iter().filter(|row| after.as_deref().is_none_or(|after| row["deviceId"].as_str().unwrap() > after));
    let mut end = End::Exhausted;
    for (number, row) in rest.enumerate() {
        if !run.wants_more() || number == offers_max {
            end = End::More;
            break;
        }
        run.offer(&[row["deviceId"].as_str().unwrap()], row.clone()).unwrap();
    }
    run.finish(end)
}

/// Sizes of all pages, and their rows together.
fn pages(text: &str, rows: &[Value], page_rows: usize, offers_max: usize) -> (Vec<usize>, Vec<Value>) {
    let query = Query::parse(text).unwrap();
    let (mut sizes, mut all, mut continuation) = (Vec::new(), Vec::new(), None);
    loop {
        let answer = page(&query, rows, continuation.as_deref(), page_rows, offers_max);
        sizes.push(answer.rows.len());
        all.extend(answer.rows);
        assert!(sizes.len() < 100, "{text} has an end");
        match answer.continuation {
            Some(text) => continuation = Some(text),
            None => return (sizes, all),
        }
    }
}

#[test]
fn pages_follow_each_other_and_end() {
    let rows = rows(10);
    let (sizes, all) = pages("SELECT * FROM devices", &rows, 4, usize::MAX);
    assert_eq!((sizes, &all), (vec![4, 4, 2], &rows));
    assert_eq!(pages("SELECT * FROM devices", &rows, 5, usize::MAX).0, [5, 5], "no empty page at the end");
    assert_eq!(pages("SELECT * FROM devices WHERE tags.site = 'A'", &rows, 2, usize::MAX).0, [2, 2]);
    assert_eq!(pages("SELECT * FROM devices WHERE tags.site = 'C'", &rows, 2, usize::MAX).0, [0]);
    assert_eq!(pages("SELECT TOP 5 * FROM devices", &rows, 2, usize::MAX).0, [2, 2, 1]);
    assert_eq!(pages("SELECT TOP 4 * FROM devices", &rows, 2, usize::MAX).0, [2, 2]);
    assert_eq!(pages("SELECT TOP 0 * FROM devices", &rows, 2, usize::MAX).0, [0]);
}

#[test]
fn an_impatient_caller_loses_no_row() {
    let rows = rows(20);
    let all = pages("SELECT deviceId FROM devices WHERE tags.site = 'A'", &rows, 100, usize::MAX).1;
    for patience in 1..8 {
        for page_rows in 1..4 {
            let text = "SELECT deviceId FROM devices WHERE tags.site = 'A'";
            assert_eq!(pages(text, &rows, page_rows, patience).1, all, "{patience} offers, {page_rows} rows");
        }
    }
}

#[test]
fn groups() {
    let rows = [
        json!({"tags": {"site": "A", "n": 1}}),
        json!({"tags": {"site": "A", "n": 2.5}}),
        json!({"tags": {"site": "B", "n": "x"}}),
        json!({"tags": {"n": 9_007_199_254_740_993_i64}}),
        json!({"tags": {"n": 1}}),
    ];
    for (text, expected) in [
        ("SELECT COUNT() AS total FROM devices", json!([{"total": 5}])),
        (
            "SELECT count(), count(tags.site), sum(tags.n) AS s FROM devices WHERE tags.site = 'A'",
            json!([{"$1": 2, "$2": 2, "s": 3.5}]),
        ),
        ("SELECT count() FROM devices WHERE tags.site = 'C'", json!([{"$1": 0}])),
        ("SELECT avg(tags.n) AS a, min(tags.n) AS low FROM devices WHERE tags.site = 'C'", json!([{}])),
        (
            "SELECT tags.site, count(*) AS n, max(tags.n) AS m FROM devices GROUP BY tags.site",
            json!([{"n": 2, "m": 9_007_199_254_740_993_i64}, {"site": "A", "n": 2, "m": 2.5}, {"site": "B", "n": 1, "m": "x"}]),
        ),
        (
            "SELECT sum(tags.n) AS s FROM devices WHERE NOT is_defined(tags.site)",
            json!([{"s": 9_007_199_254_740_994_i64}]),
        ),
        ("SELECT avg(tags.n) AS a FROM devices WHERE tags.site IN ['A', 'B']", json!([{"a": 1.75}])),
        (
            "SELECT tags.site FROM devices WHERE is_defined(tags.site) GROUP BY tags.site",
            json!([{"site": "A"}, {"site": "B"}]),
        ),
    ] {
        let query = Query::parse(text).unwrap();
        let mut aggregation = Aggregation::new(&query);
        rows.iter().filter(|row| query.matches(row)).for_each(|row| aggregation.add(row).unwrap());
        assert_eq!(Value::Array(aggregation.finish()), expected, "{text}");
    }
}

#[test]
fn groups_come_in_pages_too() {
    let rows = rows(10);
    let (sizes, all) = pages("SELECT tags.n, count() AS c FROM devices GROUP BY tags.n", &rows, 4, usize::MAX);
    assert_eq!((sizes, all.len()), (vec![4, 4, 2], 10));
    assert_eq!(pages("SELECT TOP 3 tags.n, count() AS c FROM devices GROUP BY tags.n", &rows, 2, usize::MAX).0, [2, 1]);
    assert_eq!(pages("SELECT count() AS c FROM devices", &rows, 2, usize::MAX).1, [json!({"c": 10})]);
}

#[test]
fn too_many_groups_are_refused() {
    let query = Query::parse("SELECT tags.n, count() FROM devices GROUP BY tags.n").unwrap();
    let mut aggregation = Aggregation::new(&query);
    (0..GROUPS_MAX).for_each(|number| aggregation.add(&json!({"tags": {"n": number}})).unwrap());
    assert_eq!(aggregation.add(&json!({"tags": {"n": -1}})), Err(GroupsFull));
    assert_eq!(aggregation.add(&json!({"tags": {"n": 1.0}})), Ok(()), "a group that is there");
    let long = "x".repeat(4096);
    let mut aggregation = Aggregation::new(&query);
    let full =
        (0..GROUPS_MAX).find_map(|number| aggregation.add(&json!({"tags": {"n": format!("{long}{number}")}})).err());
    assert_eq!(full, Some(GroupsFull));
    let query = Query::parse("SELECT tags.n, max(tags.t) FROM devices GROUP BY tags.n").unwrap();
    let mut aggregation = Aggregation::new(&query);
    let full = (0..GROUPS_MAX).find_map(|number| aggregation.add(&json!({"tags": {"n": number, "t": long}})).err());
    assert_eq!(full, Some(GroupsFull), "texts that are kept count as well");
}

#[test]
fn continuations_belong_to_one_query_however_it_is_spelt() {
    let rows = rows(5);
    let query = Query::parse("SELECT * FROM devices WHERE tags.n >= 0").unwrap();
    let continuation = page(&query, &rows, None, 2, usize::MAX).continuation.unwrap();
    let same = Query::parse("select  *  from Devices\nwhere Tags.n >= 0").unwrap();
    assert_eq!(page(&same, &rows, Some(&continuation), 2, usize::MAX).rows, rows[2..4]);
    let other = Query::parse("SELECT * FROM devices WHERE tags.n >= 1").unwrap();
    assert_eq!(Run::new(&other, Some(&continuation), 2).unwrap_err(), ContinuationError::OtherQuery);
    assert_eq!(Run::new(&query, Some("AAAA"), 2).unwrap_err(), ContinuationError::Garbage);
}
