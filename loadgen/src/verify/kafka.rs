//! Reads a Kafka topic back, from the beginning to what was its end when reading began.
//! - Source: key = device id, header `millrace-offset` = `shard:offset`; an application property is a header of its name.
//! - Errors: topic missing, broker away for [`PATIENCE`].

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use crate::stamp;
use crate::verify::audit::{Audit, Seen};

const OFFSET_HEADER: &str = "millrace-offset";
/// How long nothing may come.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// Hands every message of a topic to the audit.
pub(super) fn read(bootstrap: &str, topic: &str, properties: &[(String, String)], audit: &mut Audit<'_>) -> Result<()> {
    let mut config = ClientConfig::new();
    // The group is never joined: partitions are assigned by hand and nothing is committed.
    config.set("bootstrap.servers", bootstrap).set("group.id", "loadgen-verify").set("enable.auto.commit", "false");
    config.set("isolation.level", "read_committed").set("auto.offset.reset", "error");
    config.set("fetch.message.max.bytes", "8388608");
    for (key, value) in properties {
        config.set(key, value);
    }
    let consumer: BaseConsumer = config.create().context("Kafka client")?;
    let mut remaining = assign(&consumer, topic)?;
    let mut heard = Instant::now();
    while !remaining.is_empty() {
        match consumer.poll(POLL) {
            Some(Ok(message)) => {
                heard = Instant::now();
                look(&message, audit);
            }
            Some(Err(error)) if heard.elapsed() > PATIENCE => return Err(error).context("reading Kafka"),
            Some(Err(_)) => {}
            None if heard.elapsed() > PATIENCE => bail!("Kafka: nothing came for {} s", PATIENCE.as_secs()),
            None => {}
        }
        // Positions also move over what is no message (markers of transactions), so ends are judged by them.
        let positions = consumer.position()?;
        for element in positions.elements_for_topic(topic) {
            if let (Offset::Offset(next), Some(end)) = (element.offset(), remaining.get(&element.partition()))
                && next >= *end
            {
                remaining.remove(&element.partition());
            }
        }
    }
    Ok(())
}

/// Assigns all partitions that have something; answers their ends.
fn assign(consumer: &BaseConsumer, topic: &str) -> Result<HashMap<i32, i64>> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).context("asking Kafka for the topic")?;
    let partitions = metadata.topics().iter().find(|known| known.name() == topic).map(|known| known.partitions());
    let partitions = partitions.filter(|partitions| !partitions.is_empty());
    let Some(partitions) = partitions else { bail!("Kafka has no topic {topic:?}") };
    let mut ends = HashMap::new();
    let mut assignment = TopicPartitionList::new();
    for partition in partitions {
        let (first, end) = consumer.fetch_watermarks(topic, partition.id(), PATIENCE).context("asking for offsets")?;
        if first < end {
            ends.insert(partition.id(), end);
            assignment.add_partition_offset(topic, partition.id(), Offset::Offset(first))?;
        }
    }
    consumer.assign(&assignment).context("assigning partitions")?;
    Ok(ends)
}

fn look(message: &BorrowedMessage<'_>, audit: &mut Audit<'_>) {
    let header = |name: &str| {
        let headers = message.headers()?;
        headers.iter().find(|header| header.key == name).and_then(|header| header.value)
    };
    let device_id = message.key().and_then(|key| std::str::from_utf8(key).ok()).unwrap_or_default();
    audit.look(&Seen {
        stream: u32::try_from(message.partition()).unwrap_or(0),
        device_id,
        body: message.payload().unwrap_or_default(),
        stamp: header(stamp::NAME),
        place: header(OFFSET_HEADER).and_then(place),
    });
}

fn place(value: &[u8]) -> Option<(u32, u64)> {
    let (shard, offset) = std::str::from_utf8(value).ok()?.split_once(':')?;
    Some((shard.parse().ok()?, offset.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_and_nonsense_is_none() {
        assert_eq!(place(b"3:12345"), Some((3, 12_345)));
        for wrong in [&b""[..], b"3", b"a:b", b"3:", &[0xff, b':']] {
            assert_eq!(place(wrong), None);
        }
    }
}
