//! Log lines: to standard error, as text or JSON.

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{LogFormat, LogSection};

/// Starts logging for the whole process.
pub(crate) fn start(config: &LogSection) -> anyhow::Result<()> {
    let level: Targets = config.level.parse()?;
    let registry = tracing_subscriber::registry().with(level);
    match config.format {
        LogFormat::Text => registry.with(fmt::layer().with_writer(std::io::stderr).with_target(false)).try_init()?,
        LogFormat::Json => registry.with(fmt::layer().json().with_writer(std::io::stderr)).try_init()?,
    }
    Ok(())
}
