//! Rules as tables: what comes in at which second, what has to come out.

use std::time::Duration;

use millrace_model::{Offset, ShardId};

use super::*;

fn engine(rules: &str) -> Engine {
    let config: AlertsConfig = toml::from_str(rules).unwrap();
    assert_eq!(config.validate(), Vec::<String>::new());
    Engine::new(&config)
}

fn time(second: f64) -> Timestamp {
    Timestamp(i64::try_from(Duration::from_secs_f64(second).as_millis()).unwrap())
}

fn rule(text: &str) -> String {
    format!("[[rules]]\nname = \"r\"\nactions = [\"log\"]\n{text}\n")
}

fn send(engine: &mut Engine, device: &str, second: f64, body: &str) -> Vec<String> {
    let at = time(second);
    let cause = Cause { shard: ShardId(0), offset: Offset(at.0.unsigned_abs()), at };
    let number = engine.admit(&IdentityRef { device_id: device, ..IdentityRef::default() }).unwrap();
    let mut out = Vec::new();
    engine.observe(number, cause, body.as_bytes(), &mut out);
    shown(engine, &out)
}

fn pass(engine: &mut Engine, second: f64) -> Vec<String> {
    let mut out = Vec::new();
    engine.pass_time(time(second), &mut out);
    shown(engine, &out)
}

fn shown(engine: &Engine, out: &[Decision]) -> Vec<String> {
    out.iter()
        .map(|decision| {
            let second = Duration::from_millis(decision.at.0.unsigned_abs()).as_secs_f64();
            let device = &engine.devices.slot(decision.device).unwrap().key;
            match decision.change {
                Change::Fired(firing) => format!("{device} fired {} @{second}", firing.value),
                Change::Cleared(_, value) => format!("{device} cleared {value} @{second}"),
            }
        })
        .collect()
}

/// One device, one rule: (second, value) in, events out.
fn check(text: &str, points: &[(f64, f64)], expected: &[&str]) {
    let mut engine = engine(&rule(text));
    let found: Vec<String> =
        points.iter().flat_map(|(at, value)| send(&mut engine, "d", *at, &format!("{{\"t\":{value}}}"))).collect();
    assert_eq!(found, expected, "{text}");
}

#[test]
fn a_threshold_fires_once_and_clears_once() {
    let points = [(1.0, 29.0), (2.0, 30.0), (3.0, 31.0), (4.0, 40.0), (5.0, 30.0), (6.0, 29.0), (7.0, 30.5)];
    check("value = \"$.t\"\nabove = 30", &points, &["d fired 31 @3", "d cleared 30 @5", "d fired 30.5 @7"]);
    check(
        "value = \"$.t\"\nbelow = 30",
        &points,
        &["d fired 29 @1", "d cleared 30 @2", "d fired 29 @6", "d cleared 30.5 @7"],
    );
}

#[test]
fn hysteresis_keeps_what_lies_between_the_bounds() {
    let points = [(1.0, 31.0), (2.0, 29.0), (3.0, 31.0), (4.0, 28.0), (5.0, 27.9), (6.0, 29.0), (7.0, 30.1)];
    check(
        "value = \"$.t\"\nabove = 30\nclear_below = 28",
        &points,
        &["d fired 31 @1", "d cleared 27.9 @5", "d fired 30.1 @7"],
    );
    check("value = \"$.t\"\nbelow = 28\nclear_above = 30", &points, &["d fired 27.9 @5", "d cleared 30.1 @7"]);
}

#[test]
fn the_cooldown_holds_back_firing_but_not_clearing() {
    let points = [(1.0, 31.0), (2.0, 29.0), (3.0, 31.0), (10.9, 32.0), (11.0, 33.0), (12.0, 1.0)];
    check(
        "value = \"$.t\"\nabove = 30\ncooldown_seconds = 10",
        &points,
        &["d fired 31 @1", "d cleared 29 @2", "d fired 33 @11", "d cleared 1 @12"],
    );
}

#[test]
fn windows_sum_up_the_last_seconds() {
    let ramp = [(0.0, 10.0), (10.0, 20.0), (20.0, 30.0), (30.0, 40.0), (95.0, 10.0)];
    check(
        "kind = \"window\"\naggregate = \"avg\"\nseconds = 60\nvalue = \"$.t\"\nabove = 22",
        &ramp,
        &["d fired 25 @30", "d cleared 10 @95"],
    );
    check(
        "kind = \"window\"\naggregate = \"max\"\nseconds = 60\nvalue = \"$.t\"\nabove = 35",
        &ramp,
        &["d fired 40 @30", "d cleared 10 @95"],
    );
    check(
        "kind = \"window\"\naggregate = \"min\"\nseconds = 30\nvalue = \"$.t\"\nabove = 15",
        &ramp,
        &["d fired 20 @30", "d cleared 10 @95"],
    );
    check(
        "kind = \"window\"\naggregate = \"rate\"\nseconds = 60\nvalue = \"$.t\"\nabove = 0.5",
        &ramp,
        &["d fired 1 @30"],
    );
    check(
        "kind = \"window\"\naggregate = \"count\"\nseconds = 60\nabove = 3",
        &ramp,
        &["d fired 4 @30", "d cleared 1 @95"],
    );
}

