//! What a condition costs for each message: one thread, the best of many rounds.
//! - Shape: `cargo run --release -p millrace-router --example cost [CASE [ROUNDS]]`; a case by itself suits callgrind.
//! - Units: nanoseconds for one message; batches of 4,096.

use std::hint::black_box;
use std::time::Instant;

use millrace_model::batch::IdentitySlot;
use millrace_model::{Batch, BatchBuilder, Identity, IdentityRef, MessageSource, Offset, ShardId, Timestamp};
use millrace_router::{FallbackSpec, RouteSpec, RouteTable, Scratch};

const ROWS: usize = 4096;

/// Name, bag (`{}` is the row's number modulo 100), and conditions.
fn cases() -> Vec<(&'static str, &'static str, Vec<String>)> {
    let one = |condition: &str| vec![condition.to_owned()];
    let many = |count: usize| (0..count).map(|number| format!("alert = 'a{number}'")).collect();
    let full = "%24.mid=m{}&%24.ct=application%2Fjson&%24.ce=utf-8&alert=a{}&site=north";
    vec![
        ("always", "alert=a{}", one("true")),
        ("equal", "alert=a{}", one("alert = 'a7'")),
        ("not-equal", "alert=a{}", one("alert != 'a7'")),
        ("in", "alert=a{}", one("alert IN ['a7', 'a8', 'a90']")),
        ("is-defined", "alert=a{}", one("IS_DEFINED(alert)")),
        ("number", "alert={}", one("alert > 50")),
        ("equal-of-5", full, one("alert = 'a7'")),
        ("two-of-5", full, one("alert = 'a7' OR site = 'south'")),
        ("equal-10-routes", "alert=a{}", many(10)),
        ("equal-100-routes", "alert=a{}", many(100)),
        ("always-100-routes", "alert=a{}", vec!["true".to_owned(); 100]),
    ]
}

fn batch(bag: &str) -> Option<Batch> {
    let sender = IdentityRef { device_id: "d1", generation_id: "1", auth_method: "{}", ..IdentityRef::default() };
    let (mut builder, mut slot) = (BatchBuilder::new(), IdentitySlot::default());
    let identity = Identity::new(&sender)?;
    for row in 0..ROWS {
        let bag = bag.replace("{}", &(row % 100).to_string());
        let bag = [bag.as_bytes(), b""];
        builder.append(&identity, &mut slot, MessageSource::Telemetry, Timestamp(0), bag, b"{\"temperature\":21.5}");
    }
    Some(builder.seal(ShardId(0), Offset(0)))
}

fn table(conditions: &[String]) -> Option<RouteTable> {
    let endpoints = vec!["e".to_owned()];
    let route = |(number, condition): (usize, &String)| RouteSpec {
        name: format!("r{number}"),
        condition: condition.clone(),
        endpoints: endpoints.clone(),
        ..RouteSpec::default()
    };
    let routes: Vec<_> = conditions.iter().enumerate().map(route).collect();
    let fallback = FallbackSpec { enabled: false, endpoints: Vec::new() };
    RouteTable::compile(&routes, &[], &fallback, &endpoints, "hub").ok()
}

#[expect(clippy::print_stdout, reason = "the figures are the purpose")]
fn main() {
    let mut arguments = std::env::args().skip(1);
    let wanted = arguments.next();
    let rounds: u32 = arguments.next().and_then(|rounds| rounds.parse().ok()).unwrap_or(300);
    for (name, bag, conditions) in cases() {
        if wanted.as_ref().is_some_and(|wanted| wanted != name) {
            continue;
        }
        let (Some(batch), Some(table)) = (batch(bag), table(&conditions)) else {
            println!("{name}: cannot be set up");
            continue;
        };
        let mut scratch = Scratch::default();
        let mut best = f64::INFINITY;
        for _ in 0..rounds {
            let start = Instant::now();
            black_box(table.route(black_box(&batch), &mut scratch));
            best = best.min(start.elapsed().as_secs_f64());
        }
        println!("{name:18} {:7.1} ns", best * 1e9 / f64::from(u32::try_from(ROWS).unwrap_or(u32::MAX)));
    }
}
