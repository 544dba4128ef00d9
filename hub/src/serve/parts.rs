//! The running hub: all parts, and the loop that waits for signals.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use millrace_control::Control;
use millrace_ingest::{Doorway, Ingest, Listeners, Transport, Wiring};
use millrace_ingest_https::Security;
use millrace_journal::Journal;
use millrace_model::{DeadLetter, ShardId};
use millrace_router::{DeadLetters, DriverHandle, RouteTable, Routes, Trimmer};
use rustls::ServerConfig;
use tokio::signal::unix::{SignalKind, signal};

use super::apis::{ApiConfig, Apis};
use super::data_directory::DataDirectory;
use super::health::Health;
use super::https::Serving;
use super::registry::Registry;
use super::reload::{Exchangeable, Source, Stamp, stamps};
use super::{admin, certificates, descriptors, endpoints, https, provisioning, telemetry};
use crate::config::Config;

/// How often the configuration file is looked at.
const FILE_WATCH: Duration = Duration::from_secs(1);

/// How often the certificate of the private CA is looked at; it has half a year left when it is made anew.
const CERTIFICATE_RENEWAL: Duration = Duration::from_secs(24 * 60 * 60);

/// See the module's documentation.
pub(crate) struct Hub {
    pub(super) ingest: Arc<Ingest>,
    pub(super) https: Serving,
    pub(super) apis: Apis,
    pub(super) control: Control,
    pub(super) journals: Vec<Journal>,
    pub(super) drivers: Arc<Vec<DriverHandle>>,
    pub(super) trimmer: Trimmer,
    pub(super) drain: Duration,
    pub(super) is_draining: Arc<AtomicBool>,
    pub(super) exchangeable: Exchangeable,
    source: Source,
    /// What the files looked like before they were read.
    loaded: Vec<Stamp>,
    _data_directory: DataDirectory,
}

/// Which signal ended the hub.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopped(&'static str);

impl Hub {
    /// Builds and starts everything.
    pub(crate) async fn start(mut config: Config, data_directory: &Path, source: Source) -> anyhow::Result<Self> {
        let loaded = stamps(&source, config.certificate.as_ref());
        let data_directory = DataDirectory::open(data_directory)?;
        let path = data_directory.path().to_owned();
        let metrics = telemetry::start()?;
        descriptors::provide(&mut config);
        let listeners = Listeners::bind(&config.ingest)?;
        let admin_listener = match config.admin {
            Some(address) => Some(admin::bind(address).await?),
            None => None,
        };
        let tls = tls(&config, &data_directory)?;
        let https = https::bind(&config.https, config.is_https_default, tls.clone().map(Security::Tls)).await?;
        let host_names = config.ingest.host_names.clone();
        let host = host_names.first().map_or("localhost", String::as_str);
        let doorway = Doorway::open(config.ingest.shards).context("cannot prepare the shards")?;
        let registry = Registry::open(&path, &config, host, &doorway).await?;
        let control = registry.control.clone();
        let provisioning = provisioning::start(&config.provisioning, &path, host, &control, &doorway).await?;
        let journals = open_journals(&config, &data_directory)?;
        let letters = DeadLetters::open(&data_directory.part("dead-letter")?, config.dead_letter_bytes_max);
        let dead_letters: Arc<dyn DeadLetter> = Arc::new(letters.context("cannot open the dead letters")?);
        let names: Vec<String> = config.endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
        let routes = Arc::new(Routes::new(table(&config, &names)?, Arc::clone(&dead_letters)));
        let drivers = endpoints::start_all(&endpoints::Surroundings {
            data_directory: &path,
            journals: &journals,
            routes: &routes,
            dead_letters: &dead_letters,
            endpoints: &config.endpoints,
        })?;
        let kafka = endpoints::kafka_watermarks(&config.endpoints, &drivers, journals.len());
        let drivers = Arc::new(drivers);
        let trimmer = Trimmer::start(journals.clone(), &drivers).context("cannot start the trimmer")?;
        announce(&listeners);
        let wiring = Wiring {
            directory: Arc::clone(control.directory()) as _,
            tls: tls.clone(),
            journals: journals.clone(),
            control: Some(Arc::new(control.clone())),
            provisioning: provisioning.clone().map(|api| Arc::new(api.provisioner) as _),
            doorway: Some(doorway.clone()),
            kafka,
        };
        let ingest = Arc::new(Ingest::start(config.ingest, listeners, wiring).context("cannot start the shards")?);
        registry.watch(&ingest);
        let api_config = ApiConfig {
            files: config.files,
            jobs: config.jobs,
            host_names: host_names.clone(),
            token_skew_seconds: config.registry.token_skew_seconds,
        };
        let apis = Apis::open(api_config, &path, &registry, provisioning, &doorway).await?;
        let https = https.serve(config.https, apis.public(), &doorway);
        let is_draining = Arc::new(AtomicBool::new(false));
        if let Some(listener) = admin_listener {
            let address = listener.local_addr()?;
            tracing::info!(%address, "admin: /metrics, /healthz, /readyz, /devices");
            if !address.ip().is_loopback() {
                tracing::warn!(%address, "the admin listener has no TLS and is open to others: put a proxy with TLS before it");
            }
            let parts = (Arc::clone(&ingest), journals.clone(), Arc::clone(&drivers), Arc::clone(&is_draining));
            let health = Arc::new(Health::new(parts.0, parts.1, parts.2, parts.3));
            admin::serve(listener, health, metrics, apis.service());
        }
        let exchangeable = Exchangeable {
            routes,
            endpoints: names,
            hub_name: config.hub_name,
            tls,
            certificate: config.certificate,
            private_ca: path.join("tls"),
            host_names,
        };
        Ok(Self {
            ingest,
            https,
            apis,
            control,
            journals,
            drivers,
            trimmer,
            drain: config.drain,
            is_draining,
            exchangeable,
            source,
            loaded,
            _data_directory: data_directory,
        })
    }

