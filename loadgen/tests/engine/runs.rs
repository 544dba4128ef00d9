//! Open and closed loop, lost connections, refusals, replay, ledger.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use millrace_loadgen::{Arrival, Phase, PhaseKind, Plan, Protocol, Replay, RunReport, StampPlace, run};

use crate::broker::{Behaviour, Broker};

/// A short run with few connections against a broker.
pub(crate) fn plan(broker: &Broker) -> Plan {
    Plan {
        target: broker.address.to_string(),
        topic: Some("bench/{id}".to_owned()),
        connections: 5,
        connect_rate: 0.0,
        connect_timeout_seconds: 5,
        drain_seconds: 5,
        phases: vec![Phase::hold(1.0)],
        ..Plan::default()
    }
}

fn total(broker: &Broker) -> u64 {
    broker.seen.bodies.lock().unwrap().values().map(|bodies| u64::try_from(bodies.len()).unwrap()).sum()
}

fn check(plan: &Plan) -> RunReport {
    assert_eq!(plan.validate(), Vec::<String>::new());
    run(plan, true).unwrap()
}

#[test]
fn an_open_loop_keeps_its_rate_and_everything_is_acknowledged() {
    for (protocol, arrival) in [(Protocol::Mqtt311, Arrival::Uniform), (Protocol::Mqtt5, Arrival::Poisson)] {
        let broker = Broker::start(Behaviour::default());
        let report = check(&Plan { rate: 500.0, protocol, arrival, threads: 2, ..plan(&broker) });
        let messages = &report.messages;
        // On a machine that is busy elsewhere the last ones may not go out in time; they are accounted for.
        assert!((400..=600).contains(&(messages.sent + messages.unsent)), "{messages:?}");
        assert!(messages.unsent <= 50, "{messages:?}");
        assert_eq!(messages.acknowledged, messages.sent);
        assert_eq!(messages.unacknowledged, 0);
        assert_eq!(report.latency_us.count, messages.acknowledged);
        assert_eq!(report.connections.open, 5);
        assert_eq!(total(&broker), messages.sent);
        // The broker reads the last DISCONNECT in its own time.
        let deadline = Instant::now() + Duration::from_secs(20);
        while broker.seen.goodbyes.load(Ordering::Acquire) < 5 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(broker.seen.goodbyes.load(Ordering::Acquire), 5);
        assert!(broker.seen.topic.lock().unwrap().starts_with("bench/dev-"));
        let series: u64 = report.series.iter().map(|second| second.sent).sum();
        assert_eq!(series, messages.sent);
    }
}

#[test]
fn a_closed_loop_fills_its_window_and_never_more() {
    let broker = Broker::start(Behaviour { delay: Duration::from_millis(1), ..Behaviour::default() });
    let report = check(&Plan { window: Some(4), ..plan(&broker) });
    assert!(report.messages.acknowledged > 100, "{}", report.messages.acknowledged);
    assert!(report.series.iter().all(|second| second.in_flight <= 20), "{:?}", report.series);
    assert!(report.latency_us.p50 >= 4_000, "four in a row wait for each other: {:?}", report.latency_us);
}

#[test]
fn qos_0_is_sent_and_never_acknowledged() {
    let broker = Broker::start(Behaviour::default());
    let report = check(&Plan { rate: 200.0, qos: 0, ..plan(&broker) });
    assert!(report.messages.sent > 100 && report.messages.acknowledged == 0);
    assert!(report.messages.throughput_per_second > 100.0);
}

#[test]
fn a_slow_server_shows_in_latency_from_the_intended_time_not_in_lag() {
    let broker = Broker::start(Behaviour { delay: Duration::from_millis(50), ..Behaviour::default() });
    let plan = Plan { connections: 1, rate: 100.0, in_flight_max: 1, drain_seconds: 0, ..plan(&broker) };
    let report = check(&plan);
    let messages = &report.messages;
    assert!(messages.late > 5 && messages.unsent > 50, "{messages:?}");
    assert!(messages.sent + messages.unsent >= 98, "nothing that was due is forgotten: {messages:?}");
    assert!(report.latency_us.p90 > 200_000, "waiting for the window counts: {:?}", report.latency_us);
    assert!(report.lag_us.p50 < 150_000, "{:?}", report.lag_us);
}

#[test]
fn a_lost_connection_comes_back_and_sends_again_what_was_in_flight() {
    let broker = Broker::start(Behaviour { cut_at: Some(20), ..Behaviour::default() });
    let report = check(&Plan { rate: 250.0, stamp: StampPlace::Body, ..plan(&broker) });
    assert_eq!(report.connections.reconnected, 5);
    assert_eq!(report.messages.unacknowledged, 0);
    assert_eq!(report.messages.acknowledged, report.messages.sent);
    let dups = broker.seen.dups.load(Ordering::Acquire);
    assert!(dups >= 5 && dups == report.messages.sent_again, "{dups}");
    assert_eq!(report.connections.lost.values().sum::<u64>(), 5);
    // Again is not different: the same stamp, so the set is as large as what was sent.
    let bodies = broker.seen.bodies.lock().unwrap();
    let different: usize = bodies.values().map(|bodies| bodies.iter().collect::<BTreeSet<_>>().len()).sum();
    assert_eq!(u64::try_from(different).unwrap(), report.messages.sent);
}

