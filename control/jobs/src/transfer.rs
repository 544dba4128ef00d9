//! Imports and exports of identities: files in containers, a line for each identity.
//! - Source: Azure IoT Hub service REST API, JobProperties; ExportImportDevice.
//! - Shape: `request` (what is asked) -> `job` (its state, pure) -> `import`, `export` (who does it), over `container`.
//! - Invariants: one import or export at a time for the whole hub. An import goes on behind the last line whose outcome is written, so after
//!   a crash the lines of one step are carried out once more; an export starts again, because its file appears only when it is whole.

mod container;
mod export;
mod import;
mod job;
mod lines;
mod request;
mod run;
mod service;

pub use container::Containers;
pub use job::{Progress, Transfer, TransferStatus};
pub use request::{ContainerAddress, TransferKind, TransferRequest};
