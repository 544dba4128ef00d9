//! The registry: opened, loaded into memory, and followed, so that what the command line changes counts within a second.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use millrace_control::{Follower, Policies, RegistryConfig, RegistryDirectory};
use millrace_control_operator::host_name;
use millrace_control_rest::Service;
use millrace_control_store::{Change, ChangeKind, SqliteStore, Store};
use millrace_ingest::{CloseReason, Ingest};

/// The opened registry.
pub(crate) struct Registry {
    pub(crate) directory: Arc<RegistryDirectory>,
    pub(crate) service: Service,
    follower: Follower,
}

impl Registry {
    pub(crate) async fn open(path: &Path, config: &RegistryConfig, host: &str) -> anyhow::Result<Self> {
        host_name::save(path, host).context("cannot save the host name")?;
        let policies = Arc::new(Policies::open(path).context("cannot open the hub's keys")?);
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(path).await.context("cannot open the registry")?);
        let directory = Arc::new(RegistryDirectory::new(config.identities_max, Arc::clone(&policies)));
        let follower = Follower::start(Arc::clone(&store), Arc::clone(&directory), config)
            .await
            .context("cannot load the registry")?;
        let service =
            Service { store, policies, host_name: host.into(), token_skew_seconds: config.token_skew_seconds };
        Ok(Self { directory, service, follower })
    }

    /// Follows changes, ending the sessions that they concern, for as long as the runtime lives.
    pub(crate) fn follow(self, ingest: Arc<Ingest>) {
        let end = move |change: &Change| {
            let reason = match change.kind {
                ChangeKind::Disabled => CloseReason::Disabled,
                ChangeKind::Deleted => CloseReason::Deleted,
                ChangeKind::KeysChanged => CloseReason::KeysChanged,
                ChangeKind::Recreated => CloseReason::Deleted,
                ChangeKind::Created | ChangeKind::Enabled => return,
            };
            ingest.end_session(change.name.device_id(), change.name.module_id(), &reason);
        };
        drop(tokio::spawn(self.follower.run(end, std::future::pending())));
    }
}
