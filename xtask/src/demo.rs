//! The main job on embedded defaults: hub, a small fleet that replays real sensor data, Parquet files, a fired alert. Ends by itself.
//! - Shape: release build -> scratch directory `target/demo` -> hub on free ports -> devices -> fleet -> drain -> what came of it.
//! - Invariants: listens on 127.0.0.1 only; hub and fleet are ended whatever happens, with Ctrl-C too (they get the signal themselves).

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::process::{cargo, output, root, run, say};
use crate::signals::Service;

/// Two recorded days pass in this many seconds.
const SECONDS: u64 = 40;
const RECORDED_SECONDS: u64 = 2 * 24 * 3600;

const CONFIG: &str = r#"# The demo's configuration. Every value that is not here has its default.
[endpoints.parquet]
type = "parquet"
file_seconds = 15                 # files of 15 seconds, so that there is something to see at once
columns = [{ name = "power_kw", path = "$.power_kw", type = "double" }]

[endpoints.alerts]
type = "alerts"

[[endpoints.alerts.rules]]
name = "high-power"
value = "$.power_kw"
above = 25.0
clear_below = 20.0
severity = "warning"
summary = "an inverter feeds in more than 25 kW"
actions = ["log"]

[[routes]]
name = "cold-storage"
source = "DeviceMessages"
condition = "true"
endpoints = ["parquet"]

[[routes]]
name = "large-inverters"
source = "DeviceMessages"
condition = "$body.power_kw > 10"
endpoints = ["alerts"]

[fallback]
enabled = false
"#;

/// Where everything is.
struct Stage {
    programs: PathBuf,
    directory: PathBuf,
    mqtt: u16,
    mqtts: u16,
    admin: u16,
}

/// See the module's documentation.
pub(crate) fn run_all() -> anyhow::Result<()> {
    say("building hub and fleet (about ten minutes the first time on two cores)");
    run(cargo().args(["build", "--release", "--package", "millrace-hub", "--package", "millrace-loadgen"]))?;
    let target = target_directory()?;
    let directory = target.join("demo");
    if directory.exists() {
        std::fs::remove_dir_all(&directory).with_context(|| format!("cannot clear {}", directory.display()))?;
    }
    std::fs::create_dir_all(&directory)?;
    let [mqtt, mqtts, admin] = free_ports()?;
    play(&Stage { programs: target.join("release"), directory, mqtt, mqtts, admin })
}

fn play(stage: &Stage) -> anyhow::Result<()> {
    let trace = root().join("loadgen/data/inverters.csv");
    let devices = write_devices(stage, &trace)?;
    let mut hub = start_hub(stage)?;
    wait_until_ready(stage, &mut hub)?;
    let data = stage.directory.join("data");
    run(Command::new(stage.program("millrace")).args(["device", "import"]).arg(&devices).arg("--data-dir").arg(&data))?;
    // A running hub follows the registry within a second.
    std::thread::sleep(Duration::from_secs(1));
    let target = format!("127.0.0.1:{}", stage.mqtt);
    let compression = (RECORDED_SECONDS / SECONDS).to_string();
    let mut fleet = Command::new(stage.program("loadgen"));
    fleet.args(["run", "--target", &target, "--host-name", "localhost", "--connections", "10", "--replay"]);
    fleet.arg(&trace).args([
        "--replay-devices",
        "column",
        "--device-column",
        "device",
        "--time-compression",
        &compression,
    ]);
    fleet.args([
        "--duration",
        &SECONDS.to_string(),
        "--content-type",
        "application/json",
        "--content-encoding",
        "utf-8",
    ]);
    run(fleet.arg("--devices").arg(&devices))?;
    say("\nstopping the hub: it drains and completes its files");
    if !hub.stop(Duration::from_secs(40))? {
        bail!("the hub did not end well: see {}", stage.directory.join("hub.log").display());
    }
    show(stage)
}

impl Stage {
    fn program(&self, name: &str) -> PathBuf {
        self.programs.join(name)
    }
}