    /// Waits for the signal to stop; loads configuration anew when asked to.
    pub(crate) async fn run(&self) -> anyhow::Result<Stopped> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut watch = tokio::time::interval(FILE_WATCH);
        let mut renew = tokio::time::interval(CERTIFICATE_RENEWAL);
        renew.reset();
        let mut loaded = self.loaded.clone();
        let mut seen = loaded.clone();
        tracing::info!("ready");
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(Stopped("SIGTERM")),
                _ = interrupt.recv() => return Ok(Stopped("SIGINT")),
                _ = hang_up.recv() => self.exchangeable.reload(&self.source),
                _ = renew.tick() => self.exchangeable.renew(),
                _ = watch.tick() => {
                    // A file that is still being written is not read: it has to look the same for a whole tick.
                    let now = self.exchangeable.stamps(&self.source);
                    if now != loaded && now == seen {
                        loaded.clone_from(&now);
                        self.exchangeable.reload(&self.source);
                    }
                    seen = now;
                }
            }
        }
    }
}

impl std::fmt::Display for Stopped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

fn announce(listeners: &Listeners) {
    for (transport, address) in listeners.addresses() {
        match transport {
            Transport::Tls => tracing::info!(%address, "listening for MQTT over TLS"),
            Transport::Tcp if address.ip().is_loopback() => tracing::info!(%address, "listening for MQTT"),
            Transport::Tcp => {
                tracing::warn!(%address, "listening for MQTT without TLS on an address that others reach")
            }
        }
    }
}

fn tls(config: &Config, data_directory: &DataDirectory) -> anyhow::Result<Option<Arc<ArcSwap<ServerConfig>>>> {
    let is_needed = config.https.listen.is_some()
        || config.ingest.listeners.iter().any(|listener| listener.transport == Transport::Tls);
    if !is_needed {
        return Ok(None);
    }
    let server_config = match &config.certificate {
        Some((certificate, key)) => certificates::from_files(certificate, key)?,
        None => certificates::private(&data_directory.part("tls")?, &config.ingest.host_names)?,
    };
    Ok(Some(Arc::new(ArcSwap::new(server_config))))
}

/// Opens the journal of every shard, and those that an earlier, larger number of shards has left: they still hold messages.
fn open_journals(config: &Config, data_directory: &DataDirectory) -> anyhow::Result<Vec<Journal>> {
    let shards = config.ingest.shards.max(data_directory.shards()?);
    let directory = data_directory.part("journal")?;
    let open = |shard| {
        // Offsets that a sink has gone past are never given again, even if the disk has lost the journal's end.
        let floor = millrace_router::cursor::highest(data_directory.path(), ShardId(shard))?;
        let opened = Journal::open_from(ShardId(shard), &directory, &config.journal, floor);
        let (journal, _) = opened.with_context(|| format!("cannot open the journal of shard {shard}"))?;
        Ok(journal)
    };
    (0..shards).map(open).collect()
}

fn table(config: &Config, endpoints: &[String]) -> anyhow::Result<RouteTable> {
    let routing = &config.routing;
    RouteTable::compile(&routing.routes, &routing.enrichments, &routing.fallback, endpoints, &config.hub_name)
        .map_err(|errors| anyhow::anyhow!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
}
