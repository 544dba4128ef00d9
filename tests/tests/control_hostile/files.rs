//! File uploads: names that climb, permissions that are forged, bodies that are too large or never end.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use millrace_protocols_identity::sas;
use millrace_tests::device::token;
use millrace_tests::rest::{Answer, answer, connection, request};
use millrace_tests::scene::{Scene, key};
use serde_json::json;

use crate::bystander::{Bystander, refused};

const CONFIGURATION: &str =
    "[files]\nupload_bytes_max = 1048576\nblock_bytes_max = 262144\nuploads_per_device_max = 100\n";
/// Bytes that stand in no file that was not uploaded.
const MARK: &[u8] = b"MARK-OF-AN-UPLOAD";

/// Asks where to put a file.
fn ask(scene: &Scene, id: &str, name: &str) -> Result<Answer> {
    let token = token(id, &key()?);
    let headers = [("Authorization", token.as_str()), ("Content-Type", "application/json")];
    let path = format!("/devices/{}/files?api-version=2021-04-12", sas::encode(id));
    request(scene.rest.address, "POST", &path, &headers, json!({"blobName": name}).to_string().as_bytes())
}

/// Path and permission of a file.
fn granted(scene: &Scene, id: &str, name: &str) -> Result<(String, String)> {
    let answer = ask(scene, id, name)?;
    ensure!(answer.status == 200, "{name}: {answer:?}");
    let json = answer.json();
    let text = |name: &str| json[name].as_str().map(str::to_owned).context("a member is missing");
    let blob: Vec<String> = text("blobName")?.split('/').map(sas::encode).collect();
    Ok((format!("/{}/{}", text("containerName")?, blob.join("/")), text("sasToken")?))
}

fn put(scene: &Scene, target: &str, body: &[u8]) -> Result<Answer> {
    request(scene.rest.address, "PUT", target, &[("x-ms-blob-type", "BlockBlob")], body)
}

/// Files below a folder, outside of that of uploads, that hold the mark.
fn strays(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("data/files") {
            found.extend(strays(&path)?);
        } else if path.is_file() && fs::read(&path)?.windows(MARK.len()).any(|window| window == MARK) {
            found.push(path.display().to_string());
        }
    }
    Ok(found)
}

#[test]
fn names_do_not_climb_and_permissions_are_not_forged() -> Result<()> {
    let scene = Scene::new(CONFIGURATION)?;
    let bystander = Bystander::start(&scene)?;
    for id in ["dev", "victim", ".."] {
        scene.rest.create(id, &key()?)?;
    }
    let bad = [
        "",
        ".",
        "..",
        "../x",
        "a/../../x",
        "/etc/passwd",
        "a//b",
        "..\\x",
        "a/./b",
        "a/..",
        "a\u{0}b",
        "a\nb",
        "x.",
        &"x".repeat(2_000),
        &"a/".repeat(1_000),
    ];
    for name in bad {
        refused(name, &ask(&scene, "dev", name)?, &[400])?;
    }
    for (id, name) in [("dev", "%2e%2e/%2e%2e/x"), ("dev", "C:x"), ("dev", "a?b#c&d=e"), ("dev", "é 💥"), ("..", "x")]
    {
        let (path, sas) = granted(&scene, id, name)?;
        let answer = put(&scene, &format!("{path}{sas}"), MARK)?;
        ensure!(answer.status == 201, "{id} {name}: {answer:?}");
    }
    ensure!(strays(scene.hub.scratch())?.is_empty(), "{:?}", strays(scene.hub.scratch())?);
    let (path, sas) = granted(&scene, "dev", "a.txt")?;
    let (_, of_victim) = granted(&scene, "victim", "a.txt")?;
    let container = path.split('/').nth(1).context("no container")?;
    let forged = sas.replace("sig=", "sig=A");
    let targets = [
        format!("{path}{of_victim}"),
        format!("{path}{forged}"),
        path.clone(),
        format!("{path}?sig=&se=&sp=rw"),
        format!("/{container}/victim/a.txt{sas}"),
        format!("/{container}/dev/../victim/a.txt{sas}"),
        format!("/{container}/dev/%2e%2e/victim/a.txt{sas}"),
        format!("/{container}/dev/a.txt/..{sas}"),
        format!("/{container}/dev/a.txt%00{sas}"),
        format!("/{container}//dev/a.txt{sas}"),
        format!("/{container}/dev%2Fa.txt/x{sas}"),
        format!("/devices/dev/a.txt{sas}"),
        format!("{path}{sas}&comp=block&blockid=Li4vLi4vLi4veA=="),
        format!("{path}{sas}&comp=block&blockid=%00"),
        format!("{path}{sas}&comp=lease"),
        format!("{path}{sas}&comp=blocklist"),
    ];
    for target in &targets {
        let answer = put(&scene, target, MARK)?;
        let is_block = target.contains("blockid=Li4v");
        let is_refused = (400..500).contains(&answer.status) || answer.status == 501;
        ensure!(is_refused || is_block && answer.status == 201, "{target}: {answer:?}");
    }
    bad_block_lists(&scene, &format!("{path}{sas}&comp=blocklist"))?;
    ensure!(strays(scene.hub.scratch())?.is_empty(), "{:?}", strays(scene.hub.scratch())?);
    bystander.finish(scene)
}

