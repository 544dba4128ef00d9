//! Measures what identities cost: imports COUNT of them (default 1,000,000) into a scratch registry, loads them as a hub
//! does, and says seconds and bytes each.
//! - Shape: `cargo run --release -p millrace-control --example registry_load -- [COUNT]`

use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use millrace_control::{Follower, Policies, RegistryConfig, RegistryDirectory};
use millrace_control_store::registry::{Authentication, IdentityName, Record};
use millrace_control_store::{SqliteStore, Store, clock};
use millrace_ingest::Directory;
use millrace_protocols_identity::Key;

/// Identities that are handed to the store at a time.
const PART: u64 = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let count: u64 = std::env::args().nth(1).map_or(Ok(1_000_000), |count| count.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(count))
}

async fn measure(count: u64) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let dir = tempfile::tempdir()?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(dir.path()).await?);

    let begun = Instant::now();
    let mut import = store.begin_import().await?;
    for start in (0..count).step_by(usize::try_from(PART)?) {
        let part = (start..count.min(start.saturating_add(PART))).map(record).collect::<Result<Vec<_>, _>>()?;
        import.add(&part).await?;
    }
    import.commit().await?;
    writeln!(out, "import      {count} identities in {:.2} s", begun.elapsed().as_secs_f64())?;

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

fn record(number: u64) -> Result<Record, Box<dyn Error>> {
    let key = || Key::from_bytes(&[b'k'; 32]);
    let authentication = Authentication::Sas { primary: key()?, secondary: key()? };
    Ok(Record::new(IdentityName::new(&format!("device-{number:08}"), None)?, authentication, clock::now(), 7))
}

fn resident_bytes() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    let kibibytes: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kibibytes.saturating_mul(1024))
}
