//! From sections and flags to a whole configuration, or to the list of everything that is wrong.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use millrace_ingest::{AcknowledgeLevel, IngestConfig, ListenerConfig, QuotasConfig, Transport};
use millrace_ingest_https::HttpsConfig;
use millrace_journal::JournalConfig;
use millrace_router::{EnrichmentSpec, FallbackSpec, RouteSpec, RouteTable};
use millrace_sinks_alerts::AlertsConfig;
use millrace_sinks_kafka::KafkaConfig;
use millrace_sinks_parquet::ParquetConfig;
use toml::Spanned;
use toml::de::DeValue;

use super::control::ControlSections;
use super::document::{Document, Problem};
use super::sections::{
    AdminSection, DeadLetterSection, HubSection, IngestSection, ListenerSection, LogSection, ShutdownSection,
    TlsSection,
};

/// The endpoint that exists without being named in the configuration.
const DEFAULT_ENDPOINT: &str = "parquet";

/// Endpoints: ten as on the hosted hub, and room for the built-in ones.
const ENDPOINTS_MAX: usize = 64;

/// Shards of one node: a thread, a journal and a set of sockets each.
const SHARDS_MAX: u16 = 256;

/// Where metrics, health and the service API are, unless told otherwise.
const ADMIN_PORT: u16 = 9464;

/// An hour: whoever waits longer wants to be told, not to wait.
const DRAIN_SECONDS_MAX: u64 = 3600;

/// What the command line says; it wins over the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    pub(crate) mqtt: Option<SocketAddr>,
    pub(crate) mqtts: Option<SocketAddr>,
    pub(crate) https: Option<SocketAddr>,
    pub(crate) admin: Option<SocketAddr>,
}

/// Where messages can be sent to.
#[derive(Debug, Clone)]
pub(crate) enum EndpointKind {
    Alerts(AlertsConfig),
    Kafka(KafkaConfig),
    Parquet(ParquetConfig),
}

/// A named endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) kind: EndpointKind,
}

/// What decides which message goes where; exchanged at run time.
#[derive(Debug, Clone)]
pub(crate) struct RoutingConfig {
    pub(crate) routes: Vec<RouteSpec>,
    pub(crate) enrichments: Vec<EnrichmentSpec>,
    pub(crate) fallback: FallbackSpec,
}

/// A whole, valid configuration.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) hub_name: String,
    pub(crate) ingest: IngestConfig,
    pub(crate) https: HttpsConfig,
    /// Nobody asked for HTTPS: where the system does not allow the standard port, the hub goes on without.
    pub(crate) is_https_default: bool,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
    pub(crate) journal: JournalConfig,
    pub(crate) control: ControlSections,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) routing: RoutingConfig,
    pub(crate) dead_letter_bytes_max: u64,
    pub(crate) drain: Duration,
    pub(crate) log: LogSection,
}

impl Config {
    /// See the module's documentation. An empty text is the default configuration.
    pub(crate) fn resolve(text: &str, flags: &Flags) -> Result<Self, Vec<Problem>> {
        let mut document = Document::parse(text);
        let hub: HubSection = document.section("hub");
        let mqtt: ListenerSection = document.section("mqtt");
        let mqtts: ListenerSection = document.section("mqtts");
        let mut https: HttpsConfig = document.section("https");
        let admin: AdminSection = document.section("admin");
        let tls: TlsSection = document.section("tls");
        let ingest: IngestSection = document.section("ingest");
        let journal: JournalConfig = document.section("journal");
        let quotas: QuotasConfig = document.section("quotas");
        let control = ControlSections::take(&mut document);
        let shutdown: ShutdownSection = document.section("shutdown");
        let dead_letter: DeadLetterSection = document.section("dead_letter");
        let log: LogSection = document.section("log");
        let endpoints = endpoints(&mut document);
        let routing = routing(&mut document, &endpoints, &hub.name);
        check_all(&mut document, &hub, &journal, &log, &ingest);
        document.problems.extend([https.validate(), quotas.validate()].concat().into_iter().map(Problem::new));
        if shutdown.drain_seconds > DRAIN_SECONDS_MAX {
            document
                .problems
                .push(Problem::new(format!("shutdown: drain_seconds must be at most {DRAIN_SECONDS_MAX}")));
        }
        let certificate = certificate(&mut document, tls);
        let (listeners, is_https_default) = addresses(flags, &mqtt, &mqtts, &mut https);
        let admin = flags.admin.or(admin.listen).or_else(|| Some(local(ADMIN_PORT)));
        check_acknowledge(&mut document, &listeners, &endpoints);
        let problems = document.finish();
        if !problems.is_empty() {
            return Err(problems);
        }
        let shards = match ingest.shards {
            0 => std::thread::available_parallelism().map_or(1, |cores| u16::try_from(cores.get()).unwrap_or(u16::MAX)),
            shards => shards,
        };
        Ok(Self {
            hub_name: hub.name.clone(),
            ingest: IngestConfig {
                shards,
                pin_cores: ingest.pin_cores,
                listeners,
                connections_max: ingest.connections_max,
                connect_rate_max: ingest.connect_rate_max,
                host_names: hub.host_names,
                connect_seconds_max: ingest.connect_seconds_max,
                hub_name: hub.name,
                acknowledge: mqtts.acknowledge,
                connection_events: None,
                quotas,
            },
            https,
            is_https_default,
            admin,
            certificate,
            journal,
            control,
            endpoints,
            routing,
            dead_letter_bytes_max: dead_letter.bytes_max,
            drain: Duration::from_secs(shutdown.drain_seconds),
            log,
        })
    }
}

const fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Without any address named, the standard ports of 127.0.0.1; says whether HTTPS is there for that reason.
fn addresses(
    flags: &Flags,
    mqtt: &ListenerSection,
    mqtts: &ListenerSection,
    https: &mut HttpsConfig,
) -> (Vec<ListenerConfig>, bool) {
    let mut plain = flags.mqtt.or(mqtt.listen);
    let mut tls = flags.mqtts.or(mqtts.listen);
    https.listen = flags.https.or(https.listen);
    let is_default = plain.is_none() && tls.is_none() && https.listen.is_none() && https.listen_plain.is_none();
    if is_default {
        (plain, tls) = (Some(local(1883)), Some(local(8883)));
        https.listen = Some(local(443));
    }
    let listener = |address: Option<SocketAddr>, transport, section: &ListenerSection| {
        address.map(|address| ListenerConfig { address, transport, acknowledge: section.acknowledge })
    };
    let listeners = [listener(plain, Transport::Tcp, mqtt), listener(tls, Transport::Tls, mqtts)];
    (listeners.into_iter().flatten().collect(), is_default)
}

fn check_all(
    document: &mut Document<'_>,
    hub: &HubSection,
    journal: &JournalConfig,
    log: &LogSection,
    ingest: &IngestSection,
) {
    let mut problems: Vec<String> =
        journal.validate().into_iter().map(|problem| format!("journal: {problem}")).collect();
    if hub.host_names.is_empty() || hub.host_names.iter().any(|name| name.is_empty() || name.contains(['/', ';', ' ']))
    {
        problems.push("hub: host_names needs at least one name, and names without `/`, `;` and blanks".to_owned());
    }
    if ingest.connections_max == 0 {
        problems.push("ingest: connections_max must be at least 1".to_owned());
    }
    if ingest.shards > SHARDS_MAX {
        problems.push(format!("ingest: shards must be at most {SHARDS_MAX}"));
    }
    if !(1..=3600).contains(&ingest.connect_seconds_max) {
        problems.push("ingest: connect_seconds_max must be from 1 to 3600".to_owned());
    }
    if let Err(error) = log.level.parse::<tracing_subscriber::filter::Targets>() {
        problems.push(format!("log: level: {error}"));
    }
    document.problems.extend(problems.into_iter().map(Problem::new));
}

fn certificate(document: &mut Document<'_>, tls: TlsSection) -> Option<(PathBuf, PathBuf)> {
    match (tls.certificate, tls.key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate, key)),
        _ => {
            document.problems.push(Problem::new("tls: certificate and key belong together: name both, or neither"));
            None
        }
    }
}

fn check_acknowledge(document: &mut Document<'_>, listeners: &[ListenerConfig], endpoints: &[Endpoint]) {
    let wants_kafka = listeners.iter().any(|listener| listener.acknowledge == AcknowledgeLevel::Kafka);
    if wants_kafka && !endpoints.iter().any(|endpoint| matches!(endpoint.kind, EndpointKind::Kafka(_))) {
        document.problems.push(Problem::new("acknowledge = \"kafka\" needs an endpoint of type kafka"));
    }
}

