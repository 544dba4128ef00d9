//! Queries and conditions against rows, as tables: what is taken, what it becomes, what is refused and where.

use millrace_control_query::{Condition, Problem, Query, Source};
use serde_json::{Value, json};

fn twins() -> Vec<Value> {
    let twin = |id: &str, tags: Value, reported: Value, connected: bool| {
        json!({
            "deviceId": id, "etag": "AAAAAAAAAAE=", "status": "enabled", "version": 5, "tags": tags,
            "connectionState": if connected { "Connected" } else { "Disconnected" },
            "lastActivityTime": "2024-05-01T10:00:00Z",
            "x509Thumbprint": { "primaryThumbprint": null, "secondaryThumbprint": null },
            "capabilities": { "iotEdge": id == "edge" },
            "configurations": { "roll-out 1": { "status": "Applied" } },
            "properties": { "desired": { "interval": 10, "$version": 1 }, "reported": reported },
        })
    };
    vec![
        twin("a", json!({"site": "A", "floor": 1}), json!({"fw": "1.2", "interval": 10, "list": [7, 8]}), true),
        twin("b", json!({"site": "B", "floor": 2.5, "hot": true}), json!({"fw": "1.10", "interval": 60}), false),
        twin("edge", json!({"Site": "A", "floor": "1"}), json!({"$metadata": {"$lastUpdated": "2024-05-01"}}), true),
    ]
}

/// The devices that a condition takes, the same in a query and by itself.
fn check(condition: &str, expected: &[&str]) {
    let query = Query::parse(&format!("SELECT * FROM devices WHERE {condition}")).unwrap();
    let alone = Condition::parse(condition).unwrap();
    let twins = twins();
    let taken: Vec<_> = twins.iter().filter(|twin| query.matches(twin)).map(|twin| &twin["deviceId"]).collect();
    assert_eq!(taken, expected, "{condition}");
    for twin in &twins {
        assert_eq!(alone.matches(twin), query.matches(twin), "{condition}");
    }
}

#[test]
fn comparisons() {
    check("deviceId = 'a'", &["a"]);
    check("DEVICEID = \"a\"", &["a"]);
    check("devices.deviceId = 'a'", &["a"]);
    check("'a' = deviceId", &["a"]);
    check("deviceId = 'A'", &[]);
    check("tags.site = 'A'", &["a"]);
    check("tags.Site = 'A'", &["edge"]);
    check("Tags.site <> 'A'", &["b"]);
    check("tags.floor < 2", &["a"]);
    check("tags.floor = 1.0", &["a"]);
    check("tags.floor = '1'", &["edge"]);
    check("tags.floor != '1'", &["a", "b"]);
    check("tags.floor >= 0x1 AND tags.floor <= 2.5e0", &["a", "b"]);
    check("properties.reported.interval = properties.desired.interval", &["a"]);
    check("properties.reported.list[1] = 8", &["a"]);
    check("properties.reported.$metadata.$lastUpdated >= '2024-01-01'", &["edge"]);
    check("configurations.[[roll-out 1]].status = 'Applied' AND tags.hot", &["b"]);
    check("lastActivityTime < '2024-05-02T00:00:00Z'", &["a", "b", "edge"]);
    check("capabilities.iotEdge = true", &["edge"]);
}

#[test]
fn what_is_not_there_makes_nothing_true() {
    check("tags.none = 'x'", &[]);
    check("tags.none != 'x'", &[]);
    check("NOT tags.none = 'x'", &[]);
    check("tags.hot != true", &[]);
    check("tags.none NIN ['x']", &[]);
    check("tags.none = null OR tags.none != null", &[]);
    check("tags.none = tags.none", &[]);
    check("tags.none = 'x' OR deviceId = 'a'", &["a"]);
    check("NOT (tags.none = 'x' AND deviceId = 'a')", &["b", "edge"]);
    check("NOT is_defined(tags.hot)", &["a", "edge"]);
    check("is_defined(tags.hot)", &["b"]);
    check("x509Thumbprint.primaryThumbprint = null", &["a", "b", "edge"]);
    check("tags.site = null", &[]);
    check("tags.site != null", &["a", "b"]);
    check("tags.site = undefined OR tags.site != undefined", &[]);
    check("properties.reported.list = 7", &[]);
    check("tags = tags", &[]);
}

