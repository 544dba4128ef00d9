//! How many rows a second a condition looks at. Prints one line for each condition.
//! - Shape: `cargo run --release -p millrace-control-query --example figures`

#![expect(clippy::print_stdout, reason = "figures are for whoever runs this")]

use std::error::Error;
use std::time::Instant;

use millrace_control_query::{Aggregation, Query};
use serde_json::{Value, json};

const ROWS: u32 = 100_000;

fn row(number: u32) -> Value {
    json!({
        "deviceId": format!("device-{number:06}"), "etag": "AAAAAAAAAAE=", "status": "enabled", "version": number,
        "connectionState": "Disconnected", "authenticationType": "sas", "tags": {"site": if number.is_multiple_of(4) { "A" } else { "B" }},
        "properties": {
            "desired": {"interval": 10, "$metadata": {"$lastUpdated": "2024-05-01T09:00:00Z"}, "$version": 3},
            "reported": {"fw": format!("1.{}", number % 7), "interval": number % 60, "$version": 7},
        },
        "capabilities": {"iotEdge": false},
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let rows: Vec<_> = (0..ROWS).map(row).collect();
    for condition in [
        "tags.site = 'A'",
        "tags.site = 'A' AND properties.reported.interval >= 30 AND NOT is_defined(tags.retired)",
        "deviceId IN ['device-000001', 'device-050000', 'device-099999']",
        "STARTSWITH(UPPER(properties.reported.fw), '1.3')",
    ] {
        let query = Query::parse(&format!("SELECT * FROM devices WHERE {condition}"))?;
        let start = Instant::now();
        let matched = rows.iter().filter(|row| query.matches(row)).count();
        println!("{:>6.1} M rows/s, {matched:>6} match: {condition}", rate(start));
    }
    let query =
        Query::parse("SELECT properties.reported.fw, count() AS n FROM devices GROUP BY properties.reported.fw")?;
    let (start, mut aggregation) = (Instant::now(), Aggregation::new(&query));
    rows.iter().try_for_each(|row| aggregation.add(row))?;
    println!("{:>6.1} M rows/s, {:>6} groups: {query}", rate(start), aggregation.finish().len());
    Ok(())
}

/// Million rows a second.
fn rate(start: Instant) -> f64 {
    f64::from(ROWS) / start.elapsed().as_secs_f64() / 1e6
}
