//! Routes, enrichments and fallback as the configuration file writes them, and what can be wrong with them.
//! - Source: Azure IoT Hub message routing: routes, fallback route, message enrichments.

use millrace_model::{Classify, Fault, Kind, MessageSource};
use serde::Deserialize;

use crate::limits::{ENDPOINTS_MAX, ENRICHMENTS_MAX, ROUTES_MAX};
use crate::query::QueryError;

/// `[[routes]]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteSpec {
    /// Names it in metrics, logs and errors. No default; must be unique.
    pub name: String,
    /// Which events it looks at. Default `DeviceMessages`.
    pub source: Source,
    /// Which of them it takes, in the condition language. Default `true`.
    pub condition: String,
    /// Names of the endpoints that get them. No default; at least one.
    pub endpoints: Vec<String>,
    /// Whether it takes part. Default true. It is checked either way.
    pub enabled: bool,
}

/// `[[enrichments]]`: a property that is added to every message for some endpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnrichmentSpec {
    /// Name of the property: letters, digits and `-_.:`. No default.
    pub key: String,
    /// Its value: a text, or `$iothubname`. A `$twin.` path is added as it is written, as the hub does where the twin lacks it. Default empty.
    pub value: String,
    /// Names of the endpoints. No default; at least one.
    pub endpoints: Vec<String>,
}

/// `[fallback]`: where telemetry goes that no route took.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FallbackSpec {
    /// Whether there is one; without it such messages go nowhere. Default true.
    pub enabled: bool,
    /// Names of the endpoints. Default none.
    pub endpoints: Vec<String>,
}

/// Which events a route looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Deserialize)]
pub enum Source {
    /// Telemetry.
    #[default]
    DeviceMessages,
    /// A device connected or disconnected.
    DeviceConnectionStateEvents,
    /// A job moved on.
    DeviceJobLifecycleEvents,
    /// An identity was created or deleted.
    DeviceLifecycleEvents,
    /// A digital twin changed.
    DigitalTwinChangeEvents,
    /// A twin changed.
    TwinChangeEvents,
}

/// What is wrong with a route table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Its condition cannot be compiled.
    #[error("route '{route}': condition, {problem}")]
    Condition {
        /// Name of the route.
        route: String,
        /// What is wrong, and where in the condition.
        problem: QueryError,
    },
    /// Two routes of one name.
    #[error("route '{route}': the name is used twice")]
    DuplicateName {
        /// The name.
        route: String,
    },
    /// Not a name for a property.
    #[error("enrichment '{key}': a key consists of letters, digits and -_.:")]
    EnrichmentKey {
        /// The key.
        key: String,
    },
    /// Something that names no endpoint.
    #[error("{of}: names no endpoint")]
    NoEndpoint {
        /// What it is.
        of: Place,
    },
    /// A route without a name.
    #[error("route number {number} has no name")]
    NoName {
        /// Counted from 1.
        number: usize,
    },
    /// More than a table may hold.
    #[error("more than {most} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are allowed.
        most: usize,
    },
    /// An endpoint that does not exist.
    #[error("{of}: there is no endpoint '{endpoint}'")]
    UnknownEndpoint {
        /// What names it.
        of: Place,
        /// The name.
        endpoint: String,
    },
}

/// Part of a route table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Place {
    /// An enrichment, by key.
    #[error("enrichment '{0}'")]
    Enrichment(String),
    /// The fallback.
    #[error("fallback")]
    Fallback,
    /// A route, by name.
    #[error("route '{0}'")]
    Route(String),
}

impl Default for RouteSpec {
    fn default() -> Self {
        Self {
            name: String::new(),
            source: Source::DeviceMessages,
            condition: "true".to_owned(),
            endpoints: Vec::new(),
            enabled: true,
        }
    }
}

impl Default for FallbackSpec {
    fn default() -> Self {
        Self { enabled: true, endpoints: Vec::new() }
    }
}

impl Source {
    /// What its messages carry.
    #[must_use]
    pub const fn message_source(self) -> MessageSource {
        match self {
            Self::DeviceMessages => MessageSource::Telemetry,
            Self::DeviceConnectionStateEvents => MessageSource::DeviceConnectionStateEvents,
            Self::DeviceJobLifecycleEvents => MessageSource::DeviceJobLifecycleEvents,
            Self::DeviceLifecycleEvents => MessageSource::DeviceLifecycleEvents,
            Self::DigitalTwinChangeEvents => MessageSource::DigitalTwinChangeEvents,
            Self::TwinChangeEvents => MessageSource::TwinChangeEvents,
        }
    }
}

impl RouteError {
    /// Name of the route that is wrong, where it is one route.
    #[must_use]
    pub fn route(&self) -> Option<&str> {
        match self {
            Self::Condition { route, .. } | Self::DuplicateName { route } => Some(route),
            Self::NoEndpoint { of: Place::Route(route) } | Self::UnknownEndpoint { of: Place::Route(route), .. } => {
                Some(route)
            }
            _ => None,
        }
    }
}

impl Classify for RouteError {
    fn kind(&self) -> Kind {
        match self {
            Self::UnknownEndpoint { .. } => Kind::NotFound,
            Self::DuplicateName { .. } => Kind::Conflict,
            _ => Kind::Malformed,
        }
    }

    fn fault(&self) -> Fault {
        Fault::Operator
    }
}

/// What is wrong besides conditions.
pub(crate) fn check(
    routes: &[RouteSpec],
    enrichments: &[EnrichmentSpec],
    fallback: &FallbackSpec,
    endpoints: &[String],
) -> Vec<RouteError> {
    let mut errors = Vec::new();
    let counts = [
        ("endpoints", endpoints.len(), ENDPOINTS_MAX),
        ("routes", routes.len(), ROUTES_MAX),
        ("enrichments", enrichments.len(), ENRICHMENTS_MAX),
    ];
    errors.extend(
        counts
            .into_iter()
            .filter(|&(_, count, most)| count > most)
            .map(|(what, _, most)| RouteError::TooMany { what, most }),
    );
    for (at, route) in routes.iter().enumerate() {
        if route.name.is_empty() {
            errors.push(RouteError::NoName { number: at + 1 });
        }
        if routes.iter().take(at).any(|earlier| earlier.name == route.name) {
            errors.push(RouteError::DuplicateName { route: route.name.clone() });
        }
        check_endpoints(&Place::Route(route.name.clone()), &route.endpoints, endpoints, &mut errors);
    }
    for enrichment in enrichments {
        let is_key = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        if enrichment.key.is_empty() || !enrichment.key.bytes().all(is_key) {
            errors.push(RouteError::EnrichmentKey { key: enrichment.key.clone() });
        }
        check_endpoints(&Place::Enrichment(enrichment.key.clone()), &enrichment.endpoints, endpoints, &mut errors);
    }
    if fallback.enabled {
        check_endpoints(&Place::Fallback, &fallback.endpoints, endpoints, &mut errors);
    }
    errors
}

fn check_endpoints(of: &Place, named: &[String], known: &[String], errors: &mut Vec<RouteError>) {
    if named.is_empty() {
        errors.push(RouteError::NoEndpoint { of: of.clone() });
    }
    for endpoint in named.iter().filter(|endpoint| !known.contains(endpoint)) {
        errors.push(RouteError::UnknownEndpoint { of: of.clone(), endpoint: endpoint.clone() });
    }
}