/// Lists that are none: entities that grow, depth, open ends, blocks that never came.
fn bad_block_lists(scene: &Scene, target: &str) -> Result<()> {
    let entities = "<!DOCTYPE x [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><BlockList><Latest>&b;</Latest></BlockList>";
    for list in [
        entities,
        &"<BlockList>".repeat(50_000),
        "<BlockList><Latest>",
        "\u{0}",
        "<BlockList><Latest>eHh4</Latest></BlockList>",
    ] {
        let answer = put(scene, target, list.as_bytes())?;
        ensure!((400..500).contains(&answer.status), "{answer:?}");
    }
    Ok(())
}

#[test]
fn bodies_that_are_too_large_are_refused_before_they_are_read() -> Result<()> {
    let scene = Scene::new(CONFIGURATION)?;
    let bystander = Bystander::start(&scene)?;
    scene.rest.create("dev", &key()?)?;
    let (path, sas) = granted(&scene, "dev", "large")?;
    let own = token("dev", &key()?);
    let owner = scene.rest.token();
    let ten_gigabytes = 10_u64 << 30;
    for (method, target, authorization) in [
        ("PUT", format!("{path}{sas}"), ""),
        ("PUT", format!("{path}{sas}&comp=block&blockid=AAAA"), ""),
        ("PUT", format!("{path}{sas}&comp=blocklist"), ""),
        ("POST", "/devices/dev/messages/events".to_owned(), &own),
        ("POST", "/devices/dev/files".to_owned(), &own),
        ("POST", "/devices/dev/files/notifications".to_owned(), &own),
        ("PATCH", "/twins/dev".to_owned(), &owner),
        ("PUT", "/devices/dev".to_owned(), &owner),
        ("POST", "/devices/dev/messages/devicebound".to_owned(), &owner),
        ("POST", "/devices/query".to_owned(), &owner),
    ] {
        let begun = Instant::now();
        let mut stream = connection(scene.rest.address)?;
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nx-ms-blob-type: BlockBlob\r\n\
             Authorization: {authorization}\r\nContent-Type: application/json\r\nContent-Length: {ten_gigabytes}\r\n\r\n"
        )?;
        // Some of it; the hub need not wait for the rest.
        drop(stream.write_all(&[b'x'; 1000]));
        let answer = answer(&mut stream)?;
        ensure!(answer.status == 413, "{method} {target}: {answer:?}");
        ensure!(begun.elapsed() < Duration::from_secs(20), "{method} {target}: {:?}", begun.elapsed());
    }
    endless(&scene, &format!("{path}{sas}"))?;
    bystander.finish(scene)
}

/// A body of unknown length, far beyond what is allowed.
fn endless(scene: &Scene, target: &str) -> Result<()> {
    let mut stream = connection(scene.rest.address)?;
    write!(
        stream,
        "PUT {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nx-ms-blob-type: BlockBlob\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    )?;
    let chunk = [&b"10000\r\n"[..], &[b'x'; 0x10000], b"\r\n"].concat();
    let sent = (0..10_000).take_while(|_| stream.write_all(&chunk).is_ok()).count();
    ensure!(sent < 1_000, "the hub took {sent} chunks of 64 KiB, and 1 MiB is allowed");
    // The answer may have been lost with what was still under way.
    if let Ok(answer) = answer(&mut stream) {
        ensure!([400, 411, 413].contains(&answer.status), "{answer:?}");
    }
    Ok(())
}

#[test]
fn slow_bodies_and_slow_heads_end() -> Result<()> {
    let settings = "body_seconds = 1\nbody_rate_bytes_min = 100000\nidle_seconds = 1";
    let scene = Scene::with_https(settings, CONFIGURATION)?;
    let bystander = Bystander::start(&scene)?;
    scene.rest.create("dev", &key()?)?;
    let (path, sas) = granted(&scene, "dev", "slow")?;
    let own = token("dev", &key()?);
    let slow = [
        format!(
            "PUT {path}{sas} HTTP/1.1\r\nHost: localhost\r\nx-ms-blob-type: BlockBlob\r\nContent-Length: 500000\r\n\r\n"
        ),
        format!(
            "POST /devices/dev/messages/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: {own}\r\nContent-Length: 200000\r\n\r\n"
        ),
        "GET /devices HTTP/1.1\r\nHost: localhost\r\nA: ".to_owned(),
    ];
    for head in slow {
        let begun = Instant::now();
        let mut stream = connection(scene.rest.address)?;
        stream.write_all(head.as_bytes())?;
        while stream.write_all(b"x").is_ok() {
            ensure!(begun.elapsed() < Duration::from_secs(30), "never ended: {head}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    bystander.finish(scene)
}
