//! The end: stop accepting, acknowledge what was read, deliver, complete the open files, exit.
//! - Invariants: what a dead sink could not take in time stays in the journal, and is said. Nothing acknowledged is lost whatever fails here.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use millrace_ingest::Ingest;
use millrace_journal::Journal;
use millrace_router::{DriverHandle, DriverState, Trimmer};

use super::parts::{Hub, Stopped};
use super::reload::Exchangeable;

/// Time for the last acknowledgements: a sync of the journal, with a slow disk in mind.
const ACKNOWLEDGE: Duration = Duration::from_secs(5);

/// Time for the control side to let go of what it works on: a database that is away would keep it for longer than anybody waits, and
/// what it does not let go of, others take over later.
const LET_GO: Duration = Duration::from_secs(5);

/// A sink may be in the middle of a call when its time is over.
const GRACE: Duration = Duration::from_secs(5);

/// How often the drivers are asked whether they have ended.
const POLL: Duration = Duration::from_millis(10);

impl Hub {
    /// See the module's documentation. Health and metrics are served meanwhile.
    pub(crate) async fn drain(self, stopped: anyhow::Result<Stopped>) -> anyhow::Result<()> {
        let signal = stopped?;
        tracing::info!(%signal, seconds = self.drain.as_secs(), "draining");
        self.is_draining.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + self.drain;
        let Self { ingest, https, apis, control, journals, drivers, trimmer, exchangeable, .. } = self;
        // Requests under way need shards and control side, so they end first.
        https.stop().await;
        let_go(apis.stop()).await;
        let data_path = DataPath { ingest, journals, drivers, trimmer, exchangeable };
        let outcome =
            tokio::task::spawn_blocking(move || data_path.drain(deadline)).await.context("the drain panicked")?;
        let_go(control.shutdown()).await;
        tracing::info!("stopped");
        outcome
    }
}

async fn let_go(ending: impl Future<Output = ()>) {
    if tokio::time::timeout(LET_GO, ending).await.is_err() {
        tracing::warn!("the control side did not end in time: jobs under way go on when their leases have run out");
    }
}

/// The road of a message, from sockets to sinks.
struct DataPath {
    ingest: Arc<Ingest>,
    journals: Vec<Journal>,
    drivers: Arc<Vec<DriverHandle>>,
    trimmer: Trimmer,
    exchangeable: Exchangeable,
}

impl DataPath {
    fn drain(self, deadline: Instant) -> anyhow::Result<()> {
        // Whatever fails on the way, the rest is still done; the first failure is the exit code.
        let mut outcome = self.ingest.drain(Instant::now() + ACKNOWLEDGE).context("a shard failed");
        drain_drivers(&self.drivers, deadline);
        drop(self.trimmer);
        drop(self.exchangeable);
        for journal in self.journals {
            let closed = journal.close().context("a journal could not be closed");
            outcome = outcome.and(closed);
        }
        outcome
    }
}

/// All at once, because a dead one would use up the time of the others.
fn drain_drivers(drivers: &[DriverHandle], deadline: Instant) {
    drivers.iter().for_each(|driver| driver.begin_drain(deadline));
    for driver in drivers {
        let has_ended = || matches!(driver.state(), DriverState::Drained | DriverState::Broken { .. });
        while !has_ended() && Instant::now() < deadline + GRACE {
            std::thread::sleep(POLL);
        }
        let (name, left) = (driver.name(), driver.lag().iter().sum::<u64>());
        if left == 0 {
            tracing::info!(name, "endpoint drained");
        } else {
            tracing::warn!(name, left, "endpoint not drained in time: the journal keeps what is left");
        }
    }
}
