//! How long after its message an alert reaches the webhook: 50,000 messages a second through the sink, open loop, 200 alerts a second.
//! Run with `cargo run --release -p millrace-sinks-alerts --example alert_latency`.

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use millrace_model::batch::IdentitySlot;
use millrace_model::{
    BatchBuilder, Delivery, Identity, IdentityRef, MessageSource, Offset, Selection, ShardId, Sink, Timestamp,
};
use millrace_sinks_alerts::{AlertsConfig, AlertsSink, RuleConfig, Secret, WebhookConfig};

const BATCH_ROWS: u64 = 50;
const BATCH_EVERY: Duration = Duration::from_millis(1);
const ALERT_EVERY: u64 = 5;
const BATCHES: u64 = 20_000;

fn config(port: u16) -> AlertsConfig {
    let hook = WebhookConfig {
        url: format!("http://127.0.0.1:{port}/"),
        secret: Some(Secret::new("k")),
        allow_private: true,
        ..WebhookConfig::default()
    };
    let rule = RuleConfig {
        name: "hot".to_owned(),
        value: Some("$.t".to_owned()),
        above: Some(30.0),
        actions: vec!["hook".to_owned()],
        ..RuleConfig::default()
    };
    AlertsConfig { rules: vec![rule], webhooks: [("hook".to_owned(), hook)].into(), ..AlertsConfig::default() }
}

/// Tells the offset and the moment of each request.
fn serve(stream: TcpStream, arrived: &mpsc::SyncSender<(u64, Instant)>) -> Result<(), Box<dyn Error>> {
    let mut out = stream.try_clone()?;
    let mut input = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    while input.read_line(&mut line)? > 0 {
        if let Some(number) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = number.trim().parse()?;
        }
        if line == "\r\n" {
            let mut body = vec![0; length];
            input.read_exact(&mut body)?;
            let now = Instant::now();
            let event: serde_json::Value = serde_json::from_slice(&body)?;
            let source = event["source"].as_str().and_then(|source| source.split_once(':')).ok_or("source")?;
            arrived.send((source.1.parse()?, now))?;
            out.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
        }
        line.clear();
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let (sender, arrived) = mpsc::sync_channel(1 << 20);
    let server = std::thread::spawn(move || {
        // Ends when the sink closes its one connection.
        drop(listener.accept().map(|(stream, _)| serve(stream, &sender)));
    });
    let directory = std::env::temp_dir().join(format!("alert-latency-{}", std::process::id()));
    let mut sink = AlertsSink::new("latency", &config(port), &directory, HashMap::new())?;
    let devices: Vec<Identity> = (0..5000)
        .filter_map(|number| {
            Identity::new(&IdentityRef { device_id: &format!("device-{number}"), ..IdentityRef::default() })
        })
        .collect();
    let hot = Identity::new(&IdentityRef { device_id: "hot", ..IdentityRef::default() }).ok_or("identity")?;

    let start = Instant::now();
    let mut builder = BatchBuilder::new();
    for batch in 0..BATCHES {
        for row in 0..BATCH_ROWS {
            let number = batch * BATCH_ROWS + row;
            let alert = row == 0 && batch % ALERT_EVERY == 0;
            let identity = if alert { &hot } else { &devices[usize::try_from(number)? % devices.len()] };
            let above = alert && batch % (2 * ALERT_EVERY) == 0;
            let body = if above { &br#"{"n":123456,"t":31.0}"#[..] } else { &br#"{"n":123456,"t":20.0}"#[..] };
            let at = Timestamp(i64::try_from(batch)?);
            builder.append(identity, &mut IdentitySlot::default(), MessageSource::Telemetry, at, [b"", b""], body);
        }
        let sealed = Arc::new(builder.seal(ShardId(0), Offset(batch * BATCH_ROWS)));
        let due = start + BATCH_EVERY * u32::try_from(batch)?;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        sink.deliver(&Delivery { selected: Selection::all(sealed.len()), batch: sealed, enrichments: Arc::new([]) })?;
        sink.poll(Instant::now())?;
    }
    sink.drain(Instant::now() + Duration::from_secs(30))?;
    drop(sink);
    drop(server.join());
    std::fs::remove_dir_all(directory)?;

    let mut delays: Vec<Duration> = Vec::new();
    for (offset, at) in arrived {
        delays.push(at.saturating_duration_since(start + BATCH_EVERY * u32::try_from(offset / BATCH_ROWS)?));
    }
    delays.sort_unstable();
    let mut out = std::io::stdout().lock();
    for (name, thousandths) in [("p50", 500), ("p90", 900), ("p99", 990), ("p99.9", 999), ("max", 1000)] {
        let delay = delays.get((delays.len() * thousandths / 1000).min(delays.len().saturating_sub(1)));
        writeln!(out, "{name:6} {:?}", delay.copied().unwrap_or_default())?;
    }
    writeln!(out, "{} alerts in {:?}", delays.len(), start.elapsed())?;
    Ok(())
}
