//! Targets that refuse, and come back.

use super::*;

fn unavailable(result: Result<(), SinkError>) -> bool {
    matches!(result, Err(SinkError::Unavailable(_)))
}

#[test]
fn a_target_that_cannot_be_made_is_asked_again() {
    let bench = Bench::new(ParquetConfig::default());
    std::fs::write(bench.root(), "a file where a folder should be").unwrap();
    let mut sink = bench.sink();
    let refused = sink.resume(SHARD, Offset(0));
    assert!(matches!(refused, Err(SinkError::Unavailable(_))), "{refused:?}");
    std::fs::remove_file(bench.root()).unwrap();
    assert_eq!(sink.resume(SHARD, Offset(0)).unwrap(), Offset(0));
}

#[test]
fn a_whole_file_waits_until_it_can_be_published() {
    let mut bench = Bench::new(ParquetConfig { file_seconds: 60, ..ParquetConfig::default() });
    let mut sink = bench.started();
    let batches = journal(3, 10);
    let blocked = bench.root().join("date=2026-11-22");
    std::fs::write(&blocked, "a file where a folder should be").unwrap();
    bench.deliver(&mut sink, &batches[..1]);
    bench.pass(Duration::from_secs(60));
    let deadline = Instant::now() + Duration::from_secs(60);
    while !unavailable(sink.poll(bench.pass(Duration::from_millis(1)))) {
        assert!(Instant::now() < deadline, "the failure was not reported");
    }
    // Paused: nothing more is taken, nothing is lost, nothing is repeated in the log.
    assert!(unavailable(sink.deliver(&delivery(&batches[1]))));
    assert!(sink.poll(bench.now).is_ok());
    assert_eq!((sink.safe(SHARD), bench.temporaries()), (Offset(0), 1));
    assert!(unavailable(sink.drain(Instant::now() + Duration::from_secs(60))));
    std::fs::remove_file(&blocked).unwrap();
    bench.deliver(&mut sink, &batches);
    Bench::drain(&mut sink);
    assert_eq!(bench.offsets(), (0..30).collect::<Vec<_>>());
}

#[test]
fn rows_of_a_file_that_could_not_be_written_are_asked_for_again() {
    let mut bench = Bench::new(ParquetConfig { row_group_rows: 5000, ..ParquetConfig::default() });
    let mut sink = bench.started();
    let batches = journal(30, 1000);
    bench.deliver(&mut sink, &batches[..5]);
    Bench::drain(&mut sink);
    // The next temporary file is on a full disk.
    let writer = std::fs::read_to_string(bench.root().join("_writer-cold")).unwrap();
    let full = bench.root().join(format!("_temporary/{writer}-0-5000.parquet.tmp"));
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    let mut results = batches[5..].iter().map(|batch| sink.deliver(&delivery(batch)));
    let rewound = results.find(|result| result.is_err()).unwrap();
    assert!(matches!(rewound, Err(SinkError::Rewind(SHARD, Offset(5000)))), "{rewound:?}");
    assert!(!full.exists());
    assert!(unavailable(sink.deliver(&delivery(&batches[5]))), "a pause follows");
    bench.deliver(&mut sink, &batches[5..]);
    Bench::drain(&mut sink);
    assert_eq!(bench.offsets(), (0..30_000).collect::<Vec<_>>());
}

#[test]
fn a_file_that_cannot_be_created_loses_no_rows() {
    let mut bench = Bench::new(ParquetConfig { row_group_rows: 20, ..ParquetConfig::default() });
    let mut sink = bench.started();
    let temporary = bench.root().join("_temporary");
    std::fs::remove_dir(&temporary).unwrap();
    let batches = journal(6, 10);
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut at = 0;
    loop {
        assert!(Instant::now() < deadline, "the failure was not reported");
        match sink.deliver(&delivery(&batches[at])) {
            Ok(()) => at += 1,
            Err(error) => break assert!(matches!(error, SinkError::Unavailable(_))),
        }
    }
    std::fs::create_dir(&temporary).unwrap();
    bench.deliver(&mut sink, &batches[at..]);
    Bench::drain(&mut sink);
    assert_eq!(bench.offsets(), (0..60).collect::<Vec<_>>());
}

#[test]
fn a_damaged_writer_id_is_named() {
    let bench = Bench::new(ParquetConfig::default());
    std::fs::create_dir_all(bench.root()).unwrap();
    std::fs::write(bench.root().join("_writer-cold"), "not an id").unwrap();
    let error = bench.sink().resume(SHARD, Offset(0)).unwrap_err().to_string();
    assert!(error.contains("_writer-cold"), "{error}");
}

#[test]
fn a_shard_that_was_not_resumed_is_refused() {
    let mut sink = Bench::new(ParquetConfig::default()).sink();
    assert!(matches!(sink.deliver(&delivery(&journal(1, 1)[0])), Err(SinkError::Broken(_))));
}
