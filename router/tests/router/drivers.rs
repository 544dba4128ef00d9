//! Drivers over a real journal, with a sink that does as the test tells it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use millrace_journal::{Journal, JournalConfig};
use millrace_model::{DeadLetter, Delivery, MessageSource, Offset, ShardId, Sink, SinkError};
use millrace_router::driver::{self, DriverConfig, DriverHandle, DriverState, Wake};
use millrace_router::{Routes, Trimmer};

use crate::support::{Line, batch_at};
use crate::tables::{Letters, route, table};

const PATIENCE: Duration = Duration::from_secs(20);

/// What a sink does with its next deliveries, and what it got.
#[derive(Default)]
struct Script {
    /// Answers to the next deliveries, first one last.
    answers: Vec<SinkError>,
    /// Answered to everything while set.
    outage: Option<String>,
    /// Answered to every poll while set.
    poll_outage: Option<String>,
    /// The shard whose deliveries are refused.
    refused_shard: Option<u16>,
    /// Whether it has room for one delivery at a time: the next one finds it full.
    has_little_room: bool,
    is_full: bool,
    /// Shards of what was taken, in order.
    order: Vec<u16>,
    /// Whether what is taken becomes safe at once.
    holds_back: bool,
    taken: BTreeMap<u16, Vec<u64>>,
    safe: BTreeMap<u16, u64>,
    /// End of the last batch taken.
    position: BTreeMap<u16, u64>,
    drained: bool,
}

#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Script>>);

impl Scripted {
    fn with<T>(&self, act: impl FnOnce(&mut Script) -> T) -> T {
        act(&mut self.0.lock().unwrap())
    }

    fn taken(&self, shard: u16) -> Vec<u64> {
        self.with(|script| script.taken.get(&shard).cloned().unwrap_or_default())
    }
}

impl Sink for Scripted {
    fn resume(&mut self, shard: ShardId, cursor: Offset) -> Result<Offset, SinkError> {
        self.with(|script| {
            if let Some(reason) = &script.outage {
                return Err(SinkError::Unavailable(reason.clone()));
            }
            script.safe.insert(shard.0, cursor.0);
            script.position.insert(shard.0, cursor.0);
            Ok(cursor)
        })
    }

    fn deliver(&mut self, delivery: &Delivery) -> Result<(), SinkError> {
        self.with(|script| {
            if let Some(error) = script.answers.pop() {
                if let SinkError::Rewind(shard, to) = error {
                    script.position.insert(shard.0, to.0);
                }
                return Err(error);
            }
            if let Some(reason) = &script.outage {
                return Err(SinkError::Unavailable(reason.clone()));
            }
            let shard = delivery.batch.shard().0;
            if script.refused_shard == Some(shard) {
                return Err(SinkError::Unavailable("this shard's file".to_owned()));
            }
            if script.has_little_room {
                script.is_full = !script.is_full;
                if !script.is_full {
                    return Err(SinkError::Busy);
                }
            }
            script.order.push(shard);
            let position = script.position.insert(shard, delivery.batch.end().0).unwrap();
            assert!(delivery.batch.base().0 <= position && position <= delivery.batch.end().0, "a gap or a step back");
            script.taken.entry(shard).or_default().extend(delivery.messages().map(|message| message.offset.0));
            if !script.holds_back {
                script.safe.insert(shard, delivery.batch.end().0);
            }
            Ok(())
        })
    }

    fn poll(&mut self, _now: Instant) -> Result<(), SinkError> {
        self.with(|script| script.poll_outage.clone()).map_or(Ok(()), |reason| Err(SinkError::Unavailable(reason)))
    }

    fn safe(&self, shard: ShardId) -> Offset {
        Offset(self.with(|script| script.safe.get(&shard.0).copied().unwrap_or_default()))
    }

    fn drain(&mut self, _deadline: Instant) -> Result<(), SinkError> {
        self.with(|script| {
            script.drained = true;
            script.safe = script.position.clone();
        });
        Ok(())
    }
}

struct Bench {
    directory: tempfile::TempDir,
    journals: Vec<Journal>,
    letters: Arc<Letters>,
    routes: Arc<Routes>,
}

fn journals(directory: &Path, shards: u16) -> Vec<Journal> {
    let config = JournalConfig {
        sync: false,
        sync_interval_us: 0,
        keep_free_bytes: 0,
        segment_bytes: 1 << 20,
        ..JournalConfig::default()
    };
    (0..shards).map(|shard| Journal::open(ShardId(shard), &directory.join("journal"), &config).unwrap().0).collect()
}

