//! Delivers events: one worker thread for all webhooks and topics of a sink, one request at a time for each.
//! - Invariants: order is kept per target; an event leaves its queue only when taken or given up; redirects are not followed;
//!   every address that a name resolves to is judged before it is connected to, and no proxy stands in between.
//! - Limits: `timeout_ms` for an attempt from connecting to the end of the answer; [`ANSWER_BYTES_MAX`] of the answer are read;
//!   retries with doubling pauses until `retry_seconds` after the event was decided.
//! - Errors: 408, 429, 5xx and everything below HTTP is tried again; any other answer than 2xx is final.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use millrace_model::Timestamp;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, Response, StatusCode, Url, header, redirect};
use tokio::sync::oneshot;

use crate::config::{Secret, WebhookConfig};
use crate::event::{EventPublisher, PublishError};
use crate::events::{self, ActionMetrics};
use crate::limits::{ANSWER_BYTES_MAX, RETRY_AFTER_SECONDS_MAX};
use crate::queue::{Queue, Waiting};
use crate::request::{SIGNATURE_HEADER, check_url, is_allowed, signature};
use crate::sink::AlertsCounters;

/// Why a webhook cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetUpError {
    #[error("url: {0}")]
    Url(String),
    #[error("cannot read {0}")]
    File(String, #[source] io::Error),
    #[error("the secret is empty")]
    EmptySecret,
    #[error("cannot use the authorities in ca_file")]
    Authorities(#[source] reqwest::Error),
    #[error("cannot set up TLS")]
    Client(#[source] reqwest::Error),
}

/// What one attempt came to.
enum Outcome {
    Taken,
    Final(String),
    Later { reason: String, after: Option<Duration> },
}

/// Where events go.
enum Route {
    Topic(Arc<dyn EventPublisher>),
    Webhook(Webhook),
}

struct Webhook {
    client: Client,
    url: Url,
    secret: Secret,
}

/// How long to try, and how often.
#[derive(Debug, Clone, Copy)]
struct Patience {
    first: Duration,
    pause_max: Duration,
    give_up_after_ms: i64,
}

/// One target with its queue.
pub(crate) struct Target {
    queue: Arc<Queue>,
    route: Route,
    patience: Patience,
    metrics: Arc<ActionMetrics>,
    counters: Arc<AlertsCounters>,
}

impl Target {
    /// A webhook.
    pub(crate) fn webhook(
        config: &WebhookConfig,
        queue: Arc<Queue>,
        metrics: Arc<ActionMetrics>,
        counters: Arc<AlertsCounters>,
    ) -> Result<Self, SetUpError> {
        let patience = Patience {
            first: Duration::from_millis(config.retry_first_ms),
            pause_max: Duration::from_millis(config.retry_pause_ms),
            give_up_after_ms: i64::try_from(config.retry_seconds.saturating_mul(1000)).unwrap_or(i64::MAX),
        };
        Ok(Self { queue, route: Route::Webhook(Webhook::new(config)?), patience, metrics, counters })
    }

    /// A topic, tried for a day.
    pub(crate) fn topic(
        publisher: Box<dyn EventPublisher>,
        queue: Arc<Queue>,
        metrics: Arc<ActionMetrics>,
        counters: Arc<AlertsCounters>,
    ) -> Self {
        let patience = Patience {
            first: Duration::from_millis(500),
            pause_max: Duration::from_secs(60),
            give_up_after_ms: 24 * 3_600_000,
        };
        Self { queue, route: Route::Topic(publisher.into()), patience, metrics, counters }
    }

    /// Delivers until the worker stops.
    async fn run(self) {
        loop {
            let event = self.queue.front().await;
            self.deliver(&event).await;
            self.queue.settle(event.number);
        }
    }

    async fn deliver(&self, event: &Arc<Waiting>) {
        let mut pause = self.patience.first;
        loop {
            let (reason, after) = match self.route.send(event).await {
                Outcome::Taken => {
                    self.metrics.delivered.increment(1);
                    self.counters.delivered.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Outcome::Final(reason) => return self.give_up(event, &reason),
                Outcome::Later { reason, after } => (reason, after),
            };
            let age = Timestamp::from(SystemTime::now()).0.saturating_sub(event.created.0);
            if age >= self.patience.give_up_after_ms {
                return self.give_up(event, &reason);
            }
            if pause == self.patience.first {
                tracing::warn!(action = self.queue.name, reason, "alert target does not take events; trying again");
            }
            self.metrics.retried.increment(1);
            self.queue.rest();
            tokio::time::sleep(after.unwrap_or_else(|| jittered(pause))).await;
            pause = pause.saturating_mul(2).min(self.patience.pause_max);
        }
    }

    fn give_up(&self, event: &Waiting, reason: &str) {
        self.metrics.given_up.increment(1);
        self.counters.failed.fetch_add(1, Ordering::Relaxed);
        events::given_up(&self.queue.name, &event.id, &event.key, reason);
    }
}

/// Between half of the pause and all of it, so that many hubs do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0_u8];
    // Without randomness the pause is only less spread.
    let spread = aws_lc_rs::rand::fill(&mut byte).map_or(0, |()| u32::from(byte[0]));
    pause / 2 + pause / 2 * spread / 255
}

impl Route {
    async fn send(&self, event: &Arc<Waiting>) -> Outcome {
        match self {
            Self::Topic(publisher) => {
                let (publisher, event) = (Arc::clone(publisher), Arc::clone(event));
                let call = move || publisher.publish(event.key.as_bytes(), &event.payload);
                match tokio::task::spawn_blocking(call).await {
                    Ok(Ok(())) => Outcome::Taken,
                    Ok(Err(PublishError::Refused(reason))) => Outcome::Final(reason),
                    Ok(Err(PublishError::Unavailable(reason))) => Outcome::Later { reason, after: None },
                    Err(error) => Outcome::Later { reason: error.to_string(), after: None },
                }
            }
            Self::Webhook(webhook) => webhook.send(event).await,
        }
    }
}

impl Webhook {
    fn new(config: &WebhookConfig) -> Result<Self, SetUpError> {
        let url = check_url(&config.url, config.allow_private).map_err(SetUpError::Url)?;
        let timeout = Duration::from_millis(config.timeout_ms);
        let mut builder = Client::builder()
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .http1_only()
            .pool_max_idle_per_host(1)
            .connect_timeout(timeout)
            .timeout(timeout)
            .user_agent(concat!("millrace/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Guarded { allow_private: config.allow_private });
        if let Some(file) = &config.ca_file {
            let pem = std::fs::read(file).map_err(|error| SetUpError::File(file.display().to_string(), error))?;
            builder = builder.tls_certs_only(Certificate::from_pem_bundle(&pem).map_err(SetUpError::Authorities)?);
        } else if url.scheme() == "http" {
            // No certificate is ever looked at; a machine without a certificate store can still call it.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().map_err(SetUpError::Client)?;
        Ok(Self { client, url, secret: secret(config)? })
    }

    async fn send(&self, event: &Waiting) -> Outcome {
        let seconds = Timestamp::from(SystemTime::now()).unix_seconds();
        let request = self
            .client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(SIGNATURE_HEADER, signature(self.secret.expose().as_bytes(), seconds, &event.payload))
            .header("x-millrace-event", &event.id)
            .body(event.payload.clone());
        match request.send().await {
            Ok(response) => judge(response).await,
            Err(error) => Outcome::Later { reason: reason(&error.without_url()), after: None },
        }
    }
}

fn secret(config: &WebhookConfig) -> Result<Secret, SetUpError> {
    let secret = match (&config.secret, &config.secret_file) {
        (Some(secret), _) => secret.clone(),
        (None, Some(file)) => {
            let text =
                std::fs::read_to_string(file).map_err(|error| SetUpError::File(file.display().to_string(), error))?;
            let text = zeroize::Zeroizing::new(text);
            Secret::new(text.trim())
        }
        (None, None) => return Err(SetUpError::EmptySecret),
    };
    if secret.expose().is_empty() { Err(SetUpError::EmptySecret) } else { Ok(secret) }
}

async fn judge(response: Response) -> Outcome {
    let status = response.status();
    let after = response
        .headers()
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok())
        .map(|seconds| Duration::from_secs(seconds.min(RETRY_AFTER_SECONDS_MAX)));
    read_off(response).await;
    let later = matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS);
    if status.is_success() {
        Outcome::Taken
    } else if later || status.is_server_error() {
        Outcome::Later { reason: format!("answered {}", status.as_u16()), after }
    } else {
        Outcome::Final(format!("answered {}", status.as_u16()))
    }
}

/// Reads the answer to its end so that the connection can be used again; one that does not end soon is dropped with it.
async fn read_off(mut response: Response) {
    let mut read = 0_usize;
    while let Ok(Some(chunk)) = response.chunk().await {
        read = read.saturating_add(chunk.len());
        if read > ANSWER_BYTES_MAX {
            return;
        }
    }
}

/// The causes of an error in one line.
fn reason(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Resolves names and leaves out addresses that may not be called. What it answers is what is connected to, so a name that
/// changes its address between check and use gains nothing.
struct Guarded {
    allow_private: bool,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|address| is_allowed(address.ip(), allow_private)).collect();
            if allowed.is_empty() {
                return Err("no address of this name may be called".into());
            }
            let addresses: Addrs = Box::new(allowed.into_iter());
            Ok(addresses)
        })
    }
}

/// The thread that delivers; stops when dropped, whatever is under way.
#[derive(Debug)]
pub(crate) struct Worker {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    /// Starts to deliver what waits in the queues of `targets`.
    pub(crate) fn start(name: &str, targets: Vec<Target>) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(targets.len() + 2)
            .thread_name("alerts-publish")
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name(format!("alerts-{name}")).spawn(move || {
            for target in targets {
                runtime.spawn(target.run());
            }
            // An error says that the sink is gone, which is the same as being stopped.
            drop(runtime.block_on(stopped));
            runtime.shutdown_background();
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was already reported by the panic hook.
            drop(thread.join());
        }
    }
}