#[test]
fn operators_and_functions() {
    check("tags.site IN ['A', 'C', 1, null, -2.5]", &["a"]);
    check("tags.floor IN[1, 2.5]", &["a", "b"]);
    check("tags.site NIN ['A']", &["b"]);
    check("deviceId IN []", &[]);
    check("tags.floor * 2 + 1 = 3", &["a"]);
    check("properties.reported.interval % 60 = 0 and properties.reported.interval / 0 != 1", &[]);
    check("- tags.floor < -2", &["b"]);
    check("NOT NOT deviceId = 'a'", &["a"]);
    check("deviceId = 'a' OR deviceId = 'b' AND tags.hot = true", &["a", "b"]);
    check("(deviceId = 'a' OR deviceId = 'b') AND tags.hot = true", &["b"]);
    check("STARTSWITH(deviceId, 'ed') OR ends_with(properties.reported.fw, '.10')", &["b", "edge"]);
    check("is_string(tags.floor)", &["edge"]);
    check("IS_ARRAY(properties.reported.list) AND IS_OBJECT(tags)", &["a"]);
    check("LENGTH(CONCAT(deviceId, '-', UPPER(tags.site))) = 3", &["a", "b"]);
    check("true", &["a", "b", "edge"]);
    check("(deviceId = 'a') = true OR false", &["a"]);
}

#[test]
fn what_looks_like_injection_is_only_grammar() {
    check("tags.site = 'A\\' OR 1=1 --'", &[]);
    check("deviceId = 'a' OR 1 = 1", &["a", "b", "edge"]);
    for text in [
        "deviceId = 'a'; DROP TABLE identities",
        "deviceId = 'a' --",
        "deviceId = 'a' UNION SELECT * FROM devices",
        "deviceId = '' OR ''=''''",
        "deviceId IN (SELECT deviceId FROM devices)",
    ] {
        assert!(Condition::parse(text).is_err(), "{text}");
        assert!(Query::parse(&format!("SELECT * FROM devices WHERE {text}")).is_err(), "{text}");
    }
}

#[test]
fn conditions_of_configurations_and_jobs() {
    let twin = &twins()[0];
    for (text, source, matches) in [
        ("*", Source::Devices, true),
        ("  ", Source::Devices, false),
        ("FROM devices", Source::Devices, true),
        ("from devices.modules where *", Source::Modules, true),
        ("FROM devices.modules WHERE devices.modules.deviceId = 'a'", Source::Modules, true),
        ("deviceId IN ['a', 'b']", Source::Devices, true),
        ("deviceId IN ['b']", Source::Devices, false),
    ] {
        let condition = Condition::parse(text).unwrap();
        assert_eq!((condition.source(), condition.matches(twin)), (source, matches), "{text}");
        assert_eq!(Condition::parse(&condition.to_string()).unwrap(), condition, "{text}");
    }
    assert!(
        Condition::parse("").unwrap().is_empty() && Condition::parse("").unwrap().keys().unwrap().values.is_empty()
    );
    assert_eq!(
        Condition::parse("FROM devices.jobs").unwrap_err().problem,
        Problem::OtherSource("devices and devices.modules")
    );
    assert!(Condition::parse("* AND true").is_err() && Condition::parse("FROM devices tags.a = 1").is_err());
}

