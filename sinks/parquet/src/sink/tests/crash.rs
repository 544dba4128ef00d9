//! Every row once, wherever the process stops and however old the cursor is that it starts again with.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;

fn small() -> ParquetConfig {
    ParquetConfig { file_bytes: 1, row_group_rows: 30, file_seconds: 1, ..ParquetConfig::default() }
}

/// Runs from the cursor for at most `steps` calls, then drops everything, as a kill would. The cursor follows `lag` steps behind.
fn run(bench: &mut Bench, batches: &[Arc<Batch>], cursor: &mut Offset, steps: usize, lag: usize) {
    let mut sink = bench.sink();
    let from = sink.resume(SHARD, *cursor).unwrap();
    assert!(from >= *cursor);
    let mut seen = VecDeque::new();
    let mut at = batches.partition_point(|batch| batch.end() <= from);
    for _ in 0..steps {
        if let Some(batch) = batches.get(at) {
            let mut delivery = delivery(batch);
            let below = usize::try_from(from.0.saturating_sub(batch.base().0)).unwrap();
            (0..below.min(batch.len())).for_each(|row| delivery.selected.remove(row));
            at += usize::from(sink.deliver(&delivery).is_ok());
        }
        sink.poll(bench.pass(Duration::from_millis(50))).unwrap();
        seen.push_back(sink.safe(SHARD));
        if seen.len() > lag {
            *cursor = seen.pop_front().unwrap().max(*cursor);
        }
    }
}

fn finish(bench: &mut Bench, batches: &[Arc<Batch>], cursor: Offset) {
    let mut sink = bench.sink();
    let from = sink.resume(SHARD, cursor).unwrap();
    let at = batches.partition_point(|batch| batch.end() <= from);
    bench.deliver(&mut sink, &batches[at..]);
    Bench::drain(&mut sink);
    assert_eq!(sink.safe(SHARD), batches.last().unwrap().end());
    let expected: Vec<u64> = (0..batches.last().unwrap().end().0).collect();
    assert_eq!(bench.offsets(), expected);
    assert_eq!(bench.temporaries(), 0);
}

#[test]
fn a_half_written_file_is_replaced() {
    let mut bench = Bench::new(ParquetConfig { file_bytes: 1_000_000, ..small() });
    let batches = journal(10, 10);
    let mut sink = bench.started();
    bench.deliver(&mut sink, &batches[..5]);
    drop(sink);
    assert_eq!((bench.files().len(), bench.temporaries()), (0, 1));
    finish(&mut bench, &batches, Offset(0));
}

#[test]
fn a_complete_file_past_the_cursor_is_adopted() {
    let mut bench = Bench::new(small());
    let batches = journal(10, 10);
    let mut sink = bench.started();
    bench.deliver(&mut sink, &batches[..4]);
    bench.until(&mut sink, |sink| sink.safe(SHARD) > Offset(0));
    let safe = sink.safe(SHARD);
    drop(sink);
    let mut sink = bench.sink();
    assert!(sink.resume(SHARD, Offset(0)).unwrap() >= safe);
    drop(sink);
    finish(&mut bench, &batches, Offset(0));
}

#[test]
fn a_gap_between_files_is_filled_and_no_more() {
    let mut bench = Bench::new(ParquetConfig::default());
    let batches = journal(10, 10);
    let mut sink = bench.started();
    for three in batches[..9].chunks(3) {
        bench.deliver(&mut sink, three);
        Bench::drain(&mut sink);
    }
    drop(sink);
    let files = bench.files();
    assert_eq!(files.len(), 3);
    std::fs::remove_file(&files[1]).unwrap();
    let mut sink = bench.sink();
    assert_eq!(sink.resume(SHARD, Offset(0)).unwrap(), Offset(30));
    drop(sink);
    finish(&mut bench, &batches, Offset(0));
    std::fs::remove_file(&bench.files()[0]).unwrap();
    finish(&mut bench, &batches, Offset(0));
}

#[test]
fn files_of_other_writers_and_shards_are_not_adopted() {
    let mut bench = Bench::new(ParquetConfig::default());
    let folder = bench.root().join("date=2026-11-22/hour=13");
    std::fs::create_dir_all(&folder).unwrap();
    let other = folder.join("shard-0-offset-0-1000-abc.parquet");
    std::fs::write(&other, "").unwrap();
    std::fs::write(folder.join("_notes"), "").unwrap();
    let mut sink = bench.started();
    bench.deliver(&mut sink, &journal(1, 10));
    Bench::drain(&mut sink);
    assert_eq!(sink.resume(ShardId(1), Offset(0)).unwrap(), Offset(0));
    std::fs::remove_file(other).unwrap();
    assert_eq!(bench.offsets(), (0..10).collect::<Vec<_>>());
}

#[test]
fn overlapping_files_are_reported_by_name() {
    let mut bench = Bench::new(ParquetConfig::default());
    let mut sink = bench.started();
    bench.deliver(&mut sink, &journal(1, 10));
    Bench::drain(&mut sink);
    let name = bench.files()[0].file_name().unwrap().to_str().unwrap().to_owned();
    let copy = name.replace("-00000000000000000000-", "-00000000000000000005-");
    std::fs::copy(&bench.files()[0], bench.files()[0].with_file_name(&copy)).unwrap();
    let error = bench.sink().resume(SHARD, Offset(0)).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, SinkError::Broken(_)) && text.contains(&name) && text.contains(&copy), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn every_row_once_wherever_it_stops(crashes in prop::collection::vec((0_usize..40, 0_usize..20), 1..6)) {
        let mut bench = Bench::new(small());
        let batches = journal(25, 13);
        let mut cursor = Offset(0);
        for (steps, lag) in crashes {
            run(&mut bench, &batches, &mut cursor, steps, lag);
        }
        finish(&mut bench, &batches, cursor);
    }
}
