//! From sockets to the journal: listeners, TLS, admission, shards.
//! - Shape: one thread per shard; each has its own `SO_REUSEPORT` listeners, a current-thread tokio runtime, its sessions, its
//!   open batch and its journal. Nothing on the way of a message is shared between shards, locked or reference-counted.
//! - Invariants: nothing is acknowledged before it is as safe as its listener's [`AcknowledgeLevel`] says. A peer's fault costs
//!   its own connection. When the journal takes no more, sockets are not read.
//!   Whatever is not telemetry is asked of the control side and never waited for: answers come back through a shard's queue.
//! - Not here: wire formats (`protocols/*`), who may connect (`control`, behind [`Directory`]), twins, methods, commands
//!   and registrations (behind the traits of `model::door`), routes and sinks.

mod accept;
mod acks;
mod admission;
mod any_certificate;
mod clock;
mod close;
mod command;
mod config;
mod connection;
mod connection_events;
mod deliveries;
mod desk;
mod dialogue;
mod directory;
mod doorway;
mod events;
mod introduction;
mod limits;
mod listen;
mod opening;
mod outbound;
mod pace;
mod quota;
mod receive;
mod requests;
mod serve;
mod server;
mod sessions;
mod shard;
mod stream;
mod submissions;
mod tls;
mod wheel;

pub use admission::{Admitted, Credentials, Refused, RefusedKind, admit};
pub use close::CloseReason;
pub use config::{AcknowledgeLevel, IngestConfig, ListenerConfig, QuotasConfig, Transport};
pub use directory::{Directory, Found, PolicyKeys, Proof};
pub use doorway::Doorway;
pub use listen::{BindError, Listeners};
pub use server::{Ingest, ShardStatus, Wiring};
pub use tls::{TlsError, server_config};
