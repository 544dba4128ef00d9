//! The blob endpoint, written to and read by the storage libraries that devices use for their files.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::process::Command;
use std::sync::Arc;

use millrace_control_files::{Files, FilesConfig};
use millrace_control_store::registry::{Authentication, Record};
use millrace_control_store::{IdentityName, SqliteStore, Store as _, clock};
use millrace_tests::{node, python};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Runs a command with the addresses of uploads that were begun for it; what it prints is JSON.
async fn run(mut command: Command) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(directory.path()).await.unwrap());
    let name = IdentityName::new("d#1", None).unwrap();
    store.create(&Record::new(name.clone(), Authentication::None, clock::now(), 1)).await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host_name = listener.local_addr().unwrap().to_string();
    let config = FilesConfig { upload_bytes_max: 20_000_000, ..FilesConfig::default() };
    let files = Files::open(config, store, directory.path(), &host_name).await.unwrap();
    let serving = tokio::spawn(axum::serve(listener, files.router()).into_future());
    let mut addresses = serde_json::Map::new();
    for file in ["whole", "blocks", "resumed", "too_large"] {
        let upload = files.begin(&name, &format!("logs of today/{file}")).await.unwrap();
        let blob = upload.blob_name.replace('#', "%23").replace(' ', "%20");
        let address = format!("http://{}/{}/{blob}{}", upload.host_name, upload.container_name, upload.sas_token);
        addresses.insert(file.to_owned(), address.into());
    }
    command.arg(Value::from(addresses).to_string());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    serving.abort();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_library_writes_resumes_and_reads() {
    let mut command = Command::new(python::venv().unwrap());
    command.arg(python::script("blob_client.py"));
    let facts = run(command).await;
    assert!(facts["etag"].as_str().unwrap().starts_with('"'), "{facts}");
    assert_eq!(facts["exists"], "BlobAlreadyExists");
    assert_eq!(facts["staged"], json!([["first", 6], ["second", 3]]));
    assert_eq!(facts["resumed"], "hello world");
    assert_eq!(facts["committed"], json!([2, 0]));
    assert_eq!(facts["too_large"], json!([413, "RequestBodyTooLarge"]));
    assert_eq!(facts["denied"], json!([403, "AuthenticationFailed"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_node_library_writes_and_reads() {
    let facts = run(node::node("blob_client.js").unwrap()).await;
    assert_eq!((&facts["whole"], &facts["stream"]), (&201.into(), &201.into()), "{facts}");
    assert_eq!(facts["too_large"], json!([413, "RequestBodyTooLarge"]));
}
