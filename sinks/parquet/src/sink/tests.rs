//! The sink driven as the router drives it, its files read back by the parquet crate.

mod content;
mod crash;
mod failure;
mod roll;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::array::cast::AsArray as _;
use arrow::datatypes::UInt64Type;
use millrace_model::batch::IdentitySlot;
use millrace_model::{
    Batch, BatchBuilder, DeadLetter, Delivery, Enrichment, Identity, IdentityRef, Message, MessageSource, Offset,
    Selection, ShardId, Sink, SinkError, Timestamp,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::ParquetSink;
use crate::config::ParquetConfig;

const SHARD: ShardId = ShardId(0);
/// 2026-11-22T13:00:00Z
const HOUR: i64 = 1_795_352_400_000;

/// Keeps what it is given.
#[derive(Default)]
struct Letters(Mutex<Vec<(Offset, String)>>);

impl DeadLetter for Letters {
    fn put(&self, message: &Message<'_>, _endpoint: &str, reason: &str) -> std::io::Result<()> {
        self.0.lock().unwrap().push((message.offset, reason.to_owned()));
        Ok(())
    }
}

/// One message to append.
#[derive(Clone)]
struct Sent {
    device: String,
    enqueued_at: i64,
    bag: String,
    body: Vec<u8>,
}

impl Sent {
    fn new(device: impl Into<String>, enqueued_at: i64) -> Self {
        Self { device: device.into(), enqueued_at, bag: String::new(), body: b"{}".to_vec() }
    }
}

fn identity(device_id: &str) -> Identity {
    Identity::new(&IdentityRef { device_id, generation_id: "1", auth_method: "{}", ..IdentityRef::default() }).unwrap()
}

fn batch(base: u64, sent: &[Sent]) -> Arc<Batch> {
    let mut builder = BatchBuilder::new();
    for sent in sent {
        let mut slot = IdentitySlot::default();
        let time = Timestamp(sent.enqueued_at);
        let bag = [sent.bag.as_bytes(), b""];
        builder.append(&identity(&sent.device), &mut slot, MessageSource::Telemetry, time, bag, &sent.body);
    }
    Arc::new(builder.seal(SHARD, Offset(base)))
}

/// Batches of `size` messages of 7 devices, one after the other.
fn journal(batches: u64, size: u64) -> Vec<Arc<Batch>> {
    (0..batches)
        .map(|number| {
            let base = number * size;
            let sent: Vec<_> = (base..base + size)
                .map(|offset| Sent {
                    body: format!(r#"{{"n":{offset}}}"#).into_bytes(),
                    ..Sent::new(format!("device-{}", offset % 7), HOUR + i64::try_from(offset).unwrap())
                })
                .collect();
            batch(base, &sent)
        })
        .collect()
}

fn delivery(batch: &Arc<Batch>) -> Delivery {
    Delivery { batch: Arc::clone(batch), selected: Selection::all(batch.len()), enrichments: Arc::new([]) }
}

/// A folder, a configuration, and a clock that the test moves.
struct Bench {
    directory: tempfile::TempDir,
    config: ParquetConfig,
    letters: Arc<Letters>,
    now: Instant,
}

impl Bench {
    fn new(config: ParquetConfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory, config, letters: Arc::default(), now: Instant::now() }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("parquet")
    }

    fn sink(&self) -> ParquetSink {
        let letters: Arc<dyn DeadLetter> = self.letters.clone();
        ParquetSink::new("cold", &self.config, &self.root(), letters).unwrap()
    }

    /// A sink that was resumed at 0.
    fn started(&self) -> ParquetSink {
        let mut sink = self.sink();
        assert_eq!(sink.resume(SHARD, Offset(0)).unwrap(), Offset(0));
        sink
    }

    fn pass(&mut self, time: Duration) -> Instant {
        self.now += time;
        self.now
    }

    /// Delivers until everything is taken, as the router would.
    fn deliver(&mut self, sink: &mut ParquetSink, batches: &[Arc<Batch>]) {
        let deliveries: Vec<_> = batches.iter().map(delivery).collect();
        self.deliver_all(sink, &deliveries);
    }

    fn deliver_all(&mut self, sink: &mut ParquetSink, deliveries: &[Delivery]) {
        let mut at = 0;
        let deadline = Instant::now() + Duration::from_secs(20);
        while let Some(delivery) = deliveries.get(at) {
            assert!(Instant::now() < deadline, "the sink does not take everything");
            let taken = sink.deliver(delivery);
            let polled = sink.poll(self.pass(Duration::from_micros(10)));
            let rewound = [&taken, &polled].into_iter().find_map(|result| match result {
                Err(SinkError::Rewind(_, offset)) => Some(*offset),
                Err(SinkError::Broken(reason)) => panic!("{reason}"),
                _ => None,
            });
            match rewound {
                Some(offset) => at = deliveries.partition_point(|delivery| delivery.batch.end() <= offset),
                None if taken.is_ok() => at += 1,
                None if matches!(taken, Err(SinkError::Unavailable(_))) => {
                    self.pass(Duration::from_secs(1));
                }
                None => {}
            }
        }
    }

    fn drain(sink: &mut ParquetSink) {
        sink.drain(Instant::now() + Duration::from_secs(60)).unwrap();
    }

    /// Polls until `done`.
    fn until(&mut self, sink: &mut ParquetSink, done: impl Fn(&ParquetSink) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while !done(sink) {
            assert!(Instant::now() < deadline, "did not come about");
            sink.poll(self.pass(Duration::from_millis(1))).unwrap();
            std::thread::yield_now();
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        files(&self.root())
    }

    fn names(&self) -> Vec<String> {
        let root = self.root();
        let name = |path: &PathBuf| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        // Without the writer's id, which differs from run to run.
        self.files()
            .iter()
            .map(|path| name(path).rsplit_once('-').unwrap().0.replace("00000000000000000", ""))
            .collect()
    }

    /// Offsets of all rows of all files, sorted.
    fn offsets(&self) -> Vec<u64> {
        let mut offsets: Vec<u64> = self
            .files()
            .iter()
            .flat_map(|path| read(path))
            .flat_map(|rows| rows["offset"].as_primitive::<UInt64Type>().values().to_vec())
            .collect();
        offsets.sort_unstable();
        offsets
    }

    fn temporaries(&self) -> usize {
        std::fs::read_dir(self.root().join("_temporary")).map_or(0, Iterator::count)
    }
}

/// What a reader would take for data: everything but names that start with `_`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with('_') {
            continue;
        }
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

fn read(path: &Path) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap();
    reader.map(Result::unwrap).collect()
}

/// The only file, as one record batch.
fn only(bench: &Bench) -> RecordBatch {
    let files = bench.files();
    assert_eq!(files.len(), 1, "{files:?}");
    let rows = read(&files[0]);
    assert_eq!(rows.len(), 1);
    rows[0].clone()
}

fn strings(rows: &RecordBatch, column: &str) -> Vec<Option<String>> {
    rows[column].as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|&text| Some(text.to_owned())).collect()
}

fn enrichment(key: &str, value: &str) -> Enrichment {
    Enrichment { key: key.to_owned(), value: value.to_owned() }
}
