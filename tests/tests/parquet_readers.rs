//! Files of the Parquet sink, read by pyarrow and DuckDB, and its uploads to an S3 endpoint of this machine.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use millrace_model::batch::IdentitySlot;
use millrace_model::{
    BatchBuilder, DeadLetter, Delivery, Identity, IdentityRef, Message, MessageSource, Offset, Selection, ShardId,
    Sink, Timestamp,
};
use millrace_sinks_parquet::{ColumnConfig, ColumnKind, Options, ParquetConfig, ParquetSink};
use millrace_tests::python;

/// 2026-11-22T13:00:00Z
const HOUR: i64 = 1_795_352_400_000;

struct NoLetters;

impl DeadLetter for NoLetters {
    fn put(&self, _: &Message<'_>, _: &str, reason: &str) -> std::io::Result<()> {
        Err(std::io::Error::other(reason.to_owned()))
    }
}

fn config() -> ParquetConfig {
    let column =
        ColumnConfig { name: "temperature".to_owned(), path: "$.temperature".to_owned(), kind: ColumnKind::Double };
    ParquetConfig { columns: vec![column], row_group_rows: 1000, ..ParquetConfig::default() }
}

/// 4,000 messages of 10 devices over two days, a thousand each batch; what is left open at the end stays a temporary file.
fn write(config: &ParquetConfig, directory: &Path) -> ParquetSink {
    let mut sink = ParquetSink::new("cold", config, directory, Arc::new(NoLetters)).unwrap();
    let shard = ShardId(0);
    assert_eq!(sink.resume(shard, Offset(0)).unwrap(), Offset(0));
    let mut builder = BatchBuilder::new();
    for number in 0..4_i64 {
        for message in 0..1000_i64 {
            let device_id = format!("device-{}", message % 10);
            let fields = IdentityRef { device_id: &device_id, auth_method: "{}", ..IdentityRef::default() };
            let body = format!(r#"{{"temperature":{}}}"#, number * 1000 + message);
            builder.append(
                &Identity::new(&fields).unwrap(),
                &mut IdentitySlot::default(),
                MessageSource::Telemetry,
                Timestamp(HOUR + number / 2 * 86_400_000),
                [b"unit=%C2%B0C&empty", b""],
                body.as_bytes(),
            );
        }
        let batch = Arc::new(builder.seal(shard, Offset(u64::try_from(number).unwrap() * 1000)));
        let delivery = Delivery { selected: Selection::all(batch.len()), batch, enrichments: Arc::new([]) };
        let deadline = Instant::now() + Duration::from_secs(60);
        while sink.deliver(&delivery).is_err() {
            assert!(Instant::now() < deadline, "the sink does not take a batch");
            sink.poll(Instant::now()).unwrap();
        }
    }
    sink
}

#[test]
fn pyarrow_and_duckdb_read_what_is_complete() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("parquet");
    let mut sink = write(&config(), &root);
    sink.drain(Instant::now() + Duration::from_secs(60)).unwrap();
    // A file in the making, which readers must not touch.
    std::fs::write(root.join("_temporary/half.parquet.tmp"), "PAR1 and no more").unwrap();

    let output =
        Command::new(python::venv().unwrap()).arg(python::script("read_parquet.py")).arg(&root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let (arrow, duck) = (&read["arrow"], &read["duck"]);
    assert_eq!((&arrow["rows"], &arrow["offsets"]), (&4000.into(), &4000.into()));
    assert_eq!(arrow["enqueued_at_type"], "timestamp[ms, tz=UTC]");
    assert_eq!(arrow["device_id"], "device-0");
    assert_eq!(arrow["properties"], serde_json::json!([["unit", "°C"], ["empty", null]]));
    assert_eq!((&arrow["body"], &arrow["temperature"]), (&r#"{"temperature":0}"#.into(), &0.0.into()));
    let expected = serde_json::json!({
        "rows": 4000, "offsets": 4000, "devices": 10, "hottest": 3999.0, "dates": 2, "everything": 4000, "of_one": 400,
        "unit": "°C",
    });
    assert_eq!(*duck, expected);
}

/// An S3 endpoint of this machine, stopped with the value.
struct S3 {
    child: Child,
    address: String,
}

impl S3 {
    fn start(directory: &Path) -> Self {
        let mut child = Command::new(python::venv().unwrap())
            .arg(python::script("s3_server.py"))
            .current_dir(directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut address).unwrap();
        Self { child, address: address.trim().to_owned() }
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn an_object_store_gets_whole_files_which_a_restart_adopts() {
    let directory = tempfile::tempdir().unwrap();
    let server = S3::start(directory.path());
    let options = [
        ("endpoint", server.address.as_str()),
        ("region", "us-east-1"),
        ("allow_http", "true"),
        ("access_key_id", "test"),
        ("secret_access_key", "test"),
    ];
    let options: BTreeMap<_, _> = options.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let config = ParquetConfig { url: "s3://millrace/cold/data".to_owned(), options: Options(options), ..config() };
    let mut sink = write(&config, directory.path());
    sink.drain(Instant::now() + Duration::from_secs(60)).unwrap();
    assert_eq!(sink.safe(ShardId(0)), Offset(4000));
    drop(sink);
    let mut again = ParquetSink::new("cold", &config, directory.path(), Arc::new(NoLetters)).unwrap();
    assert_eq!(again.resume(ShardId(0), Offset(0)).unwrap(), Offset(4000));
    assert_eq!(std::fs::read_dir(directory.path().join("_temporary")).unwrap().count(), 0);
}
