//! File descriptors: as many as the system allows, and some of them kept free for everything that is not a connection.
//! - Invariants: connections alone can never use up what journal segments, files, the registry and the admin listener need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Descriptors for everything but the connections of devices.
const RESERVED: u64 = 512;

/// Raises the soft limit to the hard one, and lowers the connections of each shard to what then fits.
pub(crate) fn provide(config: &mut Config) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        tracing::warn!(?current, ?maximum, "cannot raise the limit of open files");
    }
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return;
    };
    let shards = u64::from(config.ingest.shards.max(1));
    let each = usize::try_from(limit.saturating_sub(RESERVED) / shards).unwrap_or(usize::MAX).max(1);
    if each < config.ingest.connections_max {
        config.ingest.connections_max = each;
        tracing::info!(open_files = limit, connections_of_a_shard = each, "connections are bounded by open files");
    }
}
