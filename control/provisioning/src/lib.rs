//! The device provisioning service: devices register with what they have from the factory and are told which hub is theirs.
//! - Source: Azure DPS: enrollments, attestation, allocation and re-provisioning; device and service API.
//! - Shape: pure decisions in `enrollment`, `attestation`, `allocation`, `reprovision`, `tpm`, `derived_key`; `enrollments` and
//!   `registrations` keep, `hub` and `webhook` call others, `provisioner` drives all of it, `http` is its HTTP.
//! - Invariants: a registration is durable before it is answered. No key is part of a `Debug` or `Display` text or of a log line.
//! - Not here: MQTT (`ingest`), TLS and listeners (`ingest/https`), which authorities the hub trusts (`control`).

pub mod allocation;
pub mod attestation;
mod client;
pub mod config;
pub mod derived_key;
pub mod enrollment;
pub mod enrollments;
pub mod error;
pub mod events;
pub mod http;
pub mod hub;
pub mod limits;
pub mod provisioner;
mod random;
mod rate;
mod recent;
pub mod registration;
pub mod registration_id;
pub mod registrations;
pub mod reprovision;
pub mod tpm;
mod webhook;

pub use attestation::CertificateBook;
pub use config::{LinkedHubConfig, ProvisioningConfig};
pub use error::{Refused, StartError};
pub use http::ProvisioningApi;
pub use hub::{DeviceSpec, HubRegistry, LinkedHub, LocalHub, RemoteHub};
pub use provisioner::{Provisioner, Reply, Surroundings};