fn endpoints(document: &mut Document<'_>) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    let mut has_default = false;
    for (position, name, value) in document.named("endpoints") {
        has_default |= name == DEFAULT_ENDPOINT;
        if !is_endpoint_name(&name) {
            document.note(position, format!("endpoints.{name}: a name has 1 to 64 letters, digits, `-`, `_`, `.`"));
            continue;
        }
        if let Some(kind) = endpoint(document, position, &name, value) {
            endpoints.push(Endpoint { name, kind });
        }
    }
    if !has_default {
        let kind = EndpointKind::Parquet(ParquetConfig::default());
        endpoints.push(Endpoint { name: DEFAULT_ENDPOINT.to_owned(), kind });
    }
    if endpoints.len() > ENDPOINTS_MAX {
        document.problems.push(Problem::new(format!("more than {ENDPOINTS_MAX} endpoints")));
    }
    endpoints
}

/// What lies in the data directory and is not an endpoint's.
const TAKEN: [&str; 13] = [
    "alerts",
    "cursors",
    "dead-letter",
    "files",
    "hub.json",
    "journal",
    "lock",
    "policies.json",
    "provisioning-policies.json",
    "registry.sqlite",
    "registry.sqlite-shm",
    "registry.sqlite-wal",
    "tls",
];

/// Endpoint names become parts of file names.
fn is_endpoint_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// One endpoint by its `type`; `enabled = false` takes it out.
fn endpoint<'a>(
    document: &mut Document<'a>,
    position: usize,
    name: &str,
    mut value: Spanned<DeValue<'a>>,
) -> Option<EndpointKind> {
    let context = format!("endpoints.{name}");
    let DeValue::Table(table) = value.get_mut() else {
        document.note(position, format!("{context}: a table is needed"));
        return None;
    };
    let kind = table.remove("type").map(Spanned::into_inner);
    let is_enabled = table.remove("enabled").is_none_or(|enabled| enabled.get_ref().as_bool().unwrap_or(true));
    if !is_enabled {
        return None;
    }
    let kind = kind.as_ref().and_then(|kind| kind.as_str());
    let kind = match kind.or_else(|| (name == DEFAULT_ENDPOINT).then_some("parquet")) {
        Some("alerts") => EndpointKind::Alerts(document.typed(value, &context)?),
        Some("kafka") => EndpointKind::Kafka(document.typed(value, &context)?),
        Some("parquet") => {
            if TAKEN.contains(&name) {
                document.note(
                    position,
                    format!("{context}: a Parquet endpoint's folder has its name, and this one is taken"),
                );
            }
            EndpointKind::Parquet(document.typed(value, &context)?)
        }
        Some(other) => {
            document.note(position, format!("{context}: type `{other}` is not one of alerts, kafka, parquet"));
            return None;
        }
        None => {
            document.note(position, format!("{context}: `type` is missing: alerts, kafka or parquet"));
            return None;
        }
    };
    let problems = match &kind {
        EndpointKind::Alerts(config) => config.validate(),
        EndpointKind::Kafka(config) => config.validate(),
        EndpointKind::Parquet(config) => config.validate(),
    };
    for problem in problems {
        document.note(position, format!("{context}: {problem}"));
    }
    Some(kind)
}

fn routing(document: &mut Document<'_>, endpoints: &[Endpoint], hub_name: &str) -> RoutingConfig {
    let routes: Vec<(usize, RouteSpec)> = document.list("routes");
    let enrichments: Vec<(usize, EnrichmentSpec)> = document.list("enrichments");
    let fallback: Option<FallbackSpec> = document.section("fallback");
    let names: Vec<String> = endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
    let positions: Vec<(String, usize)> = routes.iter().map(|(at, route)| (route.name.clone(), *at)).collect();
    let routing = RoutingConfig {
        routes: routes.into_iter().map(|(_, route)| route).collect(),
        enrichments: enrichments.into_iter().map(|(_, enrichment)| enrichment).collect(),
        fallback: fallback.unwrap_or_else(|| default_fallback(&names)),
    };
    if let Err(errors) = RouteTable::compile(&routing.routes, &routing.enrichments, &routing.fallback, &names, hub_name)
    {
        for error in errors {
            let message = error.to_string();
            match positions.iter().find(|(name, _)| error.route() == Some(name.as_str())) {
                Some((_, position)) => document.note(*position, message),
                None => document.problems.push(Problem::new(message)),
            }
        }
    }
    routing
}

fn default_fallback(endpoints: &[String]) -> FallbackSpec {
    let has_default = endpoints.iter().any(|name| name == DEFAULT_ENDPOINT);
    let endpoints = if has_default { vec![DEFAULT_ENDPOINT.to_owned()] } else { Vec::new() };
    FallbackSpec { enabled: has_default, endpoints }
}
