//! Measures the stores: importing IDENTITIES (default 1,000,000) and reading them all as a hub does when it starts, then WRITES
//! (default 10,000) of documents as large as a twin, by one caller and by 64 at once. SQLite in a scratch directory, PostgreSQL on a
//! server that the tests' script starts; both sync each commit.
//! - Shape: `cargo run --release -p millrace-control-store --example figures -- [IDENTITIES] [WRITES]`

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use millrace_control_store::limits::PAGE_IDENTITIES_MAX;
use millrace_control_store::{
    Authentication, Batch, Collection, Database, DocumentKey, IdentityName, Precondition, Record, Write, clock, open,
    random,
};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// About what a twin with twenty properties and their metadata takes.
const BODY_BYTES: usize = 2_000;
const CALLERS: usize = 64;
/// As many as the operator's import hands over at once.
const IMPORT_ROWS: usize = 1_000;

fn main() -> Outcome<()> {
    let number = |position: usize, default| std::env::args().nth(position).map_or(Ok(default), |text| text.parse());
    let (identities, writes): (usize, usize) = (number(1, 1_000_000)?, number(2, 10_000)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let scratch = tempfile::tempdir()?;
    runtime.block_on(async {
        let sqlite = open(None, &scratch.path().join("sqlite")).await?;
        measure("sqlite", sqlite, identities, writes).await?;
        let url = postgres()?;
        measure("postgres", open(Some(&url), scratch.path()).await?, identities, writes).await
    })
}

async fn measure(what: &str, store: Arc<dyn Database>, identities: usize, writes: usize) -> Outcome<()> {
    let begun = Instant::now();
    import(&*store, identities).await?;
    say(what, &format!("import    {identities} identities in {:.1} s", begun.elapsed().as_secs_f64()))?;

    let begun = Instant::now();
    let read = load(&*store).await?;
    say(what, &format!("load      {read} identities in {:.1} s", begun.elapsed().as_secs_f64()))?;

    for (callers, writes) in [(1, writes / 10), (CALLERS, writes), (CALLERS, writes)] {
        let begun = Instant::now();
        write(&store, callers, writes).await?;
        let each = f64::from(u32::try_from(writes)?) / begun.elapsed().as_secs_f64();
        say(what, &format!("documents {writes} writes of {BODY_BYTES} B by {callers}: {each:.0} a second"))?;
    }
    Ok(())
}

async fn import(store: &dyn Database, identities: usize) -> Outcome<()> {
    let mut import = store.begin_import().await?;
    let mut records = Vec::with_capacity(IMPORT_ROWS);
    for number in 0..identities {
        let name = IdentityName::new(&format!("device-{number:08}"), None)?;
        let authentication = Authentication::Sas { primary: random::key()?, secondary: random::key()? };
        records.push(Record::new(name, authentication, clock::now(), random::salt()?));
        if records.len() == IMPORT_ROWS || number.saturating_add(1) == identities {
            import.add(&records).await?;
            records.clear();
        }
    }
    Ok(import.commit().await?)
}

async fn load(store: &dyn Database) -> Outcome<usize> {
    let (mut read, mut last) = (0_usize, None);
    loop {
        let page = store.identities(last.as_ref(), PAGE_IDENTITIES_MAX).await?;
        let Some(record) = page.last() else { return Ok(read) };
        last = Some(record.name.clone());
        read = read.saturating_add(page.len());
    }
}

/// Each caller has documents of its own and asks for the next write when the last one is answered.
async fn write(store: &Arc<dyn Database>, callers: usize, writes: usize) -> Outcome<()> {
    let each = writes.div_ceil(callers);
    let callers: Vec<_> = (0..callers)
        .map(|caller| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                for number in 0..each {
                    let identity = IdentityName::new(&format!("device-{:08}", caller * each + number), None)?;
                    let key = DocumentKey::of(Collection::Twin, &identity);
                    let write = Write::put(key, Precondition::Any, vec![b'x'; BODY_BYTES]);
                    store.apply(Batch { identity: Some(identity), writes: vec![write] }).await?;
                }
                Outcome::Ok(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    Ok(())
}

fn say(what: &str, text: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{what:<9} {text}")
}

/// Starts a server that ends with this process; answers the address of a database.
fn postgres() -> Outcome<String> {
    let directory = tempfile::Builder::new().prefix("millrace-postgres-").tempdir()?.keep();
    let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "tests", "servers", "postgres.sh"].iter().collect();
    let output = run(&script, &directory)?;
    let address = output.lines().last().unwrap_or_default();
    Ok(format!("postgres://millrace@{address}/postgres"))
}

fn run(script: &Path, directory: &Path) -> Outcome<String> {
    let mut command = Command::new("bash");
    command.arg(script).arg("start").arg(directory).env("MILLRACE_TEST_PID", std::process::id().to_string());
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if output.status.success() { Ok(String::from_utf8(output.stdout)?) } else { Err("the server did not start".into()) }
}