#[test]
fn columns() {
    for (text, expected) in [
        (
            "SELECT DeviceId, LastActivityTime FROM devices",
            json!({"deviceId": "a", "lastActivityTime": "2024-05-01T10:00:00Z"}),
        ),
        (
            "SELECT properties.reported.fw, tags.none, tags FROM devices",
            json!({"fw": "1.2", "tags": {"site": "A", "floor": 1}}),
        ),
        (
            "SELECT TOP 1 tags.site AS where_it_is, devices.version FROM devices",
            json!({"where_it_is": "A", "version": 5}),
        ),
        ("SELECT properties.reported.list[0] FROM devices", json!({"list": 7})),
        ("SELECT tags.[[no one]] AS [[a b]] FROM devices", json!({})),
    ] {
        let query = Query::parse(text).unwrap();
        assert_eq!(query.project(twins().remove(0)), expected, "{text}");
        assert_eq!(query.item_type().as_str(), "Raw");
    }
    let query = Query::parse("SELECT * FROM devices").unwrap();
    assert_eq!(query.project(twins().remove(0)), twins().remove(0));
}

#[test]
fn sources_and_what_their_rows_are() {
    for (text, source, item_type) in [
        ("select * from DEVICES", Source::Devices, "Twin"),
        ("SELECT * FROM devices.modules", Source::Modules, "Twin"),
        ("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'x'", Source::Jobs, "DeviceJob"),
        ("SELECT * FROM enrollments", Source::Enrollments, "Enrollment"),
        ("SELECT * FROM EnrollmentGroups", Source::EnrollmentGroups, "EnrollmentGroup"),
        ("SELECT * FROM deviceRegistrations", Source::Registrations, "DeviceRegistration"),
    ] {
        let query = Query::parse(text).unwrap();
        assert_eq!((query.source(), query.item_type().as_str()), (source, item_type), "{text}");
    }
    for text in ["*", "", "SELECT * FROM enrollmentGroups", "SELECT * FROM deviceRegistration"] {
        assert_eq!(Query::parse_for(Source::Registrations, text).unwrap().source(), Source::Registrations, "{text}");
    }
}

#[test]
fn keys_are_found_without_losing_rows() {
    for (condition, expected) in [
        ("deviceId = 'b'", Some(vec!["b"])),
        ("deviceId IN ['b', 'a', 'b'] AND tags.site = 'A'", Some(vec!["a", "b"])),
        ("deviceId IN ['a', 'b'] AND DeviceId IN ['b', 'c']", Some(vec!["b"])),
        ("deviceId = 'a' AND deviceId = 'b'", Some(vec![])),
        ("deviceId = 'a' OR (deviceId = 'b' AND tags.x = 1)", Some(vec!["a", "b"])),
        ("deviceId = 'a' OR tags.x = 1", None),
        ("NOT deviceId = 'a'", None),
        ("deviceId NIN ['a']", None),
        ("deviceId != 'a'", None),
        ("tags.deviceId = 'a'", None),
    ] {
        let query = Query::parse(&format!("SELECT * FROM devices WHERE {condition}")).unwrap();
        assert_eq!(query.keys().map(|hint| hint.values), expected, "{condition}");
    }
    let query =
        Query::parse("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'j' AND status = 'failed'").unwrap();
    assert_eq!(query.values_of("jobId"), Some(vec!["j"]));
    assert_eq!(query.keys(), None);
}

#[test]
fn needs_name_what_is_looked_at() {
    let query =
        Query::parse("SELECT deviceId FROM devices WHERE properties.reported.fw = '1' AND connectionState = 'x'")
            .unwrap();
    let needs = query.needs();
    assert!(needs.reads(&["properties"]) && needs.reads(&["properties", "reported", "fw", "deep"]));
    assert!(!needs.reads(&["properties", "desired"]) && !needs.reads(&["tags"]));
    assert!(needs.reads(&["deviceId"]) && !query.condition_needs().reads(&["deviceId"]));
    assert!(needs.is_within(&["deviceId", "properties", "connectionState"]) && !needs.is_within(&["deviceId"]));
    assert!(Query::parse("SELECT * FROM devices").unwrap().needs().reads(&["anything"]));
}

