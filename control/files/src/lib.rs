//! File uploads: the handshake with the device, a blob endpoint that the Azure storage libraries write to, and the news of it for services.
//! - Source: Azure IoT Hub file uploads; Azure Blob service REST API, as far as the libraries use it to write and read block blobs.
//! - Shape: `files` decides who may write what and when ([`Files`]), `sas` signs that, `blob` takes the bytes and streams them into an
//!   object store, `notification` is the queue of news.
//! - Invariants: a device writes only below its own id, only the one name that it was given, and only for as long as it was told. A blob
//!   appears whole or not at all. Everything unfinished is cleaned away.
//! - Limits: memory is `writes_max` times two parts, or the longest list of blocks, whatever is uploaded.
//! - Not here: who the device is (`ingest/https`), routes of the device API and of the service API.

mod blob;
mod config;
mod events;
mod files;
mod limits;
mod name;
mod notification;
mod record;
mod sas;
mod target;
#[cfg(test)]
mod tests;

pub use config::{FilesConfig, Options};
pub use files::{FileError, Files, Outcome, Upload};
pub use notification::ReceivedNotification;
