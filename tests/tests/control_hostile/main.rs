//! Peers that mean harm, against a running hub: each gets its protocol's own error, and a device beside them notices nothing.

mod bystander;
mod files;
mod flood;
mod ids;
mod requests;
mod tokens;
mod topics;
mod twins;
