//! `millrace serve`: builds the parts in the order in which a message meets them, runs until told to stop, drains them in the same order.
//! - Shape: data directory -> registry -> journals -> endpoints (sinks and their drivers) -> ingest -> admin listener.
//! - Invariants: everything that can be wrong with configuration, addresses and files is found before the first device connects.

mod admin;
mod apis;
mod bounded;
mod certificates;
mod data_directory;
mod descriptors;
mod drain;
mod endpoints;
mod health;
mod https;
mod logging;
mod parts;
mod provisioning;
mod publisher;
mod registry;
mod reload;
mod road;
mod telemetry;

use anyhow::Context as _;

use crate::cli::ServeArguments;
use crate::config::{Config, Flags};
use crate::output::Failure;

/// Runs the hub until SIGTERM or Ctrl-C.
pub(crate) fn run(arguments: &ServeArguments) -> Result<(), Failure> {
    let ServeArguments { mqtt, mqtts, https, admin, .. } = *arguments;
    let flags = Flags { mqtt, mqtts, https, admin };
    let config = load(arguments.config.as_deref(), &flags)?;
    logging::start(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")?;
    runtime.block_on(async {
        let source = reload::Source { file: arguments.config.clone(), flags };
        let hub = parts::Hub::start(config, &arguments.data_dir, source).await?;
        let stopped = hub.run().await;
        hub.drain(stopped).await
    })?;
    Ok(())
}

/// Reads and resolves a configuration file; without one, the defaults.
fn load(file: Option<&std::path::Path>, flags: &Flags) -> Result<Config, Failure> {
    let text = match file {
        None => String::new(),
        Some(file) => std::fs::read_to_string(file)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?,
    };
    Config::resolve(&text, flags).map_err(|problems| {
        let name = file.map(|file| file.display().to_string()).unwrap_or_default();
        let lines: Vec<String> = problems.iter().map(|problem| format!("{name}: {problem}")).collect();
        Failure::usage(lines.join("\n"))
    })
}
