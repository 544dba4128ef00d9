//! A hub as a process of its own, on free loopback ports, in a temporary directory.
//! - Invariants: it keeps its ports and data over [`Hub::kill`] and [`Hub::start_again`]; it is gone when the value is.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::programs::{millrace, run};

/// How long anything may take. Machines are shared, and the profile under test is not optimized.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// See the module's documentation.
#[derive(Debug)]
pub struct Hub {
    directory: tempfile::TempDir,
    child: Option<Child>,
    /// Address of the MQTT listener.
    pub mqtt: SocketAddr,
    /// Address of the MQTT listener with TLS.
    pub mqtts: SocketAddr,
    /// Address of the admin listener.
    pub admin: SocketAddr,
    /// Address of the HTTPS listener, where there is one.
    pub https: Option<SocketAddr>,
}

/// The ports that SDKs know and no others: MQTT over TLS, and HTTPS with WebSocket.
const SDK_PORTS: (u16, u16) = (8883, 443);

impl Hub {
    /// Starts a hub with this configuration on free ports of 127.0.0.1 and waits until it is ready.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start(configuration: &str) -> Result<Self> {
        Self::start_at(configuration, Ipv4Addr::LOCALHOST, None)
    }

    /// As [`Self::start`], on 127.77.83.`number` and the ports that SDKs know, under that address as its host name. The number is the
    /// test's own, so that its ports are free.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start_for_sdks(configuration: &str, number: u8) -> Result<Self> {
        let address = Ipv4Addr::new(127, 77, 83, number);
        let hub = format!("[hub]\nname = \"hub\"\nhost_names = [\"{address}\"]\n{configuration}");
        Self::start_at(&hub, address, Some(SDK_PORTS))
    }

    fn start_at(configuration: &str, address: Ipv4Addr, fixed: Option<(u16, u16)>) -> Result<Self> {
        // Held together until all are chosen, so that no two are the same.
        let free = || TcpListener::bind((address, 0));
        let sockets = [free()?, free()?, free()?];
        let [mqtt, mqtts, admin] = sockets.each_ref().map(TcpListener::local_addr);
        let at = |port| SocketAddr::new(IpAddr::V4(address), port);
        let mqtts = fixed.map_or(mqtts?, |(port, _)| at(port));
        let https = fixed.map(|(_, port)| at(port));
        let mut hub = Self { directory: tempfile::tempdir()?, child: None, mqtt: mqtt?, mqtts, admin: admin?, https };
        drop(sockets);
        hub.configure(configuration)?;
        hub.start_again()?;
        Ok(hub)
    }

    /// Writes the configuration file anew; a running hub loads its routes from it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn configure(&self, configuration: &str) -> Result<()> {
        Ok(fs::write(self.directory.path().join("millrace.toml"), configuration)?)
    }

    /// Starts the hub, after it has ended or was killed, and waits until it is ready.
    ///
    /// # Errors
    /// When it does not get ready.
    pub fn start_again(&mut self) -> Result<()> {
        self.child = Some(self.command()?.spawn()?);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("the hub ended with {status}\n{}", self.log());
            }
            if self.get("/readyz").is_ok_and(|(status, _)| status == 200) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!("the hub does not get ready\n{}", self.log())
    }

    fn command(&self) -> Result<Command> {
        let log = File::options().append(true).create(true).open(self.directory.path().join("hub.log"))?;
        let mut command = millrace(&["serve"])?;
        command.arg("--config").arg(self.directory.path().join("millrace.toml")).arg("--data-dir").arg(self.data());
        let listeners = [("--mqtt", self.mqtt), ("--mqtts", self.mqtts), ("--admin", self.admin)];
        for (flag, address) in listeners.into_iter().chain(self.https.map(|https| ("--https", https))) {
            command.arg(flag).arg(address.to_string());
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Ok(command)
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// A scratch directory that goes with the hub.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// Everything that it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("hub.log")).unwrap_or_default()
    }

    /// Number of its process.
    ///
    /// # Errors
    /// When it does not run.
    pub fn id(&self) -> Result<u32> {
        Ok(self.child.as_ref().context("the hub does not run")?.id())
    }

    /// Ends it as kill -9 does.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the hub does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Sends a signal by its name.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, name: &str) -> Result<()> {
        run(Command::new("kill").args([&format!("-{name}"), &self.id()?.to_string()]))?;
        Ok(())
    }

    /// Asks it to end and waits for it.
    ///
    /// # Errors
    /// When it does not end.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.signal("TERM")?;
        let mut child = self.child.take().context("the hub does not run")?;
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill()?;
        child.wait()?;
        bail!("the hub does not end\n{}", self.log())
    }

    /// Asks the admin listener; answers status and body.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.admin, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET {path} HTTP/1.0\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
        Ok((status, body.to_owned()))
    }

    /// Value of a metric, summed over its labels.
    ///
    /// # Errors
    /// When the admin listener does not answer.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let (_, text) = self.get("/metrics")?;
        let is_it = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
        Ok(text.lines().filter(is_it).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// Runs `millrace device …` on its data directory; answers standard output.
    ///
    /// # Errors
    /// When the command fails.
    pub fn device(&self, arguments: &[&str]) -> Result<String> {
        run(millrace(&["device"])?.args(arguments).arg("--data-dir").arg(self.data()))
    }

    /// Runs any subcommand of `millrace` on its data directory; answers standard output.
    ///
    /// # Errors
    /// When the command fails.
    pub fn operate(&self, arguments: &[&str]) -> Result<String> {
        run(millrace(arguments)?.arg("--data-dir").arg(self.data()))
    }

    /// The connection string of a service policy.
    ///
    /// # Errors
    /// When the command fails.
    pub fn service(&self, policy: &str) -> Result<String> {
        Ok(self.operate(&["policy", "connection-string", policy])?.trim().to_owned())
    }

    /// The certificate of its private CA.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.data().join("tls/ca.pem")
    }

    /// Makes devices `dev-0` and so on, and a file of their keys for the load generator.
    ///
    /// # Errors
    /// When they cannot be made, or the running hub does not take note of them.
    pub fn devices(&self, count: usize) -> Result<PathBuf> {
        let mut rows = String::new();
        for number in 0..count {
            // Base64 of 32 bytes that differ from device to device.
            writeln!(rows, "dev-{number},{number:0>42}A=")?;
        }
        let path = self.directory.path().join("devices.csv");
        fs::write(&path, rows)?;
        let file = path.to_str().context("a path that is not UTF-8")?;
        self.device(&["import", file])?;
        Ok(path)
    }

    /// Waits until a condition on the hub holds.
    ///
    /// # Errors
    /// When it does not in time; `what` says what was waited for.
    pub fn wait(&self, what: &str, mut holds: impl FnMut(&Self) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if holds(self)? {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        ensure!(false, "waited in vain for: {what}\n{}", self.log());
        Ok(())
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            drop(child.kill());
            drop(child.wait());
        }
    }
}
