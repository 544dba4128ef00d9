//! A follower of the change log beside busy writers: it must see every change, once, in the order of the log.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::registry::Expected;
use crate::store::Database;
use crate::store::suite::{name, record};

const DEVICES: usize = 300;
const DEADLINE: Duration = Duration::from_secs(120);

/// Writers on two stores, which may be two nodes, while `one` is followed.
pub(super) async fn misses_nothing<S: Database + Clone + 'static>(one: &S, other: &S) {
    let writers: Vec<_> = (0..DEVICES)
        .map(|number| {
            let store = if number % 2 == 0 { one.clone() } else { other.clone() };
            tokio::spawn(async move {
                let id = format!("d{number}");
                store.create(&record(&id, None)).await.unwrap();
                if number % 3 == 0 {
                    store.delete(&name(&id, None), Expected::Any).await.unwrap();
                }
            })
        })
        .collect();
    let wanted = DEVICES + DEVICES.div_ceil(3);
    let begun = Instant::now();
    let (mut sequence, mut seen, mut entries) = (0, BTreeSet::new(), 0);
    while entries < wanted {
        assert!(begun.elapsed() < DEADLINE, "{entries} changes of {wanted}");
        let changes = one.changes_since(sequence, 7).await.unwrap().expect("the log goes back to its beginning");
        for change in changes {
            assert_eq!(change.sequence, sequence + 1, "a number was not there when a later one was");
            sequence = change.sequence;
            entries += 1;
            if change.now.is_some() {
                seen.insert(change.name)
            } else {
                seen.remove(&change.name)
            };
        }
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert_eq!(one.newest_change().await.unwrap(), sequence);
    let there: BTreeSet<_> = one.devices(None, 1_000).await.unwrap().into_iter().map(|record| record.name).collect();
    assert_eq!(seen, there);
}
