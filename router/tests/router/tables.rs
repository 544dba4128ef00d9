//! Route tables: which endpoint gets what, what is refused, and what the shared evaluation promises.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use millrace_model::{Batch, DeadLetter, Message, MessageSource, Offset, ShardId};
use millrace_router::route::{EnrichmentSpec, FallbackSpec, RouteError, RouteSpec, Source};
use millrace_router::{RouteTable, Routed, Routes, Scratch};
use proptest::prelude::*;

use crate::support::{JSON, batch, batch_at};

pub(crate) fn route(name: &str, condition: &str, endpoints: &[&str]) -> RouteSpec {
    RouteSpec {
        name: name.to_owned(),
        condition: condition.to_owned(),
        endpoints: endpoints.iter().map(|&endpoint| endpoint.to_owned()).collect(),
        ..RouteSpec::default()
    }
}

fn fallback(endpoints: &[&str]) -> FallbackSpec {
    FallbackSpec { enabled: !endpoints.is_empty(), endpoints: endpoints.iter().map(|&name| name.to_owned()).collect() }
}

pub(crate) fn table(routes: &[RouteSpec], to: &[&str], endpoints: &[&str]) -> RouteTable {
    let endpoints: Vec<_> = endpoints.iter().map(|&name| name.to_owned()).collect();
    RouteTable::compile(routes, &[], &fallback(to), &endpoints, "hub").unwrap()
}

fn rows(routed: &Routed, endpoint: usize) -> Vec<usize> {
    routed.selections[endpoint].iter().collect()
}

#[test]
fn each_endpoint_gets_a_message_once_and_the_rest_falls_back() {
    let routes = [
        route("hot", "a = '1'", &["kafka", "alerts"]),
        route("also", "b = '1'", &["kafka"]),
        RouteSpec { enabled: false, ..route("off", "true", &["alerts"]) },
    ];
    let table = table(&routes, &["parquet"], &["kafka", "parquet", "alerts"]);
    let batch = batch(&[("d", "a=1&b=1", b""), ("d", "b=1", b""), ("d", "", b""), ("d", "a=1", b"")]);
    let routed = table.route(&batch, &mut Scratch::default());
    assert_eq!((rows(&routed, 0), rows(&routed, 1), rows(&routed, 2)), (vec![0, 1, 3], vec![2], vec![0, 3]));
    assert_eq!((routed.taken, routed.fallen_back, routed.unrouted), (vec![2, 2], 1, 0));
}

#[test]
fn other_events_go_only_where_a_route_of_their_source_says() {
    let routes = [RouteSpec { source: Source::TwinChangeEvents, ..route("twins", "true", &["kafka"]) }];
    let table = table(&routes, &["parquet"], &["kafka", "parquet"]);
    let of = |source| batch_at(ShardId(0), Offset(0), source, &[("d", "", b"")]);
    let routed = table.route(&of(MessageSource::TwinChangeEvents), &mut Scratch::default());
    assert_eq!((rows(&routed, 0), rows(&routed, 1)), (vec![0], vec![]));
    let routed = table.route(&of(MessageSource::DeviceLifecycleEvents), &mut Scratch::default());
    assert_eq!((rows(&routed, 0), rows(&routed, 1), routed.unrouted), (vec![], vec![], 1));
}

#[test]
fn a_table_reports_everything_that_is_wrong() {
    let enrichment =
        EnrichmentSpec { key: "a b".to_owned(), value: String::new(), endpoints: vec!["nowhere".to_owned()] };
    let routes = [
        route("a", "x = ", &["kafka"]),
        route("a", "true", &[]),
        route("", "true", &["kafka"]),
        RouteSpec { enabled: false, ..route("c", "nonsense(1)", &["nowhere"]) },
    ];
    let errors =
        RouteTable::compile(&routes, &[enrichment], &fallback(&["lost"]), &["kafka".to_owned()], "hub").unwrap_err();
    let texts: Vec<_> = errors.iter().map(ToString::to_string).collect();
    for part in [
        "route 'a': the name is used twice",
        "route 'a': names no endpoint",
        "route number 3 has no name",
        "route 'c': there is no endpoint 'nowhere'",
        "enrichment 'a b': a key consists",
        "enrichment 'a b': there is no endpoint 'nowhere'",
        "fallback: there is no endpoint 'lost'",
        "route 'a': condition, line 1, column 5: expected a value",
        "route 'c': condition, line 1, column 1: there is no function",
    ] {
        assert!(texts.iter().any(|text| text.contains(part)), "{part} not in {texts:#?}");
    }
    assert_eq!(errors.len(), 9, "{texts:#?}");
    assert!(errors.iter().filter_map(RouteError::route).all(|route| ["a", "c"].contains(&route)));
}

#[test]
fn enrichments_belong_to_their_endpoints() {
    let spec = |key: &str, value: &str, endpoints: &[&str]| EnrichmentSpec {
        key: key.to_owned(),
        value: value.to_owned(),
        endpoints: endpoints.iter().map(|&name| name.to_owned()).collect(),
    };
    let specs = [
        spec("site", "north", &["kafka"]),
        spec("hub", "$iotHubName", &["kafka", "parquet"]),
        spec("t", "$twin.tags.x", &["parquet"]),
    ];
    let endpoints = ["kafka".to_owned(), "parquet".to_owned()];
    let table = RouteTable::compile(&[], &specs, &fallback(&["kafka"]), &endpoints, "h1").unwrap();
    let of = |number| table.enrichments(number).iter().map(|e| format!("{}={}", e.key, e.value)).collect::<Vec<_>>();
    assert_eq!(of(0), ["site=north", "hub=h1"]);
    assert_eq!(of(1), ["hub=h1", "t=$twin.tags.x"]);
}

