//! The order of the crates: each may use only those that `Cargo.toml` lists before it.
//! - Invariants: programs for tests and benches (`tests`, `benches`, `loadgen`) use what they like; nobody uses them.

use std::collections::HashMap;

use anyhow::{Context as _, bail};
use serde_json::Value;

use crate::process::{cargo, output, root, say};

/// Crates that stand outside the order.
const OUTSIDE: [&str; 4] = ["benches", "loadgen", "tests", "xtask"];

pub(crate) fn check() -> anyhow::Result<()> {
    let metadata = output(cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata")?;
    let order = order()?;
    let packages = metadata.get("packages").and_then(Value::as_array).context("no packages")?;
    let folders: HashMap<&str, String> =
        packages.iter().filter_map(|package| Some((text(package, "name")?, folder(package)?))).collect();
    let mut wrong = Vec::new();
    for package in packages {
        let Some(own) = folder(package).filter(|own| !OUTSIDE.contains(&own.as_str())) else {
            continue;
        };
        for dependency in package.get("dependencies").and_then(Value::as_array).into_iter().flatten() {
            let is_for_tests = text(dependency, "kind") == Some("dev");
            let Some(used) = text(dependency, "name").and_then(|name| folders.get(name)).filter(|_| !is_for_tests)
            else {
                continue;
            };
            let position = |name: &str| order.iter().position(|entry| entry == name);
            if OUTSIDE.contains(&used.as_str()) || position(used) >= position(&own) {
                wrong.push(format!("{own} uses {used}, which does not stand before it"));
            }
        }
    }
    if !wrong.is_empty() {
        bail!("layers: {}", wrong.join("; "));
    }
    say("layers: every crate uses only those before it");
    Ok(())
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

fn folder(package: &Value) -> Option<String> {
    let manifest = text(package, "manifest_path")?;
    let relative = manifest.strip_prefix(root().to_str()?)?.strip_suffix("Cargo.toml")?;
    Some(relative.trim_matches('/').to_owned())
}

/// The members in the order of the root manifest.
pub(crate) fn order() -> anyhow::Result<Vec<String>> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml"))?;
    let (_, members) = manifest.split_once("members = [").context("no members")?;
    let (members, _) = members.split_once(']').context("no end of the members")?;
    Ok(members
        .split(',')
        .map(|member| member.trim().trim_matches('"').to_owned())
        .filter(|member| !member.is_empty())
        .collect())
}
