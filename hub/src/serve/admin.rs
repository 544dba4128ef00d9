//! The admin listener: metrics, health and the service API, on an address that is not the devices'.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;

use super::bounded::Bounded;
use super::health::{Health, Report};

/// How often the recorder sorts what histograms have gathered.
const UPKEEP: Duration = Duration::from_secs(5);

/// Connections at once: some of the descriptors that are kept free of devices' connections, and no more of them.
const CONNECTIONS_MAX: usize = 256;

#[derive(Clone)]
struct Admin {
    health: Arc<Health>,
    metrics: PrometheusHandle,
}

/// Binds the address, so that a port already taken is found at start.
pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(address).await;
    listener.with_context(|| format!("cannot listen on {address} (admin)"))
}

/// Serves for as long as the runtime lives.
pub(crate) fn serve(
    listener: TcpListener,
    health: Arc<Health>,
    metrics: PrometheusHandle,
    service: Router,
) -> anyhow::Result<()> {
    let address = listener.local_addr()?;
    tracing::info!(%address, "admin: /metrics, /healthz, /readyz, and the service API");
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "the admin listener has no TLS and is open to others: put a proxy with TLS before it");
    }
    let upkeep = metrics.clone();
    drop(tokio::spawn(async move {
        let mut interval = tokio::time::interval(UPKEEP);
        loop {
            interval.tick().await;
            upkeep.run_upkeep();
        }
    }));
    let router = Router::new()
        .route("/metrics", get(render))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .with_state(Admin { health, metrics })
        .merge(service);
    drop(tokio::spawn(async move {
        if let Err(error) = axum::serve(Bounded::new(listener, CONNECTIONS_MAX), router).await {
            tracing::error!(%error, "the admin listener ended");
        }
    }));
    Ok(())
}

async fn render(State(admin): State<Admin>) -> impl IntoResponse {
    gauges(&admin.health);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], admin.metrics.render())
}

/// What is read when asked for instead of counted when it happens.
fn gauges(health: &Health) {
    for status in health.ingest.status() {
        let shard = status.shard.to_string();
        let connections = u32::try_from(status.connections).unwrap_or(u32::MAX);
        metrics::gauge!("millrace_ingest_connections", "shard" => shard).set(f64::from(connections));
    }
    for driver in health.drivers.iter() {
        let behind = u32::try_from(driver.lag().iter().sum::<u64>()).unwrap_or(u32::MAX);
        metrics::gauge!("millrace_sink_behind_messages", "sink" => driver.name().to_owned()).set(f64::from(behind));
    }
}

async fn healthz(State(admin): State<Admin>) -> (StatusCode, Json<Report>) {
    let report = admin.health.report();
    (status(report.is_alive), Json(report))
}

async fn readyz(State(admin): State<Admin>) -> (StatusCode, Json<Report>) {
    let report = admin.health.report();
    (status(report.is_ready), Json(report))
}

const fn status(is_good: bool) -> StatusCode {
    if is_good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
