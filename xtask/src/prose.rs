//! What documents and sources promise: paths that ARCHITECTURE.md and README.md name exist, and so do files that any document links to; every
//! crate stands on the map, no source is over its size, nothing is left open.

use std::path::Path;
use std::process::Command;

use anyhow::bail;

use crate::layers;
use crate::process::{output, root, say};

/// Lines of one source file, tests in it included.
const LINES_MAX: usize = 600;

/// What must not stand in a source file; written so that this file does not hold it.
const LEFT_OPEN: [&str; 5] = [
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("#[ign", "ore"),
    concat!("FIX", "ME"),
    concat!("XX", "X "),
];

pub(crate) fn check() -> anyhow::Result<()> {
    let root = root();
    let files = output(Command::new("git").args(["ls-files"]).current_dir(&root))?;
    let mut wrong = Vec::new();
    for file in files.lines().filter(|file| file.ends_with(".rs") && root.join(file).exists()) {
        let text = std::fs::read_to_string(root.join(file))?;
        let lines = text.lines().count();
        if lines > LINES_MAX {
            wrong.push(format!("{file} has {lines} lines: is there a second idea in it?"));
        }
        if !text.starts_with("//!") && !text.starts_with("#!") {
            wrong.push(format!("{file} does not say in its first line what it is"));
        }
        wrong.extend(LEFT_OPEN.iter().filter(|open| text.contains(*open)).map(|open| format!("{file} holds {open}")));
    }
    for document in files.lines().filter(|file| file.ends_with(".md") && root.join(file).exists()) {
        wrong.extend(dead_links(&root, document)?);
    }
    for document in ["ARCHITECTURE.md", "README.md"] {
        wrong.extend(missing(&root, document)?);
    }
    wrong.extend(unmapped(&root)?);
    if !wrong.is_empty() {
        bail!("prose:\n  {}", wrong.join("\n  "));
    }
    say("prose: documents and sources keep their promises");
    Ok(())
}

/// Links to files that do not exist, seen from the document's own folder.
fn dead_links(root: &Path, document: &str) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join(document))?;
    let path = root.join(document);
    let folder = path.parent().unwrap_or(root);
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    let files = targets.filter(|target| !target.is_empty() && !target.contains(':'));
    Ok(files
        .filter(|target| !folder.join(target).exists())
        .map(|target| format!("{document} links to {target}, which does not exist"))
        .collect())
}

/// Crates that the map does not name.
fn unmapped(root: &Path) -> anyhow::Result<Vec<String>> {
    let map = std::fs::read_to_string(root.join("ARCHITECTURE.md"))?;
    let crates = layers::order()?.into_iter().filter(|name| !map.contains(&format!("`{name}`")));
    Ok(crates.map(|name| format!("ARCHITECTURE.md does not say what {name} is")).collect())
}

/// Paths in backquotes that do not exist. A path has a slash and no blank, and begins with a folder of the tree.
fn missing(root: &Path, document: &str) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join(document))?;
    let is_path = |part: &&str| {
        part.contains('/') && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/_.-".contains(&byte))
    };
    let begins_here =
        |part: &&str| part.split('/').next().is_some_and(|first| !first.is_empty() && root.join(first).is_dir());
    let inside = text.split('`').skip(1).step_by(2);
    Ok(inside
        .filter(is_path)
        .filter(begins_here)
        .filter(|part| !root.join(part).exists())
        .map(|part| format!("{document} names {part}, which does not exist"))
        .collect())
}
