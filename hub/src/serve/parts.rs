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
use millrace_router::{DriverHandle, Trimmer};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::apis::Apis;
use super::data_directory::DataDirectory;
use super::health::Health;
use super::https::Serving;
use super::registry::Registry;
use super::reload::{Exchangeable, Source, Stamp, stamps};
use super::road::Road;
use super::{admin, certificates, descriptors, https, provisioning, telemetry};
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

/// Everything that listens, bound before anything is started, so that a port already taken is found at once.
struct Sockets {
    listeners: Listeners,
    admin: Option<TcpListener>,
    tls: Option<Arc<ArcSwap<ServerConfig>>>,
    https: https::Bound,
}

impl Sockets {
    async fn bind(config: &Config, data_directory: &DataDirectory) -> anyhow::Result<Self> {
        let listeners = Listeners::bind(&config.ingest)?;
        let admin = match config.admin {
            Some(address) => Some(admin::bind(address).await?),
            None => None,
        };
        let tls = tls(config, data_directory)?;
        let https = https::bind(&config.https, config.is_https_default, tls.clone().map(Security::Tls)).await?;
        Ok(Self { listeners, admin, tls, https })
    }
}

impl Hub {
    /// Builds and starts everything.
    pub(crate) async fn start(mut config: Config, data_directory: &Path, source: Source) -> anyhow::Result<Self> {
        let loaded = stamps(&source, config.certificate.as_ref());
        let data_directory = DataDirectory::open(data_directory)?;
        let path = data_directory.path().to_owned();
        let metrics = telemetry::start()?;
        descriptors::provide(&mut config);
        let Sockets { listeners, admin, tls, https } = Sockets::bind(&config, &data_directory).await?;
        let host_names = config.ingest.host_names.clone();
        let host = host_names.first().map_or("localhost", String::as_str);
        let doorway = Doorway::open(config.ingest.shards).context("cannot prepare the shards")?;
        let registry = Registry::open(&path, &config, host, &doorway).await?;
        let control = registry.control.clone();
        let provisioning = provisioning::start(&config.control.provisioning, &path, host, &control, &doorway).await?;
        let road = Road::open(&config, &data_directory)?;
        announce(&listeners);
        let mut wiring = Wiring::telemetry(control.directory().clone(), road.journals.clone());
        wiring.tls.clone_from(&tls);
        wiring.control = Some(Arc::new(control.clone()));
        if let Some(api) = &provisioning {
            wiring.provisioning = Some(Arc::new(api.provisioner.clone()));
        }
        wiring.doorway = Some(doorway.clone());
        wiring.kafka.clone_from(&road.kafka);
        let ingest = Arc::new(Ingest::start(config.ingest, listeners, wiring).context("cannot start the shards")?);
        registry.watch(&ingest);
        let apis = Apis::open(config.control, &host_names, &path, &registry, provisioning, &doorway).await?;
        let https = https.serve(config.https, apis.public(), &doorway);
        let is_draining = Arc::new(AtomicBool::new(false));
        if let Some(listener) = admin {
            let of_road = (road.journals.clone(), Arc::clone(&road.drivers));
            let (draining, refresher) = (Arc::clone(&is_draining), registry.refresher.clone());
            let health = Health::new(Arc::clone(&ingest), of_road.0, of_road.1, draining, refresher);
            admin::serve(listener, Arc::new(health), metrics, apis.service())?;
        }
        let exchangeable = Exchangeable {
            routes: road.routes,
            endpoints: road.endpoints,
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
            journals: road.journals,
            drivers: road.drivers,
            trimmer: road.trimmer,
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