fn bench(shards: u16) -> Bench {
    let directory = tempfile::tempdir().unwrap();
    let letters = Arc::new(Letters::default());
    let specs = [
        route("odd", "odd = 'true'", &["odd"]),
        route("all", "true", &["all"]),
        route("body", "$body.x = 1", &["body"]),
    ];
    let table = table(&specs, &[], &["odd", "all", "body"]);
    let dead_letters: Arc<dyn DeadLetter> = Arc::<Letters>::clone(&letters);
    let routes = Arc::new(Routes::new(table, dead_letters));
    Bench { journals: journals(directory.path(), shards), directory, letters, routes }
}

impl Bench {
    fn start(&self, name: &str, sink: &Scripted) -> DriverHandle {
        let config =
            DriverConfig { directory: self.directory.path().to_owned(), wake: Wake::Every(Duration::from_millis(1)) };
        driver::start(name, Box::new(sink.clone()), self.journals.clone(), Arc::clone(&self.routes), &config).unwrap()
    }

    /// Appends batches of ten messages and waits until they are durable.
    fn append(&self, shard: u16, batches: u64) {
        let journal = &self.journals[usize::from(shard)];
        for _ in 0..batches {
            let base = journal.next_offset();
            let bags: Vec<_> = (0..10).map(|row| format!("odd={}", (base.0 + row) % 2 == 1)).collect();
            let lines: Vec<Line<'_>> = bags.iter().map(|bag| ("d", bag.as_str(), &b"{}"[..])).collect();
            let batch = batch_at(ShardId(shard), base, MessageSource::Telemetry, &lines);
            let end = batch.end();
            journal.appender().append(batch).unwrap();
            until("durable", || journal.durable().offset() >= end);
        }
    }
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}

fn soon() -> Instant {
    Instant::now() + PATIENCE
}

#[test]
fn every_sink_gets_its_messages_of_every_shard_in_order() {
    let bench = bench(2);
    let (odd, all) = (Scripted::default(), Scripted::default());
    let handles = [bench.start("odd", &odd), bench.start("all", &all)];
    bench.append(0, 5);
    bench.append(1, 3);
    until("delivered", || all.taken(0).len() == 50 && all.taken(1).len() == 30);
    until("delivered to the other too", || odd.taken(0).len() == 25 && odd.taken(1).len() == 15);
    assert_eq!(all.taken(0), (0..50).collect::<Vec<_>>());
    assert_eq!(odd.taken(1), (0..30).filter(|offset| offset % 2 == 1).collect::<Vec<_>>());
    until("safe", || handles.iter().all(|handle| handle.lag() == [0, 0]));
    for handle in handles {
        assert_eq!(handle.state(), DriverState::Running);
        let drained = handle.drain(soon());
        assert_eq!((drained.left, drained.reason), (0, None));
    }
    assert!(odd.with(|script| script.drained));
    assert_eq!(std::fs::read_to_string(bench.directory.path().join("cursors/all-shard-1")).unwrap(), "30\n");
}

#[test]
fn a_dead_sink_holds_up_nobody_and_catches_up() {
    let bench = bench(1);
    let (dead, all) = (Scripted::default(), Scripted::default());
    dead.with(|script| script.outage = Some("broker is down".to_owned()));
    let handles = [bench.start("odd", &dead), bench.start("all", &all)];
    bench.append(0, 20);
    until("delivered", || all.taken(0).len() == 200);
    until("known", || matches!(handles[0].state(), DriverState::Waiting { reason, .. } if reason == "broker is down"));
    assert_eq!(handles[0].lag(), [200]);
    dead.with(|script| script.outage = None);
    until("caught up", || dead.taken(0).len() == 100);
    until("recovered", || handles[0].state() == DriverState::Running && handles[0].lag() == [0]);
}

#[test]
fn a_refused_batch_is_offered_again_until_taken() {
    let bench = bench(1);
    let sink = Scripted::default();
    sink.with(|script| {
        script.answers = (0..6)
            .map(|number| match number % 2 {
                0 => SinkError::Busy,
                _ => SinkError::Unavailable("flaky".to_owned()),
            })
            .collect()
    });
    let handle = bench.start("all", &sink);
    bench.append(0, 3);
    until("delivered", || sink.taken(0).len() == 30);
    assert_eq!(sink.taken(0), (0..30).collect::<Vec<_>>());
    until("recovered", || handle.state() == DriverState::Running);
}

#[test]
fn a_sink_in_trouble_that_still_takes_batches_gets_them() {
    let bench = bench(1);
    let sink = Scripted::default();
    sink.with(|script| script.poll_outage = Some("its own state cannot be written".to_owned()));
    let handle = bench.start("all", &sink);
    until("known", || matches!(handle.state(), DriverState::Waiting { .. }));
    bench.append(0, 20);
    until("delivered", || sink.taken(0).len() == 200);
    assert!(matches!(handle.state(), DriverState::Waiting { .. }), "a batch that is taken does not end the trouble");
    sink.with(|script| script.poll_outage = None);
    until("recovered", || handle.state() == DriverState::Running);
}

