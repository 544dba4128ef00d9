//! New routes and certificates without a restart: on SIGHUP, or when the configuration file or the certificate's files change.
//! - Invariants: a file with any mistake changes nothing, and is reported with line and reason. What cannot be exchanged at run time
//!   (addresses, endpoints, shards) is left as it is.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use millrace_router::{RouteTable, Routes};
use rustls::ServerConfig;

use super::certificates;
use crate::config::{Config, Flags};

/// Where the configuration comes from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) file: Option<PathBuf>,
    pub(crate) flags: Flags,
}

/// What a file looks like from outside; `None`: it is not there.
pub(crate) type Stamp = Option<(SystemTime, u64, u64)>;

/// What the configuration and the certificate's files look like.
pub(crate) fn stamps(source: &Source, certificate: Option<&(PathBuf, PathBuf)>) -> Vec<Stamp> {
    let certificate = certificate.into_iter().flat_map(|(certificate, key)| [certificate, key]);
    source.file.iter().chain(certificate).map(|file| stamp(file)).collect()
}

fn stamp(file: &Path) -> Stamp {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

/// What can be exchanged.
pub(crate) struct Exchangeable {
    pub(crate) routes: Arc<Routes>,
    pub(crate) endpoints: Vec<String>,
    pub(crate) hub_name: String,
    pub(crate) tls: Option<Arc<ArcSwap<ServerConfig>>>,
    /// The certificate's files; `None`: the private CA's.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
    /// Where the private CA is, and the names of its server certificate.
    pub(crate) private_ca: PathBuf,
    pub(crate) host_names: Vec<String>,
}

impl Exchangeable {
    /// What its files look like now.
    pub(crate) fn stamps(&self, source: &Source) -> Vec<Stamp> {
        stamps(source, self.certificate.as_ref())
    }

    /// Reads everything anew and puts it into place, or says why not.
    pub(crate) fn reload(&self, source: &Source) {
        match self.routes_from(source) {
            Ok(Some(table)) => {
                self.routes.replace(table);
                tracing::info!("routes loaded");
            }
            Ok(None) => {}
            Err(reasons) => {
                for reason in reasons {
                    tracing::error!(%reason, "the configuration was not loaded: the old routes stay");
                }
            }
        }
        self.renew();
    }

    /// Loads the certificate anew; that of the private CA is made again when it nears its end.
    pub(crate) fn renew(&self) {
        let Some(tls) = &self.tls else {
            return;
        };
        let config = match &self.certificate {
            Some((certificate, key)) => certificates::from_files(certificate, key),
            None => certificates::private(&self.private_ca, &self.host_names),
        };
        match config {
            Ok(config) => tls.store(config),
            Err(error) => tracing::error!(error = format!("{error:#}"), "the old certificate stays"),
        }
    }

    fn routes_from(&self, source: &Source) -> Result<Option<RouteTable>, Vec<String>> {
        let Some(file) = &source.file else {
            return Ok(None);
        };
        let text = std::fs::read_to_string(file).map_err(|error| vec![format!("{}: {error}", file.display())])?;
        let named = |problem: &dyn std::fmt::Display| format!("{}: {problem}", file.display());
        let config = Config::resolve(&text, &source.flags)
            .map_err(|problems| problems.iter().map(|problem| named(problem)).collect::<Vec<_>>())?;
        let routing = &config.routing;
        RouteTable::compile(&routing.routes, &routing.enrichments, &routing.fallback, &self.endpoints, &self.hub_name)
            .map(Some)
            .map_err(|errors| errors.iter().map(|error| named(error)).collect())
    }
}
