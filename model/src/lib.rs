//! The nouns that all parts of Millrace share: ids, identities, messages, batches, deliveries, limits and error classes.
//! - Invariants: pure. No socket, file, thread, clock or randomness; time is an argument.
//! - Not here: wire formats (`protocols/*`), the durable form of a batch on disk (`journal`).

pub mod bag;
pub mod batch;
pub mod delivery;
pub mod door;
pub mod error;
pub mod hub_error;
pub mod identity;
pub mod ids;
pub mod limits;
pub mod name;
pub mod property;
pub mod time;
pub mod watermark;

pub use batch::{Batch, BatchBuilder, BatchColumns, Message, MessageSource};
pub use delivery::{DeadLetter, Delivery, Enrichment, Selection, Sink, SinkError};
pub use error::{Classify, Fault, Kind, Retry};
pub use hub_error::HubError;
pub use identity::{Identity, IdentityRef};
pub use ids::{Offset, ShardId};
pub use name::{IdentityName, NameError};
pub use property::{Property, PropertyName, SystemProperty};
pub use time::Timestamp;
pub use watermark::Watermark;
