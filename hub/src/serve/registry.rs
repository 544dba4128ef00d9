//! The control side: stores opened, identities loaded, the executor started, and what it changes felt by live sessions.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use millrace_control::{Control, Follower, Parts, Policies, Refresher, RegistryDirectory, Settings};
use millrace_control_operator::host_name;
use millrace_control_store::store::{self, Database, SqliteStore};
use millrace_control_store::{Change, ChangeKind, Documents, RegistryError, Store};
use millrace_ingest::{CloseReason, Doorway, Ingest};

use crate::config::Config;

/// The running control side.
pub(crate) struct Registry {
    pub(crate) control: Control,
    pub(crate) policies: Arc<Policies>,
    /// Brings the doors' view of the registry up to date.
    pub(crate) refresher: Refresher,
    /// Where sessions are ended, once there can be any.
    sessions: Arc<OnceLock<Arc<Ingest>>>,
}

impl Registry {
    pub(crate) async fn open(path: &Path, config: &Config, host: &str, doorway: &Doorway) -> anyhow::Result<Self> {
        announce(path, config, host).context("cannot save the host name")?;
        let policies = Arc::new(Policies::open(path).context("cannot open the hub's keys")?);
        let database = database(path, config).await?;
        let store: Arc<dyn Store> = database.clone();
        let documents: Arc<dyn Documents> = database;
        let directory = Arc::new(RegistryDirectory::new(config.control.registry.identities_max, Arc::clone(&policies)));
        let follower = Follower::start(Arc::clone(&store), Arc::clone(&directory), &config.control.registry)
            .await
            .context("cannot load the registry")?;
        let refresher = follower.refresher();
        let sessions: Arc<OnceLock<Arc<Ingest>>> = Arc::default();
        let settings = Settings {
            hub_name: config.hub_name.clone(),
            control: config.control.control.clone(),
            commands: config.control.commands.clone(),
            throttles: config.control.throttles.clone(),
        };
        let parts = Parts {
            store,
            documents,
            directory,
            follower,
            doors: Arc::new(doorway.clone()),
            intake: Arc::new(doorway.clone()),
            on_change: Box::new(ending(Arc::clone(&sessions))),
        };
        let control = Control::start(settings, parts).await.context("cannot start the control side")?;
        Ok(Self { control, policies, refresher, sessions })
    }

    /// From now on there are sessions.
    pub(crate) fn watch(&self, ingest: &Arc<Ingest>) {
        // Set once: the hub starts its shards once.
        drop(self.sessions.set(Arc::clone(ingest)));
    }
}

/// Leaves in the data directory what the command line needs to know.
fn announce(path: &Path, config: &Config, host: &str) -> Result<(), RegistryError> {
    match (&config.control.database.url_file, config.admin) {
        (Some(_), admin) => host_name::announce_database(path, host, admin),
        (None, Some(admin)) => host_name::announce(path, host, admin),
        (None, None) => host_name::save(path, host),
    }
}

/// SQLite in the data directory, or the PostgreSQL database whose URL a file holds.
async fn database(path: &Path, config: &Config) -> anyhow::Result<Arc<dyn Database>> {
    let url = match &config.control.database.url_file {
        None => None,
        Some(file) => {
            let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
            if path.join(SqliteStore::FILE_NAME).exists() {
                tracing::warn!(
                    file = SqliteStore::FILE_NAME,
                    "not used: identities are in the database, not in the data directory"
                );
            }
            Some(text.trim().to_owned())
        }
    };
    store::open(url.as_deref(), path).await.context("cannot open the registry")
}

/// Ends the sessions that a change concerns.
fn ending(sessions: Arc<OnceLock<Arc<Ingest>>>) -> impl FnMut(&Change) + Send {
    move |change| {
        let reason = match change.kind {
            ChangeKind::Disabled => CloseReason::Disabled,
            ChangeKind::Deleted | ChangeKind::Recreated => CloseReason::Deleted,
            ChangeKind::KeysChanged => CloseReason::KeysChanged,
            ChangeKind::Created | ChangeKind::Enabled => return,
        };
        if let Some(ingest) = sessions.get() {
            ingest.end_session(change.name.device_id(), change.name.module_id(), &reason);
        }
    }
}
