//! Measures what identities cost: imports COUNT of them (default 1,000,000) into a scratch registry, loads them as a hub
//! does, and says seconds and bytes each.
//! - Shape: `cargo run --release -p millrace-control --example registry_load -- [COUNT]`

use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use millrace_control::operator::{ImportRows, LocalOperator, Operator};
use millrace_control::{Follower, Policies, RegistryConfig, RegistryDirectory, SqliteStore};
use millrace_ingest::Directory;

const KEY: &str = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";

fn main() -> Result<(), Box<dyn Error>> {
    let count: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |count| count.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(count))
}

async fn measure(count: u64) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let dir = tempfile::tempdir()?;
    let csv: String = (0..count).map(|number| format!("device-{number:08},{KEY}\n")).collect();

    let begun = Instant::now();
    let operator = LocalOperator::open(dir.path(), true).await?;
    let report = operator.import(ImportRows::new(&mut csv.as_bytes()), false, &mut |_| {}).await?;
    writeln!(out, "import      {} identities in {:.2} s", report.created, begun.elapsed().as_secs_f64())?;
    drop((operator, csv));

    let store = Arc::new(SqliteStore::open(dir.path()).await?);
    let directory = Arc::new(RegistryDirectory::new(10_000_000, Arc::new(Policies::open(dir.path())?)));
    let before = resident_bytes()?;
    let begun = Instant::now();
    let _follower = Follower::start(store, Arc::clone(&directory), &RegistryConfig::default()).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let each = resident_bytes()?.saturating_sub(before) / count.max(1);
    writeln!(out, "load        {} identities in {seconds:.2} s, about {each} B resident each", directory.len())?;

    let begun = Instant::now();
    let found = (0..count).filter(|number| directory.find(&format!("device-{number:08}"), None).is_some()).count();
    let nanoseconds = begun.elapsed().as_nanos() / u128::from(count.max(1));
    writeln!(out, "look-up     {found} found, {nanoseconds} ns each with making the name")?;
    Ok(())
}

fn resident_bytes() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kibibytes: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kibibytes.saturating_mul(1024))
}