#[test]
fn a_low_count_waits_for_a_whole_window_and_a_high_one_falls_by_itself() {
    check(
        "kind = \"window\"\naggregate = \"count\"\nseconds = 60\nbelow = 3",
        &[(0.0, 0.0), (30.0, 0.0), (59.0, 0.0), (60.0, 0.0), (125.0, 0.0), (126.0, 0.0), (127.0, 0.0)],
        &["d fired 1 @125", "d cleared 3 @127"],
    );
    let mut engine = engine(&rule("kind = \"window\"\naggregate = \"count\"\nseconds = 60\nabove = 1"));
    send(&mut engine, "d", 0.0, "");
    assert_eq!(send(&mut engine, "d", 10.0, ""), ["d fired 2 @10"]);
    assert!(pass(&mut engine, 50.0).is_empty());
    assert_eq!(pass(&mut engine, 60.0), ["d cleared 1 @60"]);
    assert!(pass(&mut engine, 600.0).is_empty());
}

#[test]
fn alerts_that_time_may_end_are_looked_at_once_a_tick_and_not_after_each_batch() {
    let mut engine = engine(&rule("kind = \"window\"\naggregate = \"count\"\nseconds = 1\nabove = 1"));
    send(&mut engine, "d", 0.0, "");
    assert_eq!(send(&mut engine, "d", 0.01, ""), ["d fired 2 @0.01"]);
    assert!(pass(&mut engine, 1.0).is_empty());
    assert!(pass(&mut engine, 1.05).is_empty(), "over since 1.02, but looked at in this tick already");
    assert_eq!(pass(&mut engine, 1.1), ["d cleared 0 @1.1"]);
}

#[test]
fn silence_fires_once_and_clears_on_return() {
    let mut engine = engine(&rule("kind = \"silence\"\nseconds = 60"));
    assert!(pass(&mut engine, 1000.0).is_empty(), "a device never heard of is not silent");
    send(&mut engine, "d", 0.0, "not json");
    send(&mut engine, "d", 30.0, "");
    send(&mut engine, "e", 50.0, "");
    assert!(pass(&mut engine, 89.9).is_empty());
    assert_eq!(pass(&mut engine, 90.1), ["d fired NaN @90.1"]);
    assert_eq!(pass(&mut engine, 110.1), ["e fired NaN @110.1"]);
    assert!(pass(&mut engine, 1000.0).is_empty());
    assert_eq!(send(&mut engine, "d", 1001.0, ""), ["d cleared NaN @1001"]);
    assert!(pass(&mut engine, 1061.0).is_empty());
    assert_eq!(pass(&mut engine, 1061.2), ["d fired NaN @1061.2"]);
}

#[test]
fn two_silences_of_one_device_run_by_themselves() {
    let two =
        rule("kind = \"silence\"\nseconds = 10") + &rule("kind = \"silence\"\nseconds = 100").replace("\"r\"", "\"q\"");
    let mut engine = engine(&two);
    send(&mut engine, "d", 0.0, "");
    for round in 0..50 {
        let start = f64::from(round) * 50.0;
        assert_eq!(pass(&mut engine, start + 10.1).len(), 1);
        assert_eq!(send(&mut engine, "d", start + 50.0, "").len(), 1);
    }
    assert_eq!(engine.timetable.values().map(Vec::len).sum::<usize>(), 2, "one entry for each pair");
    assert_eq!(pass(&mut engine, 2600.1).len(), 2);
}

#[test]
fn time_without_a_hub_is_no_silence() {
    let text = rule("kind = \"silence\"\nseconds = 60");
    let mut before = engine(&text);
    send(&mut before, "d", 100.0, "");
    let device = before.devices.slot(0).unwrap().clone();
    let mut after = engine(&text);
    after.resume_at(130_000, 1_000_000);
    after.restore(device);
    assert!(pass(&mut after, 1029.9).is_empty(), "30 of 60 seconds were over before");
    // A message of before the crash that is applied again counts as before it.
    send(&mut after, "d", 120.0, "");
    assert!(pass(&mut after, 1049.9).is_empty());
    assert_eq!(pass(&mut after, 1050.1), ["d fired NaN @1050.1"]);
}

#[test]
fn devices_do_not_mix_and_hostile_bodies_are_nothing() {
    let mut engine = engine(&rule("value = \"$.t\"\nabove = 30"));
    assert_eq!(send(&mut engine, "a", 1.0, "{\"t\":31}").len(), 1);
    assert_eq!(send(&mut engine, "b", 1.0, "{\"t\":31}").len(), 1);
    for body in ["", "{\"t\":\"99\"}", "{\"t\":1e400}", "\u{feff}{}", &"[".repeat(100_000), "{\"t\":null}"] {
        assert!(send(&mut engine, "a", 2.0, body).is_empty());
    }
    assert_eq!(engine.unreadable, 3);
}

#[test]
fn a_device_that_took_over_a_slot_starts_afresh() {
    let mut engine = engine(&format!("devices_max = 1\n{}", rule("kind = \"silence\"\nseconds = 60")));
    send(&mut engine, "a", 0.0, "");
    send(&mut engine, "b", 50.0, "");
    assert!(pass(&mut engine, 60.1).is_empty());
    assert_eq!(pass(&mut engine, 110.1), ["b fired NaN @110.1"]);
}
