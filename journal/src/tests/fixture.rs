//! Files of every released format still open.

use std::path::Path;

use millrace_model::{MessageSource, Offset, ShardId};

use crate::{Journal, JournalConfig, inspect};

fn fixture(version: u32) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/version-{version}"))
}

#[test]
fn version_1_opens() {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("shard-3");
    std::fs::create_dir(&target).unwrap();
    for entry in std::fs::read_dir(fixture(1).join("shard-3")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, target.join(path.file_name().unwrap())).unwrap();
    }
    let found = inspect(directory.path()).unwrap();
    let segments = &found.shards[0].segments;
    assert_eq!(
        segments.iter().map(|segment| (segment.first_offset, segment.records)).collect::<Vec<_>>(),
        [(0, 2), (7, 1)]
    );

    let (journal, recovery) = Journal::open(ShardId(3), directory.path(), &JournalConfig::default()).unwrap();
    assert_eq!((recovery.next, recovery.batches, recovery.truncated_bytes), (Offset(8), 3, 0));
    let mut reader = journal.reader(Offset(0));
    let first = reader.next().unwrap().unwrap();
    let message = first.message(1).unwrap();
    assert_eq!((message.identity.device_id, message.identity.module_id), ("device-1", None));
    assert_eq!((message.bag, message.source), (&b"k=v"[..], MessageSource::Telemetry));
    assert_eq!((message.body.len(), message.body[0], message.enqueued_at.0), (40, b'a', 1));
    let rest: Vec<usize> = std::iter::from_fn(|| reader.next().unwrap()).map(|batch| batch.len()).collect();
    assert_eq!(rest, [4, 1]);
}
