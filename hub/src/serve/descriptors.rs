//! File descriptors: as many as the system allows, and some of them kept free for everything that is not a connection.
//! - Invariants: connections alone can never use up what journal segments, files, the registry and the admin listener need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// Descriptors for everything but the connections of devices.
const RESERVED: u64 = 512;

/// Descriptors of a connection at the HTTPS door: its socket and, when it is a WebSocket, the door's end of the pair that leads to a
/// shard. The other end counts as a connection of the shard.
const HTTPS_EACH: u64 = 2;

/// The HTTPS door may have one of so many.
const HTTPS_PART: u64 = 4;

/// How many connections fit.
#[derive(Debug, PartialEq, Eq)]
struct Room {
    of_a_shard: usize,
    https: usize,
}

/// Raises the soft limit to the hard one, and lowers the connections of each shard and of the HTTPS door to what then fits.
pub(crate) fn provide(config: &mut Config) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum && setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_err() {
        tracing::warn!(?current, ?maximum, "cannot raise the limit of open files");
    }
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return;
    };
    let has_https = config.https.listen.is_some() || config.https.listen_plain.is_some();
    let wanted = if has_https { config.https.connections_max } else { 0 };
    let room = room(limit, config.ingest.shards, wanted);
    if room.of_a_shard < config.ingest.connections_max {
        config.ingest.connections_max = room.of_a_shard;
        tracing::info!(
            open_files = limit,
            connections_of_a_shard = room.of_a_shard,
            "connections are bounded by open files"
        );
    }
    if room.https < wanted {
        config.https.connections_max = room.https;
        tracing::info!(open_files = limit, connections = room.https, "connections of HTTPS are bounded by open files");
    }
}

fn room(limit: u64, shards: u16, https_wanted: usize) -> Room {
    let count = |descriptors: u64| usize::try_from(descriptors).unwrap_or(usize::MAX).max(1);
    let free = limit.saturating_sub(RESERVED);
    let https = u64::try_from(https_wanted).unwrap_or(u64::MAX).saturating_mul(HTTPS_EACH).min(free / HTTPS_PART);
    let of_shards = free.saturating_sub(https);
    Room { of_a_shard: count(of_shards / u64::from(shards.max(1))), https: count(https / HTTPS_EACH) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_connections_together_leave_the_reserve() {
        assert_eq!(room(1_048_576, 2, 10_000), Room { of_a_shard: 514_032, https: 10_000 });
        assert_eq!(room(4_608, 2, 10_000), Room { of_a_shard: 1_536, https: 512 });
        assert_eq!(room(4_608, 2, 0).of_a_shard, 2_048, "without HTTPS there is nothing to share");
        assert_eq!(room(100, 4, 10_000), Room { of_a_shard: 1, https: 1 });
        for (limit, shards, https) in [(1_024, 1, 10_000), (20_000, 8, 10_000), (65_536, 16, 1_000_000)] {
            let room = room(limit, shards, https);
            let used = room.of_a_shard * usize::from(shards) + room.https * 2;
            assert!(u64::try_from(used).unwrap() + RESERVED <= limit, "{room:?}");
        }
    }
}
