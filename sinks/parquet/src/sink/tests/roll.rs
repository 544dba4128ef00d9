//! When files end, and what their names say.

use super::*;

#[test]
fn a_file_ends_at_its_size() {
    let config = ParquetConfig { file_bytes: 8_000, row_group_rows: 1000, ..ParquetConfig::default() };
    let mut bench = Bench::new(config);
    let mut sink = bench.started();
    bench.deliver(&mut sink, &journal(100, 100));
    Bench::drain(&mut sink);
    let files = bench.files();
    assert!(files.len() > 2, "{files:?}");
    let bytes = |path: &PathBuf| path.metadata().unwrap().len();
    assert!(files.iter().rev().skip(1).all(|path| (8_000..60_000).contains(&bytes(path))));
    assert_eq!(bench.offsets(), (0..10_000).collect::<Vec<_>>());
}

#[test]
fn a_file_ends_when_its_first_row_has_waited() {
    let mut bench = Bench::new(ParquetConfig { file_seconds: 60, ..ParquetConfig::default() });
    let mut sink = bench.started();
    let batches = journal(2, 10);
    bench.deliver(&mut sink, &batches[..1]);
    sink.poll(bench.pass(Duration::from_secs(59))).unwrap();
    assert_eq!((bench.files().len(), sink.safe(SHARD)), (0, Offset(0)));
    bench.pass(Duration::from_secs(1));
    bench.until(&mut sink, |sink| sink.safe(SHARD) == Offset(10));
    assert_eq!(bench.names(), ["date=2026-11-22/hour=13/shard-0-offset-000-010"]);
    // Nothing to write, nothing to end.
    sink.poll(bench.pass(Duration::from_secs(1000))).unwrap();
    bench.deliver(&mut sink, &batches[1..]);
    sink.poll(bench.pass(Duration::from_secs(59))).unwrap();
    assert_eq!(bench.files().len(), 1);
    Bench::drain(&mut sink);
    assert_eq!(bench.files().len(), 2);
    assert_eq!(bench.temporaries(), 0);
}

#[test]
fn a_file_belongs_to_one_hour() {
    let mut bench = Bench::new(ParquetConfig::default());
    let mut sink = bench.started();
    let hour = 3_600_000;
    let times = [0, 1, hour - 1, hour, hour + 1, 11 * hour, 10 * hour, 10 * hour];
    let sent = times.map(|time| Sent::new("d", HOUR + time));
    bench.deliver(&mut sink, &[batch(0, &sent)]);
    Bench::drain(&mut sink);
    let expected = [
        "date=2026-11-22/hour=13/shard-0-offset-000-003",
        "date=2026-11-22/hour=14/shard-0-offset-003-005",
        "date=2026-11-22/hour=23/shard-0-offset-006-008",
        "date=2026-11-23/hour=00/shard-0-offset-005-006",
    ];
    assert_eq!(bench.names(), expected);
    assert_eq!(bench.offsets(), (0..8).collect::<Vec<_>>());
}

#[test]
fn names_cover_messages_that_were_not_selected() {
    let mut bench = Bench::new(ParquetConfig::default());
    let mut sink = bench.started();
    let batches = journal(4, 10);
    let nothing = |batch| Delivery { selected: Selection::none(10), ..delivery(batch) };
    bench.deliver_all(&mut sink, &[nothing(&batches[0])]);
    assert_eq!((sink.safe(SHARD), bench.files().len()), (Offset(10), 0));
    bench.deliver_all(&mut sink, &[delivery(&batches[1]), nothing(&batches[2])]);
    assert_eq!(sink.safe(SHARD), Offset(10));
    Bench::drain(&mut sink);
    assert_eq!(sink.safe(SHARD), Offset(30));
    assert_eq!(bench.names(), ["date=2026-11-22/hour=13/shard-0-offset-000-030"]);
}

#[test]
fn memory_stays_within_its_share() {
    let config = ParquetConfig { memory_bytes_max: 12 * 1024 * 1024, ..ParquetConfig::default() };
    let mut bench = Bench::new(config);
    let mut sink = bench.started();
    sink.resume(ShardId(1), Offset(0)).unwrap();
    assert_eq!(sink.workshop.row_group_bytes, 2 * 1024 * 1024);
    let batches = journal(200, 500);
    bench.deliver(&mut sink, &batches);
    Bench::drain(&mut sink);
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&bench.files()[0]).unwrap()).unwrap();
    assert!(reader.metadata().num_row_groups() >= 3, "{}", reader.metadata().num_row_groups());
}