fn target_directory() -> anyhow::Result<PathBuf> {
    let metadata = output(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let directory = metadata.get("target_directory").and_then(serde_json::Value::as_str);
    Ok(directory.context("cargo names no target directory")?.into())
}

fn free_ports() -> anyhow::Result<[u16; 3]> {
    let open = || TcpListener::bind(("127.0.0.1", 0));
    let sockets = [open()?, open()?, open()?];
    let [one, two, three] = sockets.each_ref().map(TcpListener::local_addr);
    Ok([one?.port(), two?.port(), three?.port()])
}

/// The devices of the trace in the order of their first appearance, each with a key of its own.
fn write_devices(stage: &Stage, trace: &Path) -> anyhow::Result<PathBuf> {
    let text = std::fs::read_to_string(trace).with_context(|| format!("cannot read {}", trace.display()))?;
    let mut names: Vec<&str> = Vec::new();
    for name in text.lines().skip(1).filter_map(|row| row.split(',').nth(1)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let path = stage.directory.join("devices.csv");
    let mut file = File::create(&path)?;
    let mut random = File::open("/dev/urandom")?;
    for name in names {
        let mut key = [0; 32];
        random.read_exact(&mut key)?;
        writeln!(file, "{name},{}", base64(&key))?;
    }
    Ok(path)
}

/// Base64 with padding (RFC 4648 section 4): all that the demo needs of it.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let joined =
            chunk.iter().fold(0_u32, |joined, &byte| (joined << 8) | u32::from(byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = usize::try_from((joined >> (18 - 6 * place)) & 63).unwrap_or(0);
            text.push(if place > chunk.len() { '=' } else { char::from(DIGITS[digit]) });
        }
    }
    text
}

fn start_hub(stage: &Stage) -> anyhow::Result<Service> {
    let config = stage.directory.join("millrace.toml");
    std::fs::write(&config, CONFIG)?;
    let log = File::create(stage.directory.join("hub.log"))?;
    let address = |port| format!("127.0.0.1:{port}");
    let mut hub = Command::new(stage.program("millrace"));
    hub.arg("serve").arg("--config").arg(&config).arg("--data-dir").arg(stage.directory.join("data"));
    hub.args(["--mqtt", &address(stage.mqtt), "--mqtts", &address(stage.mqtts), "--admin", &address(stage.admin)]);
    Service::start(hub.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log))
}

fn wait_until_ready(stage: &Stage, hub: &mut Service) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline {
        if !hub.is_running() {
            bail!("the hub ended:\n{}", std::fs::read_to_string(stage.directory.join("hub.log"))?);
        }
        if is_ready(stage.admin) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    bail!("the hub does not get ready")
}

fn is_ready(admin: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", admin))?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"))
}

fn show(stage: &Stage) -> anyhow::Result<()> {
    let parquet = stage.directory.join("data/parquet");
    let files = parquet_files(&parquet)?;
    let log = stage.directory.join("hub.log");
    let text = std::fs::read_to_string(&log)?;
    let alerts: Vec<&str> = text.lines().filter(|line| line.contains("high-power")).collect();
    say(format_args!("\n{} Parquet files in {}", files.len(), parquet.display()));
    say("  look at them (pip install duckdb):");
    say(format_args!(
        "  python3 -c \"import duckdb; print(duckdb.sql(\\\"select device_id, count(*), max(power_kw) from '{}/**/*.parquet' group by 1 order by 1\\\"))\"",
        parquet.display()
    ));
    say(format_args!("{} alert events; the first one:", alerts.len()));
    say(format_args!("  {}", alerts.first().copied().unwrap_or("none")));
    say(format_args!("  look at them: grep high-power {}", log.display()));
    let data = stage.directory.join("data");
    say(format_args!(
        "what the journal still holds: {} journal inspect {}",
        stage.program("millrace").display(),
        data.display()
    ));
    say(format_args!("run it yourself: {} serve --data-dir ./data", stage.program("millrace").display()));
    if files.is_empty() || alerts.is_empty() {
        bail!("the demo shows less than it should: see {}", log.display());
    }
    Ok(())
}

fn parquet_files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                found.push(path);
            }
        }
    }
    Ok(found)
}