/// Counts what it is given; refuses while told to.
#[derive(Default)]
pub(crate) struct Letters {
    pub(crate) stored: Mutex<Vec<(u16, u64, String)>>,
    pub(crate) refuses: AtomicBool,
    calls: AtomicUsize,
}

impl DeadLetter for Letters {
    fn put(&self, message: &Message<'_>, _endpoint: &str, reason: &str) -> io::Result<()> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.refuses.load(Ordering::Relaxed) {
            return Err(io::Error::other("full"));
        }
        self.stored.lock().unwrap().push((message.shard.0, message.offset.0, reason.to_owned()));
        Ok(())
    }
}

fn poisonous(base: u64) -> Batch {
    let lines: [crate::support::Line<'_>; 3] = [("d", JSON, b"{}"), ("d", JSON, b"{broken"), ("d", "", b"{broken")];
    batch_at(ShardId(3), Offset(base), MessageSource::Telemetry, &lines)
}

#[test]
fn poison_is_stored_once_before_anybody_goes_past_it() {
    let letters = Arc::new(Letters::default());
    let routes = [route("reads", "$body.x = 1", &["kafka"]), route("reads too", "$body.y = 1", &["parquet"])];
    let dead_letters: Arc<dyn DeadLetter> = Arc::<Letters>::clone(&letters);
    let routes = Routes::new(table(&routes, &["parquet"], &["kafka", "parquet"]), dead_letters);
    letters.refuses.store(true, Ordering::Relaxed);
    assert!(routes.route(&poisonous(0)).is_err());
    letters.refuses.store(false, Ordering::Relaxed);
    let shared = routes.route(&poisonous(0)).unwrap();
    assert_eq!(shared.of_endpoint("parquet", 3).0.count(), 3, "what no route took still falls back");
    assert_eq!(shared.of_endpoint("unheard of", 3).0.count(), 0);
    for base in [0, 3, 0, 3, 6] {
        routes.route(&poisonous(base)).unwrap();
    }
    // Out of the cache, but known to be done.
    (3..300).for_each(|step| drop(routes.route(&poisonous(step * 3)).unwrap()));
    routes.route(&poisonous(0)).unwrap();
    let stored = letters.stored.lock().unwrap();
    assert_eq!(
        stored.iter().map(|(_, offset, _)| *offset).collect::<Vec<_>>(),
        (0..300).map(|step| step * 3 + 1).collect::<Vec<_>>()
    );
    let (shard, _, reason) = &stored[0];
    assert!(*shard == 3 && reason.starts_with("route 'reads' reads the body: the body is not valid JSON"), "{reason}");
}

#[test]
fn a_nesting_bomb_is_poison_for_a_route_that_reads_bodies_only() {
    let bomb = b"[".repeat(200);
    let batch = batch(&[("d", JSON, &bomb), ("d", JSON, b"{}")]);
    let reads = table(&[route("reads", "IS_DEFINED($body.x)", &["a"])], &["a"], &["a"]);
    let poison = reads.route(&batch, &mut Scratch::default()).poison;
    assert_eq!(poison.iter().map(|poison| poison.row).collect::<Vec<_>>(), [0]);
    assert!(poison[0].reason.ends_with("the body nests deeper than 128 levels"), "{}", poison[0].reason);
    let blind = table(&[route("blind", "p = 'x'", &["a"])], &["a"], &["a"]);
    assert!(blind.route(&batch, &mut Scratch::default()).poison.is_empty());
}

#[test]
fn a_replaced_table_counts_from_the_next_batch() {
    let routes = Routes::new(table(&[], &["a"], &["a", "b"]), Arc::new(Letters::default()));
    let batch = batch(&[("d", "", b"")]);
    assert_eq!(routes.route(&batch).unwrap().of_endpoint("a", 1).0.count(), 1);
    routes.replace(table(&[], &["b"], &["a", "b"]));
    assert_eq!(routes.route(&batch).unwrap().of_endpoint("a", 1).0.count(), 0);
    assert_eq!(routes.route(&batch).unwrap().of_endpoint("b", 1).0.count(), 1);
}

proptest! {
    #[test]
    fn many_routes_answer_as_each_would_alone(
        picks in prop::collection::vec(0_usize..8, 1..12),
        bags in prop::collection::vec("(p=[ab1]&)?(q=[ab1]&)?(%24.ct=application%2Fjson&%24.ce=utf-8)?", 1..8),
    ) {
        const CONDITIONS: [&str; 8] = [
            "true", "p = 'a'", "NOT q = 'b'", "$connectionDeviceId = 'd1'", "$body.x > 1", "p IN ['a', '1'] OR $body.x = 1", "q > 0", "p != q",
        ];
        let lines: Vec<_> = bags.iter().enumerate()
            .map(|(row, bag)| (["d1", "d2"][row % 2], bag.as_str(), [&br#"{"x":1}"#[..], br#"{"x":2}"#, b"{"][row % 3]))
            .collect();
        let batch = batch(&lines);
        let names: Vec<String> = (0..picks.len()).map(|number| format!("e{number}")).collect();
        let specs: Vec<_> = picks.iter().zip(&names).map(|(&pick, name)| route(name, CONDITIONS[pick], &[name])).collect();
        let together = RouteTable::compile(&specs, &[], &fallback(&[]), &names, "h").unwrap().route(&batch, &mut Scratch::default());
        for (number, spec) in specs.iter().enumerate() {
            let mut alone = millrace_model::Selection::none(batch.len());
            millrace_router::Program::compile(&spec.condition).unwrap().evaluate(&batch, &mut Scratch::default(), &mut alone);
            prop_assert_eq!(&together.selections[number], &alone, "{}", spec.condition);
        }
    }
}
