//! What the control side keeps, and where: identities, and documents such as twins, queues and enrollments.
//! - Shape: `registry` are identities and the decisions about them (pure), `documents` everything else, `store` the traits and
//!   the stores behind them: SQLite, embedded, and PostgreSQL for several nodes.
//! - Invariants: what a store has answered with `Ok` is durable. No key is part of a `Debug` or `Display` text or of a log line.
//! - Not here: what the documents mean (`control/*`), who follows changes (`control`).

pub mod clock;
pub mod documents;
pub mod error;
pub mod events;
pub mod limits;
pub mod random;
pub mod registry;
pub mod store;

pub use documents::{ApplyError, Batch, Collection, Document, DocumentKey, Documents, Precondition, Scan, Write};
pub use error::RegistryError;
pub use registry::{Authentication, Change, ChangeKind, IdentityName, Record, Status};
pub use store::{Database, PostgresStore, SqliteStore, Store, open};
