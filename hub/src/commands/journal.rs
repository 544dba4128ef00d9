//! `millrace journal inspect DIR`

use anyhow::Context as _;
use millrace_journal::{Inspection, ShardInspection, inspect};

use crate::cli::{JournalArguments, JournalCommand};
use crate::output::{Failure, line};

pub(crate) fn run(arguments: &JournalArguments) -> Result<(), Failure> {
    let JournalCommand::Inspect { directory, json } = &arguments.command;
    let below = directory.join("journal");
    let directory = if below.is_dir() { &below } else { directory };
    let inspection = inspect(directory).with_context(|| format!("cannot inspect {}", directory.display()))?;
    if *json {
        line(serde_json::to_string_pretty(&inspection).context("cannot write JSON")?);
    } else {
        inspection.shards.iter().for_each(show);
    }
    match damages(&inspection) {
        0 => Ok(()),
        count => Err(Failure::Failed(anyhow::anyhow!("{count} damaged ranges"))),
    }
}

fn damages(inspection: &Inspection) -> usize {
    inspection.shards.iter().flat_map(|shard| &shard.segments).map(|segment| segment.damage.len()).sum()
}

fn show(shard: &ShardInspection) {
    line(format_args!("{}", shard.directory.display()));
    for segment in &shard.segments {
        line(format_args!(
            "  {}: offsets {}..{}, {} messages in {} records, {} of {} bytes used, {} before compression",
            segment.file,
            segment.first_offset,
            segment.end_offset,
            segment.messages,
            segment.records,
            segment.used_bytes,
            segment.file_bytes,
            segment.uncompressed_bytes,
        ));
        for damage in &segment.damage {
            line(format_args!(
                "    damaged: bytes {}..{}, offsets {}..{}",
                damage.bytes.start, damage.bytes.end, damage.offsets.start, damage.offsets.end
            ));
        }
    }
    for stray in &shard.strays {
        line(format_args!("  not a segment: {stray}"));
    }
}
