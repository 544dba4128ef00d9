//! With its thread, on the real file system.

use std::sync::mpsc;
use std::time::Duration;

use millrace_model::Offset;

use super::{SHARD, batch, read_all};
use crate::{Health, Journal, JournalConfig, JournalError, inspect};

fn config() -> JournalConfig {
    JournalConfig { segment_bytes: 64 * 1024, keep_free_bytes: 0, recent_bytes: 50_000, ..JournalConfig::default() }
}

/// Tells the test each time more is durable.
fn watch(journal: &Journal) -> mpsc::Receiver<Offset> {
    let (sender, receiver) = mpsc::sync_channel(10_000);
    let listener = move |offset| assert!(sender.try_send(offset).is_ok());
    journal.durable().listen(Box::new(listener));
    receiver
}

fn wait_for(durable: &mpsc::Receiver<Offset>, wanted: Offset) {
    while durable.recv_timeout(Duration::from_secs(20)).unwrap() < wanted {}
}

#[test]
fn stores_reads_trims_closes_and_opens_again() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, recovery) = Journal::open(SHARD, directory.path(), &config()).unwrap();
    assert_eq!((recovery.next, recovery.batches), (Offset(0), 0));
    let durable = watch(&journal);
    let mut appender = journal.appender();
    let mut reader = journal.reader(Offset(0));
    let mut sent = Vec::new();
    let mut read = Vec::new();
    for seed in 0..200 {
        let mut next = batch(appender.next_offset(), 20, 100, seed);
        sent.push(loop {
            match appender.append(next) {
                Ok(batch) => break batch,
                Err(full) => next = full.0,
            }
            durable.recv_timeout(Duration::from_secs(20)).unwrap();
        });
        read.extend(read_all(&mut reader));
    }
    wait_for(&durable, Offset(4000));
    read.extend(read_all(&mut reader));
    assert_eq!(read, sent);
    assert_eq!(journal.health(), Health::Healthy);
    assert_eq!(read_all(&mut journal.reader(Offset(1990))), sent[99..], "from within a batch, from disk");
    assert!(matches!(Journal::open(SHARD, directory.path(), &config()), Err(JournalError::Locked { .. })));

    journal.trim(Offset(2000));
    appender.append(batch(Offset(4000), 1, 1, 1)).unwrap();
    wait_for(&durable, Offset(4001));
    let oldest = journal.oldest();
    assert!(oldest > Offset(0) && oldest <= Offset(2000), "{oldest}");
    appender.append(batch(Offset(4001), 1, 1, 1)).unwrap();
    journal.close().unwrap();

    let found = inspect(directory.path()).unwrap();
    let segments = &found.shards[0].segments;
    assert_eq!(segments.last().unwrap().end_offset, 4002);
    assert_eq!(segments.iter().map(|segment| segment.messages).sum::<u64>(), 4002 - oldest.0);
    assert!(segments.iter().all(|segment| segment.damage.is_empty() && segment.tail_bytes == 0));

    let (journal, recovery) = Journal::open(SHARD, directory.path(), &config()).unwrap();
    assert_eq!((recovery.next, recovery.truncated_bytes), (Offset(4002), 0));
    assert_eq!(recovery.quarantined, []);
    let row = sent.iter().position(|batch| batch.base() >= oldest).unwrap();
    assert_eq!(read_all(&mut journal.reader(Offset(0)))[..200 - row], sent[row..]);
}

#[test]
fn what_is_not_durable_yet_is_not_read_and_closing_makes_it_so() {
    let directory = tempfile::tempdir().unwrap();
    let (journal, _) = Journal::open(SHARD, directory.path(), &config()).unwrap();
    let mut appender = journal.appender();
    let first = appender.append(batch(Offset(0), 5, 50, 1)).unwrap();
    let handle = journal.clone();
    journal.close().unwrap();
    assert_eq!(handle.durable().offset(), first.end());
    assert_eq!(read_all(&mut handle.reader(Offset(0))), [first]);
}

#[test]
fn memory_level_counts_as_durable_without_a_sync() {
    let directory = tempfile::tempdir().unwrap();
    let config = JournalConfig { sync: false, ..config() };
    let (journal, _) = Journal::open(SHARD, directory.path(), &config).unwrap();
    let durable = watch(&journal);
    journal.appender().append(batch(Offset(0), 5, 50, 1)).unwrap();
    wait_for(&durable, Offset(5));
    assert_eq!(journal.written().offset(), Offset(5));
}

#[test]
fn a_full_disk_does_not_keep_the_program_from_closing() {
    let directory = tempfile::tempdir().unwrap();
    let config = JournalConfig { keep_free_bytes: u64::MAX, ..config() };
    let (journal, _) = Journal::open(SHARD, directory.path(), &config).unwrap();
    journal.appender().append(batch(Offset(0), 5, 50, 1)).unwrap();
    let closed = journal.close();
    assert!(matches!(closed, Err(JournalError::CloseUnwritten { batches: 1, from: Offset(0) })), "{closed:?}");
}
