//! What lies behind the shards on a message's road: journals, routes, and the endpoints that deliver.

use std::sync::Arc;

use anyhow::Context as _;
use millrace_journal::Journal;
use millrace_model::{DeadLetter, ShardId, Watermark};
use millrace_router::{DeadLetters, DriverHandle, RouteTable, Routes, Trimmer};

use super::data_directory::DataDirectory;
use super::endpoints;
use crate::config::Config;

/// See the module's documentation.
pub(crate) struct Road {
    pub(crate) journals: Vec<Journal>,
    pub(crate) routes: Arc<Routes>,
    /// Names of the endpoints.
    pub(crate) endpoints: Vec<String>,
    pub(crate) drivers: Arc<Vec<DriverHandle>>,
    pub(crate) trimmer: Trimmer,
    /// How far the Kafka endpoints have come, for each shard.
    pub(crate) kafka: Vec<Option<Arc<Watermark>>>,
}

impl Road {
    pub(crate) fn open(config: &Config, data_directory: &DataDirectory) -> anyhow::Result<Self> {
        let journals = open_journals(config, data_directory)?;
        let letters = DeadLetters::open(&data_directory.part("dead-letter")?, config.dead_letter_bytes_max);
        let dead_letters: Arc<dyn DeadLetter> = Arc::new(letters.context("cannot open the dead letters")?);
        let names: Vec<String> = config.endpoints.iter().map(|endpoint| endpoint.name.clone()).collect();
        let routes = Arc::new(Routes::new(table(config, &names)?, Arc::clone(&dead_letters)));
        let drivers = endpoints::start_all(&endpoints::Surroundings {
            data_directory: data_directory.path(),
            journals: &journals,
            routes: &routes,
            dead_letters: &dead_letters,
            endpoints: &config.endpoints,
        })?;
        let kafka = endpoints::kafka_watermarks(&config.endpoints, &drivers, journals.len());
        let drivers = Arc::new(drivers);
        let trimmer = Trimmer::start(journals.clone(), &drivers).context("cannot start the trimmer")?;
        Ok(Self { journals, routes, endpoints: names, drivers, trimmer, kafka })
    }
}

/// Opens the journal of every shard, and those that an earlier, larger number of shards has left: they still hold messages.
fn open_journals(config: &Config, data_directory: &DataDirectory) -> anyhow::Result<Vec<Journal>> {
    let shards = config.ingest.shards.max(data_directory.shards()?);
    let directory = data_directory.part("journal")?;
    let open = |shard| {
        // Offsets that a sink has gone past are never given again, even if the disk has lost the journal's end.
        let floor = millrace_router::cursor::highest(data_directory.path(), ShardId(shard))?;
        let opened = Journal::open_from(ShardId(shard), &directory, &config.journal, floor);
        let (journal, _) = opened.with_context(|| format!("cannot open the journal of shard {shard}"))?;
        Ok(journal)
    };
    (0..shards).map(open).collect()
}

fn table(config: &Config, endpoints: &[String]) -> anyhow::Result<RouteTable> {
    let routing = &config.routing;
    RouteTable::compile(&routing.routes, &routing.enrichments, &routing.fallback, endpoints, &config.hub_name)
        .map_err(|errors| anyhow::anyhow!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
}