#[test]
fn churn_and_storm_cut_connections_and_lose_nothing() {
    let broker = Broker::start(Behaviour::default());
    let churn = Phase { churn_percent: 100.0, ..Phase::new(PhaseKind::Churn, 1.0) };
    let phases = vec![churn, Phase::new(PhaseKind::Storm, 1.0)];
    let report = check(&Plan { rate: 500.0, connections: 10, phases, ..plan(&broker) });
    let cuts = report.connections.lost.get("cut by plan").copied().unwrap_or_default();
    assert!((15..=22).contains(&cuts), "about ten by churn and ten by the storm: {cuts}");
    assert_eq!(report.messages.acknowledged, report.messages.sent);
    assert_eq!(report.messages.unacknowledged, 0);
}

#[test]
fn a_refusal_ends_the_run_with_its_code() {
    let broker = Broker::start(Behaviour { connack: 5, ..Behaviour::default() });
    let problem = format!("{:#}", run(&plan(&broker), true).unwrap_err());
    assert!(problem.contains("connack 5"), "{problem}");
}

#[test]
fn silence_is_counted_as_unacknowledged() {
    let broker = Broker::start(Behaviour { silent: true, ..Behaviour::default() });
    let report = check(&Plan { rate: 100.0, drain_seconds: 0, ..plan(&broker) });
    assert_eq!(report.messages.unacknowledged, report.messages.sent);
    assert!(!report.verdict.is_valid);
}

#[test]
fn a_hub_gets_tokens_topics_and_properties() {
    let directory = tempfile::tempdir().unwrap();
    let devices = directory.path().join("devices.csv");
    std::fs::write(&devices, "d 1,a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=\n").unwrap();
    let broker = Broker::start(Behaviour::default());
    check(&Plan {
        topic: None,
        host_name: Some("hub.example.net".to_owned()),
        devices_file: Some(devices),
        rate: 20.0,
        stamp: StampPlace::Property,
        content_type: Some("application/json".to_owned()),
        template: Some("{seq}".to_owned()),
        ..plan(&broker)
    });
    let (user, password) = broker.seen.credentials.lock().unwrap().clone();
    assert_eq!(user, "hub.example.net/d 1/?api-version=2021-04-12");
    assert!(password.starts_with(b"SharedAccessSignature sr=hub.example.net%2Fdevices%2Fd%201&"));
    let topic = broker.seen.topic.lock().unwrap().clone();
    assert!(topic.starts_with("devices/d 1/messages/events/%24.ct=application%2Fjson&stamp="), "{topic}");
}

#[test]
fn a_trace_is_played_in_order_and_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("trace.csv");
    let rows: String =
        (0..60).map(|minute| format!("2024-01-01T00:{minute:02}:00Z,p{},{minute}\n", minute % 2)).collect();
    std::fs::write(&file, format!("time,pump,value\n{rows}")).unwrap();
    let broker = Broker::start(Behaviour::default());
    let replay = Replay { file, time_compression: 7_200.0, ..Replay::default() };
    let report = check(&Plan { connections: 2, replay: Some(replay), ..plan(&broker) });
    assert_eq!((report.messages.sent, report.messages.acknowledged), (60, 60));
    let bodies = broker.seen.bodies.lock().unwrap();
    let values = |id: &str| -> Vec<u64> {
        let parse =
            |body: &Vec<u8>| serde_json::from_slice::<serde_json::Value>(body).unwrap()["value"].as_u64().unwrap();
        bodies[id].iter().map(parse).collect()
    };
    assert_eq!(values("dev-0"), (0..30).map(|n| n * 2).collect::<Vec<u64>>());
    assert_eq!(values("dev-1"), (0..30).map(|n| n * 2 + 1).collect::<Vec<u64>>());
}

#[test]
fn source_addresses_are_used_in_turn() {
    let broker = Broker::start(Behaviour::default());
    check(&Plan { connections: 6, source: Some("127.0.0.2-127.0.0.4".to_owned()), ..plan(&broker) });
    let sources = broker.seen.sources.lock().unwrap().clone();
    assert_eq!(sources.values().copied().collect::<Vec<_>>(), [2, 2, 2]);
}

#[test]
fn the_ledger_knows_what_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = directory.path().join("ledger");
    let broker = Broker::start(Behaviour::default());
    let stamp = StampPlace::Body;
    let report = check(&Plan { rate: 300.0, stamp, ledger: Some(ledger.clone()), ..plan(&broker) });
    let text = std::fs::read_to_string(&ledger).unwrap();
    let mut last = std::collections::BTreeMap::new();
    for line in text.lines().skip(1) {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        last.insert(entry["device"].to_string(), entry["acknowledged"]["below"].as_u64().unwrap());
    }
    assert_eq!(last.values().sum::<u64>(), report.messages.acknowledged);
}