#[test]
fn errors_say_where_and_what() {
    for (text, message) in [
        ("", "line 1, column 1: expected SELECT, found the end"),
        ("SELECT\n  FROM devices", "line 2, column 3: expected *, a member or an aggregate, found 'FROM'"),
        ("SELECT * FORM devices", "line 1, column 10: expected FROM, found 'FORM'"),
        ("SELECT a b FROM devices", "line 1, column 10: expected ',', AS or FROM, found 'b'"),
        (
            "SELECT * FROM devices ORDER BY deviceId",
            "line 1, column 23: expected WHERE, GROUP BY or the end, found 'ORDER'",
        ),
        (
            "SELECT * FROM devices WHERE tags.a = 1 b",
            "line 1, column 40: expected an operator, GROUP BY or the end, found 'b'",
        ),
        ("SELECT * FROM devices WHERE deviceId IN 'a'", "line 1, column 41: expected '[', found ''a''"),
        (
            "SELECT * FROM devices WHERE deviceId IN [tags]",
            "line 1, column 42: expected a text, number, true, false or null, found 'tags'",
        ),
        (
            "SELECT * FROM devices WHERE é = 'x",
            "line 1, column 33: expected a text with a closing quote and known escapes, found '''",
        ),
        (
            "SELECT * FROM devices WHERE tags.a + 1",
            "line 1, column 29: a calculation is not a condition: it is never true or false; compare it with something",
        ),
        (
            "SELECT * FROM devices WHERE true AND 'x'",
            "line 1, column 38: a text is not a condition: it is never true or false; compare it with something",
        ),
        ("SELECT * FROM devices WHERE nope(tags.a)", "line 1, column 29: there is no function nope"),
        ("SELECT * FROM devices WHERE is_defined()", "line 1, column 29: IS_DEFINED takes 1, not 0 arguments"),
        ("SELECT TOP 1.5 * FROM devices", "line 1, column 12: expected a whole number of rows, found '1.5'"),
        (
            "SELECT median(tags.a) FROM devices",
            "line 1, column 8: expected a member or one of count, avg, sum, min and max, found 'median'",
        ),
        ("SELECT sum() FROM devices", "line 1, column 12: expected a member, found ')'"),
        (
            "SELECT deviceId, count() FROM devices",
            "line 1, column 8: deviceId differs within a group: name it in GROUP BY, or aggregate it",
        ),
        ("SELECT * FROM devices GROUP BY tags.a", "line 1, column 23: GROUP BY needs named items, not *"),
        (
            "SELECT tags.a, properties.desired.a FROM devices",
            "line 1, column 16: two items are called a: give one another name with AS",
        ),
        ("SELECT deviceId AS a.b FROM devices", "line 1, column 20: expected a name without dots, found 'a.b'"),
    ] {
        assert_eq!(Query::parse(text).unwrap_err().to_string(), message, "{text}");
    }
    let unknown = Query::parse("SELECT * FROM users").unwrap_err().to_string();
    assert!(unknown.starts_with("line 1, column 15: there is no collection users; known are devices"), "{unknown}");
}

#[test]
fn nesting_and_length_are_bounded() {
    let nested = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Condition::parse(&nested(32)).is_ok());
    assert_eq!(Condition::parse(&nested(33)).unwrap_err().problem, Problem::TooDeep);
    assert_eq!(Condition::parse(&"NOT ".repeat(1000)).unwrap_err().problem, Problem::TooDeep);
    assert_eq!(Condition::parse(&format!("tags.a = {}1", "- ".repeat(1000))).unwrap_err().problem, Problem::TooDeep);
    assert_eq!(Condition::parse(&format!("tags.a = 1{}", " + 1".repeat(40))).unwrap_err().problem, Problem::TooDeep);
    assert!(Condition::parse(&format!("true{}", " AND true".repeat(900))).is_ok());
    assert!(Condition::parse(&format!("deviceId IN ['a'{}]", ",'b'".repeat(2000))).is_ok());
    assert_eq!(Condition::parse(&"é".repeat(8193)).unwrap_err().problem, Problem::TooLong);
    assert!(Condition::parse(&"é".repeat(8192)).is_ok());
}