#[test]
fn a_shard_that_is_refused_holds_up_no_other_shard() {
    let bench = bench(2);
    let sink = Scripted::default();
    sink.with(|script| script.refused_shard = Some(0));
    let handle = bench.start("all", &sink);
    bench.append(0, 1);
    until("refused", || matches!(handle.state(), DriverState::Waiting { .. }));
    // One batch for each pause of an outage would take minutes.
    bench.append(1, 200);
    until("the other shard", || sink.taken(1).len() == 2000);
    assert!(matches!(handle.state(), DriverState::Waiting { .. }), "the other shard does not end the outage");
    sink.with(|script| script.refused_shard = None);
    until("this shard", || sink.taken(0).len() == 10);
    until("recovered", || handle.state() == DriverState::Running);
}

#[test]
fn a_sink_that_is_always_full_serves_its_shards_in_turn() {
    let bench = bench(2);
    bench.append(0, 20);
    bench.append(1, 20);
    let sink = Scripted::default();
    sink.with(|script| script.has_little_room = true);
    let _handle = bench.start("all", &sink);
    until("delivered", || sink.taken(0).len() == 200 && sink.taken(1).len() == 200);
    let order = sink.with(|script| script.order.clone());
    let early = order.iter().take(20).filter(|&&shard| shard == 1).count();
    assert!((8..=12).contains(&early), "{order:?}");
}

#[test]
fn a_new_table_that_reads_bodies_buries_poison_of_batches_seen_before() {
    let letters = Arc::new(Letters::default());
    let dead_letters: Arc<dyn DeadLetter> = Arc::<Letters>::clone(&letters);
    let plain = table(&[route("all", "true", &["all"])], &[], &["all"]);
    let routes = Routes::new(plain, dead_letters);
    let batch = batch_at(ShardId(0), Offset(0), MessageSource::Telemetry, &[("d", crate::support::JSON, b"{")]);
    routes.route(&batch).unwrap();
    assert_eq!(letters.stored.lock().unwrap().len(), 0);
    routes.replace(table(&[route("body", "$body.x = 1", &["all"])], &[], &["all"]));
    for _ in 0..2 {
        routes.route(&batch).unwrap();
        assert_eq!(letters.stored.lock().unwrap().len(), 1, "once for each table");
    }
}

#[test]
fn a_crash_before_the_cursor_repeats_messages_and_loses_none() {
    let mut bench = bench(1);
    let sink = Scripted::default();
    bench.append(0, 4);
    let handle = bench.start("all", &sink);
    until("delivered", || sink.taken(0).len() == 40);
    assert_eq!(handle.drain(soon()).left, 0);
    // From here on nothing that is taken becomes safe, and the sink forgets it: as after a crash.
    let lost = Scripted::default();
    lost.with(|script| script.holds_back = true);
    let handle = bench.start("all", &lost);
    bench.append(0, 2);
    until("delivered", || lost.taken(0).len() == 20);
    assert_eq!(handle.lag(), [20]);
    std::mem::forget(handle);
    let after = Scripted::default();
    let directory = bench.directory.path().to_owned();
    bench.journals.drain(..).for_each(|journal| journal.close().unwrap());
    let copy = directory.join("after the crash");
    std::fs::create_dir_all(copy.join("journal/shard-0")).unwrap();
    for file in std::fs::read_dir(directory.join("journal/shard-0")).unwrap().map(|entry| entry.unwrap().path()) {
        std::fs::copy(&file, copy.join("journal/shard-0").join(file.file_name().unwrap())).unwrap();
    }
    std::fs::create_dir_all(copy.join("cursors")).unwrap();
    std::fs::copy(directory.join("cursors/all-shard-0"), copy.join("cursors/all-shard-0")).unwrap();
    bench.journals = journals(&copy, 1);
    let config = DriverConfig { directory: copy, wake: Wake::EachSync };
    let handle =
        driver::start("all", Box::new(after.clone()), bench.journals.clone(), Arc::clone(&bench.routes), &config)
            .unwrap();
    until("delivered again", || after.taken(0).len() == 20);
    assert_eq!(after.taken(0), (40..60).collect::<Vec<_>>());
    drop(handle);
}

#[test]
fn a_sink_that_rewinds_gets_everything_from_there_and_nothing_before() {
    let bench = bench(1);
    let sink = Scripted::default();
    bench.append(0, 3);
    let handle = bench.start("all", &sink);
    until("delivered", || sink.taken(0).len() == 30);
    sink.with(|script| {
        script.taken.clear();
        script.answers.push(SinkError::Rewind(ShardId(0), Offset(13)));
    });
    bench.append(0, 1);
    until("delivered again", || sink.taken(0).len() == 27);
    assert_eq!(sink.taken(0), (13..40).collect::<Vec<_>>());
    assert_eq!(handle.drain(soon()).left, 0);
}

