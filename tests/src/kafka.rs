//! A real one-node Kafka broker, and a reader that knows nothing of Millrace.
//! - Shape: [`KafkaServer`] drives `servers/kafka.sh`, which fetches the broker on first use.
//! - Limits: [`read_all`] gives up when nothing new comes for [`READ_SECONDS_MAX`].

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};
use tempfile::TempDir;

/// How long the broker may take to answer one question.
const ANSWER_SECONDS_MAX: u64 = 30;

/// How long a reader waits for the next record that it knows is there.
const READ_SECONDS_MAX: u64 = 60;

/// A broker of its own for one test. Stopped when dropped.
#[derive(Debug)]
pub struct KafkaServer {
    directory: TempDir,
    bootstrap: String,
}

impl KafkaServer {
    /// Starts a broker on free ports in a temporary directory and waits until it answers.
    ///
    /// # Errors
    /// When it cannot be fetched or does not start; the text says why.
    pub fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("millrace-kafka-").tempdir()?;
        let bootstrap = script("start", directory.path())?;
        Ok(Self { directory, bootstrap })
    }

    /// The broker that tests of one process share, each with topics of its own. It ends with its last user.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn shared() -> Result<Arc<Self>> {
        static SHARED: Mutex<Weak<KafkaServer>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = shared.upgrade() {
            return Ok(server);
        }
        let server = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&server);
        Ok(server)
    }

    /// `host:port` of the broker; the same after a restart.
    #[must_use]
    pub fn bootstrap(&self) -> &str {
        &self.bootstrap
    }

    /// Where its configuration, log and data are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Ends the broker with `kill -9`.
    ///
    /// # Errors
    /// When the script fails.
    pub fn kill(&self) -> Result<()> {
        script("kill", self.directory.path()).map(drop)
    }

    /// Ends the broker in order and leaves it down.
    ///
    /// # Errors
    /// When the script fails.
    pub fn stop(&self) -> Result<()> {
        script("stop", self.directory.path()).map(drop)
    }

    /// Starts the broker again with the same port and data, after it was ended if it still ran.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn restart(&self) -> Result<()> {
        let bootstrap = script("restart", self.directory.path())?;
        ensure!(bootstrap == self.bootstrap, "restarted on {bootstrap} instead of {}", self.bootstrap);
        Ok(())
    }

    /// Creates a topic with settings such as `("max.message.bytes", "2000")`.
    ///
    /// # Errors
    /// When the broker refuses or does not answer.
    pub fn create_topic(&self, topic: &str, partitions: i32, settings: &[(&str, &str)]) -> Result<()> {
        let admin: AdminClient<DefaultClientContext> = client(&self.bootstrap).create()?;
        let mut wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        for (name, value) in settings {
            wanted = wanted.set(name, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(ANSWER_SECONDS_MAX)));
        let answers = block_on(admin.create_topics([&wanted], &options))?;
        for answer in answers {
            answer.map_err(|(name, code)| anyhow::anyhow!("topic {name}: {code}"))?;
        }
        Ok(())
    }
}

impl Drop for KafkaServer {
    fn drop(&mut self) {
        // Its data goes with the directory, so there is nothing to end in order.
        if let Err(error) = self.kill() {
            eprintln!("the Kafka broker in {} may still run: {error:#}", self.directory.path().display());
        }
    }
}

/// One record as a consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Partition it stands in.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its time stamp, milliseconds since 1970.
    pub timestamp: Option<i64>,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its headers in order; a null value is `None`.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// Its payload.
    pub payload: Option<Vec<u8>>,
}

impl Record {
    /// The value of a header as text; `None` when it is absent, null or not text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name)?;
        std::str::from_utf8(value.as_deref()?).ok()
    }
}

/// Reads all records that a topic holds now, partition by partition, each in its order.
///
/// # Errors
/// When the broker does not answer, or stops before the end.
pub fn read_all(bootstrap: &str, topic: &str) -> Result<Vec<Record>> {
    let consumer: BaseConsumer = client(bootstrap)
        .set("group.id", "millrace-tests")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "error")
        .create()?;
    let mut records = Vec::new();
    for partition in partitions(&consumer, topic)? {
        read_partition(&consumer, topic, partition, &mut records)?;
    }
    Ok(records)
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(topic), Duration::from_secs(ANSWER_SECONDS_MAX))?;
    let topic = metadata.topics().first().context("no such topic")?;
    ensure!(topic.error().is_none(), "topic {}: {:?}", topic.name(), topic.error());
    Ok(topic.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect())
}

fn read_partition(consumer: &BaseConsumer, topic: &str, partition: i32, records: &mut Vec<Record>) -> Result<()> {
    let (low, high) = consumer.fetch_watermarks(topic, partition, Duration::from_secs(ANSWER_SECONDS_MAX))?;
    if low >= high {
        return Ok(());
    }
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, Offset::Offset(low))?;
    consumer.assign(&assignment)?;
    let mut deadline = Instant::now() + Duration::from_secs(READ_SECONDS_MAX);
    let mut next = low;
    while next < high {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            ensure!(Instant::now() < deadline, "partition {partition} stops at {next} of {high}");
            continue;
        };
        // The consumer connects again by itself; only its silence counts.
        let Ok(message) = message else { continue };
        if message.partition() == partition && message.offset() >= next {
            next = message.offset() + 1;
            records.push(record(&message));
            deadline = Instant::now() + Duration::from_secs(READ_SECONDS_MAX);
        }
    }
    Ok(())
}

fn record(message: &rdkafka::message::BorrowedMessage<'_>) -> Record {
    let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
    Record {
        partition: message.partition(),
        offset: message.offset(),
        timestamp: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        headers: headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect(),
        payload: message.payload().map(<[u8]>::to_vec),
    }
}

fn client(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap).set("reconnect.backoff.max.ms", "200");
    config
}

/// Waits on this thread for the one future that the admin client knows no other way to give.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(output) => return output,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

/// Runs `kafka.sh` and answers the last line it printed.
fn script(verb: &str, directory: &Path) -> Result<String> {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "servers", "kafka.sh"].iter().collect();
    let mut command = Command::new("bash");
    command.arg(path).arg(verb).arg(directory).env("MILLRACE_TEST_PID", std::process::id().to_string());
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().context("bash")?;
    if !status.success() {
        bail!("kafka.sh {verb}: {status}: {}", String::from_utf8_lossy(&stderr).trim());
    }
    Ok(String::from_utf8_lossy(&stdout).lines().last().unwrap_or_default().trim().to_owned())
}