#[test]
fn a_broken_sink_stops_and_says_so() {
    let bench = bench(1);
    let (broken, all) = (Scripted::default(), Scripted::default());
    broken.with(|script| script.answers.push(SinkError::Broken("no such topic".to_owned())));
    let handles = [bench.start("odd", &broken), bench.start("all", &all)];
    bench.append(0, 2);
    until("broken", || handles[0].state() == DriverState::Broken { reason: "no such topic".to_owned() });
    until("others go on", || all.taken(0).len() == 20);
    let [broken, _] = handles;
    let drained = broken.drain(soon());
    assert_eq!((drained.left, drained.reason.as_deref()), (20, Some("no such topic")));
}

#[test]
fn a_drain_ends_at_its_deadline_with_the_rest_in_the_journal() {
    let bench = bench(1);
    let sink = Scripted::default();
    bench.append(0, 2);
    let handle = bench.start("all", &sink);
    until("delivered", || sink.taken(0).len() == 20);
    sink.with(|script| script.outage = Some("down".to_owned()));
    bench.append(0, 1);
    until("waits", || matches!(handle.state(), DriverState::Waiting { .. }));
    let drained = handle.drain(Instant::now() + Duration::from_millis(100));
    assert_eq!((drained.left, drained.reason.as_deref()), (10, Some("down")));
}

#[test]
fn poison_that_cannot_be_stored_holds_the_batch_back() {
    let bench = bench(1);
    let sink = Scripted::default();
    bench.letters.refuses.store(true, std::sync::atomic::Ordering::Relaxed);
    let handle = bench.start("all", &sink);
    let batch = batch_at(ShardId(0), Offset(0), MessageSource::Telemetry, &[("d", crate::support::JSON, b"{")]);
    bench.journals[0].appender().append(batch).unwrap();
    until(
        "waits",
        || matches!(handle.state(), DriverState::Waiting { reason, .. } if reason.starts_with("dead-letter store")),
    );
    assert!(sink.taken(0).is_empty());
    bench.letters.refuses.store(false, std::sync::atomic::Ordering::Relaxed);
    until("delivered", || sink.taken(0) == [0]);
    assert_eq!(bench.letters.stored.lock().unwrap().len(), 1);
}

#[test]
fn a_driver_is_woken_by_each_sync() {
    let bench = bench(1);
    let sink = Scripted::default();
    let config = DriverConfig { directory: bench.directory.path().to_owned(), wake: Wake::EachSync };
    let handle =
        driver::start("all", Box::new(sink.clone()), bench.journals.clone(), Arc::clone(&bench.routes), &config)
            .unwrap();
    bench.journals[0].durable().listen(handle.listener());
    bench.append(0, 10);
    until("delivered", || sink.taken(0).len() == 100);
    assert_eq!(handle.drain(soon()).left, 0);
}

#[test]
fn a_cursor_that_is_damaged_or_a_bad_name_stops_the_start() {
    let bench = bench(1);
    let config = DriverConfig { directory: bench.directory.path().to_owned(), wake: Wake::EachSync };
    let start = |name: &str| {
        driver::start(name, Box::new(Scripted::default()), bench.journals.clone(), Arc::clone(&bench.routes), &config)
    };
    assert!(start("../all").is_err());
    std::fs::create_dir_all(bench.directory.path().join("cursors")).unwrap();
    std::fs::write(bench.directory.path().join("cursors/all-shard-0"), "junk").unwrap();
    assert!(start("all").is_err());
}

#[test]
fn only_what_every_cursor_on_disk_has_behind_it_is_trimmed() {
    let bench = bench(1);
    let (fast, slow) = (Scripted::default(), Scripted::default());
    slow.with(|script| script.holds_back = true);
    let handles = [bench.start("odd", &fast), bench.start("all", &slow)];
    let trimmer = Trimmer::start(bench.journals.clone(), &handles).unwrap();
    // Incompressible enough for several segments.
    let bodies: Vec<Vec<u8>> = (0..24_u64).map(noise).collect();
    for body in &bodies {
        let base = bench.journals[0].next_offset();
        let batch = batch_at(ShardId(0), base, MessageSource::Telemetry, &[("d", "odd=true", body)]);
        bench.journals[0].appender().append(batch).unwrap();
    }
    until("taken", || fast.taken(0).len() == 24 && slow.taken(0).len() == 24);
    until("stored", || handles[0].stored()[0].offset() == Offset(24));
    assert_eq!((bench.journals[0].oldest(), handles[1].stored()[0].offset()), (Offset(0), Offset(0)));
    slow.with(|script| {
        script.safe = script.position.clone();
    });
    until("trimmed", || bench.journals[0].oldest() > Offset(0));
    drop(trimmer);
}

fn noise(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(step).take(200_000).collect()
}
