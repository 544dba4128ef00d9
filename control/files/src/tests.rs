//! Uploads from the handshake to the notification, over requests as the libraries send them.

use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use millrace_control_store::registry::{Authentication, Expected, Record};
use millrace_control_store::{Collection, Documents, SqliteStore, Store as _, clock};
use millrace_model::{HubError, IdentityName};
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use tower_service::Service as _;

use crate::files::now_unix;
use crate::{Files, FilesConfig, Outcome, Upload};

const BLOCK_BLOB: (&str, &str) = ("x-ms-blob-type", "BlockBlob");

struct Hub {
    directory: tempfile::TempDir,
    store: Arc<SqliteStore>,
    files: Arc<Files>,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

fn d1() -> IdentityName {
    IdentityName::new("d1", None).unwrap()
}

fn small() -> FilesConfig {
    FilesConfig { upload_bytes_max: 1000, block_bytes_max: 600, notifications: true, ..FilesConfig::default() }
}

const DONE: Outcome = Outcome { is_success: true, status_code: 200, status_description: None };

impl Hub {
    async fn new(config: FilesConfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(directory.path()).await.unwrap());
        for id in ["d1", "d2"] {
            let name = IdentityName::new(id, None).unwrap();
            store.create(&Record::new(name, Authentication::None, clock::now(), 1)).await.unwrap();
        }
        let documents: Arc<dyn Documents> = store.clone();
        let files = Files::open(config, documents, directory.path(), "hub.example.net").await.unwrap();
        Self { directory, store, files }
    }

    async fn begin(&self, file: &str) -> Upload {
        self.files.begin(&d1(), file).await.unwrap()
    }

    async fn ask(
        &self,
        method: &str,
        upload: &Upload,
        query: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let Upload { container_name, blob_name, sas_token, .. } = upload;
        let uri = format!("/{container_name}/{}{sas_token}{query}", blob_name.replace(' ', "%20"));
        self.ask_uri(method, &uri, headers, body).await
    }

    async fn ask_uri(&self, method: &str, uri: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).unwrap();
        let response = self.files.router().as_service::<Body>().call(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    async fn put_block(&self, upload: &Upload, id: &str, body: &'static [u8]) -> u16 {
        let query = format!("&comp=block&blockid={}", STANDARD.encode(id).replace('=', "%3D"));
        self.ask("PUT", upload, &query, &[], body).await.status
    }

    async fn put_list(&self, upload: &Upload, ids: &[&str]) -> u16 {
        let entries: String = ids.iter().map(|id| format!("<Latest>{}</Latest>", STANDARD.encode(id))).collect();
        let xml = format!("<?xml version='1.0' encoding='utf-8'?>\n<BlockList>{entries}</BlockList>");
        self.ask("PUT", upload, "&comp=blocklist", &[], xml).await.status
    }

    /// Names of all objects.
    async fn objects(&self) -> Vec<String> {
        let listed = self.files.store.list(None).map(|meta| meta.unwrap().location.to_string());
        let mut names: Vec<String> = listed.collect().await;
        names.sort();
        names
    }
}

fn code(answer: &Answer) -> &str {
    answer.headers["x-ms-error-code"].to_str().unwrap()
}

#[tokio::test]
async fn a_file_goes_up_in_one_piece_and_the_service_hears_of_it() {
    let hub = Hub::new(small()).await;
    let upload = hub.begin("logs/a b.txt").await;
    assert_eq!((upload.blob_name.as_str(), upload.host_name.as_str()), ("d1/logs/a b.txt", "hub.example.net"));
    let headers = [
        BLOCK_BLOB,
        ("content-md5", "XUFAKrxLKna5cZ2REBfFkg=="),
        ("x-ms-client-request-id", "c1"),
        ("x-ms-version", "2025-05-05"),
    ];
    let answer = hub.ask("PUT", &upload, "&timeout=30", &headers, "hello").await;
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    assert_eq!(answer.headers["content-md5"], "XUFAKrxLKna5cZ2REBfFkg==");
    assert_eq!(
        (&answer.headers["x-ms-client-request-id"], &answer.headers["x-ms-version"]),
        (&"c1".parse().unwrap(), &"2025-05-05".parse().unwrap())
    );
    let etag = answer.headers["etag"].to_str().unwrap();
    assert!(
        etag.starts_with('"')
            && etag.ends_with('"')
            && answer.headers["last-modified"].to_str().unwrap().ends_with(" GMT")
    );

    let read = hub.ask("GET", &upload, "", &[("x-ms-range", "bytes=1-100")], "").await;
    assert_eq!(
        (read.status, read.body.as_ref(), &read.headers["content-range"]),
        (206, &b"ello"[..], &"bytes 1-4/5".parse().unwrap())
    );
    let read = hub.ask("HEAD", &upload, "", &[], "").await;
    assert_eq!((read.status, read.body.len(), &read.headers["content-length"]), (200, 0, &"5".parse().unwrap()));

    hub.files.finish(&d1(), &upload.correlation_id, &DONE).await.unwrap();
    hub.files.finish(&d1(), &upload.correlation_id, &DONE).await.unwrap();
    assert_eq!(hub.store.count_documents(Collection::FileNotification, None).await.unwrap(), 1, "once");
    assert_eq!(hub.ask("PUT", &upload, "", &[BLOCK_BLOB], "again").await.status, 403, "it is over");

    let received = hub.files.receive_notification().await.unwrap().unwrap();
    let news: serde_json::Value = serde_json::from_slice(&received.body).unwrap();
    assert_eq!(news["blobUri"], "https://hub.example.net/uploads/d1/logs/a%20b.txt");
    assert_eq!(
        (&news["deviceId"], &news["blobName"], &news["blobSizeInBytes"]),
        (&"d1".into(), &"d1/logs/a b.txt".into(), &5.into())
    );
    assert!(hub.files.receive_notification().await.unwrap().is_none(), "locked");
    hub.files.abandon_notification(&received.lock_token).await.unwrap();
    assert_eq!(hub.files.complete_notification(&received.lock_token).await, Err(HubError::LOCK_LOST));
    let again = hub.files.receive_notification().await.unwrap().unwrap();
    hub.files.complete_notification(&again.lock_token).await.unwrap();
    assert!(hub.files.receive_notification().await.unwrap().is_none());
}

#[tokio::test]
async fn notifications_are_handed_out_so_often_and_no_more() {
    let hub = Hub::new(FilesConfig { notification_deliveries_max: 2, ..small() }).await;
    let upload = hub.begin("a").await;
    assert_eq!(
        hub.files.finish(&d1(), &upload.correlation_id, &DONE).await.unwrap_err().status,
        400,
        "no file is there"
    );
    hub.ask("PUT", &upload, "", &[BLOCK_BLOB], "x").await;
    hub.files.finish(&d1(), &upload.correlation_id, &DONE).await.unwrap();
    for _ in 0..2 {
        let received = hub.files.receive_notification().await.unwrap().unwrap();
        hub.files.abandon_notification(&received.lock_token).await.unwrap();
    }
    assert!(hub.files.receive_notification().await.unwrap().is_none());
    assert_eq!(hub.store.count_documents(Collection::FileNotification, None).await.unwrap(), 0);
}

#[tokio::test]
async fn a_file_goes_up_in_blocks_in_any_order_and_goes_on_after_a_break() {
    let hub = Hub::new(small()).await;
    let upload = hub.begin("big").await;
    assert_eq!(hub.put_block(&upload, "2", b"world").await, 201);
    assert_eq!(hub.put_block(&upload, "1", b"wrong").await, 201);
    assert_eq!(hub.put_block(&upload, "1", b"hello ").await, 201, "the last one counts");
    assert_eq!(hub.put_block(&upload, "3", b"unused").await, 201);
    assert_eq!(hub.ask("GET", &upload, "", &[], "").await.status, 404, "nothing appears before the list");
    let listed = hub.ask("GET", &upload, "&comp=blocklist&blocklisttype=all", &[], "").await;
    let listed = String::from_utf8(listed.body.to_vec()).unwrap();
    assert!(
        listed.contains("<CommittedBlocks></CommittedBlocks>") && listed.contains("<Name>Mg==</Name><Size>5</Size>"),
        "{listed}"
    );
    assert_eq!(hub.put_list(&upload, &["1", "4"]).await, 400, "an unknown block");
    for _ in 0..2 {
        assert_eq!(hub.put_list(&upload, &["1", "2"]).await, 201, "twice is no harm");
        assert_eq!(hub.ask("GET", &upload, "", &[], "").await.body.as_ref(), b"hello world");
    }
    let listed = hub.ask("GET", &upload, "&comp=blocklist&blocklisttype=all", &[], "").await;
    let listed = String::from_utf8(listed.body.to_vec()).unwrap();
    assert!(
        listed.contains("<UncommittedBlocks><Block><Name>Mw==</Name><Size>6</Size></Block></UncommittedBlocks>"),
        "{listed}"
    );
    assert_eq!(hub.put_list(&upload, &[]).await, 201, "an empty file");
    hub.files.finish(&d1(), &upload.correlation_id, &DONE).await.unwrap();
    assert_eq!(hub.objects().await, ["uploads/d1/big"], "blocks go when it is over");
}

#[tokio::test]
async fn sizes_are_refused_early_and_on_the_way() {
    let hub = Hub::new(small()).await;
    let upload = hub.begin("big").await;
    for (query, claim) in [("", "10000000000"), ("", "1001"), ("&comp=block&blockid=YQ%3D%3D", "601")] {
        let answer = hub.ask("PUT", &upload, query, &[BLOCK_BLOB, ("content-length", claim)], "").await;
        assert_eq!((answer.status, code(&answer)), (413, "RequestBodyTooLarge"), "{query} {claim}");
    }
    // Chunked: nothing says how much will come.
    let endless = || {
        Body::from_stream(futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[0; 100]))))
    };
    assert_eq!(hub.ask("PUT", &upload, "", &[BLOCK_BLOB], endless()).await.status, 413);
    assert_eq!(hub.ask("PUT", &upload, "&comp=block&blockid=YQ%3D%3D", &[], endless()).await.status, 413);
    assert_eq!(hub.ask("PUT", &upload, "&comp=blocklist", &[], endless()).await.status, 400);
    assert_eq!(hub.put_block(&upload, "a", &[0; 600]).await, 201);
    assert_eq!(hub.put_block(&upload, "b", &[0; 600]).await, 201);
    assert_eq!(hub.put_list(&upload, &["a", "b"]).await, 413, "together too large");
    assert_eq!(hub.put_list(&upload, &["a"]).await, 201);
    assert_eq!(hub.put_block(&upload, "c", &[0; 600]).await, 201);
    assert_eq!(hub.put_block(&upload, "d", &[0; 600]).await, 413, "staged enough");
    assert_eq!(hub.put_block(&upload, "d", &[0; 200]).await, 201);
}

#[tokio::test]
async fn a_body_that_breaks_off_leaves_nothing() {
    let hub = Hub::new(FilesConfig::default()).await;
    let upload = hub.begin("broken").await;
    // More than one part, so that something is written already.
    let parts = (0..70).map(|_| Ok(Bytes::from(vec![7; 100_000])));
    let broken = parts.chain([Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset))]);
    let answer =
        hub.ask("PUT", &upload, "", &[BLOCK_BLOB], Body::from_stream(futures_util::stream::iter(broken))).await;
    assert_eq!((answer.status, code(&answer)), (400, "IncompleteBody"));
    assert!(hub.objects().await.is_empty());
    let answer = hub.ask("PUT", &upload, "", &[BLOCK_BLOB, ("content-md5", "XUFAKrxLKna5cZ2REBfFkg==")], "other").await;
    assert_eq!((answer.status, code(&answer)), (400, "Md5Mismatch"));
    assert!(hub.objects().await.is_empty());
    let parts = (0..70).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![7; 100_000])));
    assert_eq!(
        hub.ask("PUT", &upload, "", &[BLOCK_BLOB], Body::from_stream(futures_util::stream::iter(parts))).await.status,
        201
    );
    let meta = hub.files.store.head(&"uploads/d1/broken".into()).await.unwrap();
    assert_eq!(meta.size, 7_000_000);
}

#[tokio::test]
async fn leave_is_for_one_blob_of_one_upload() {
    let hub = Hub::new(small()).await;
    let (upload, other) =
        (hub.begin("a").await, hub.files.begin(&IdentityName::new("d2", None).unwrap(), "a").await.unwrap());
    for blob in
        ["d1/b", "d2/a", "d1/a/", "d1/../d2/a", "d1/%2e%2e/d2/a", "d1%2f..%2fd2%2fa", "d1/a%00", "../a", "d1//a"]
    {
        let uri = format!("/uploads/{blob}{}", upload.sas_token);
        let answer = hub.ask_uri("PUT", &uri, &[BLOCK_BLOB], "x").await;
        assert!(matches!(answer.status, 400 | 403), "{blob}: {}", answer.status);
    }
    assert!(hub.objects().await.is_empty());
    for token in ["", "?sig=x", &upload.sas_token.replace("sig=", "sig=AA"), &other.sas_token] {
        let answer = hub.ask_uri("PUT", &format!("/uploads/d1/a{token}"), &[BLOCK_BLOB], "x").await;
        assert_eq!((answer.status, code(&answer)), (403, "AuthenticationFailed"));
    }
    // Names that are only odd.
    let upload = hub.begin("d%2F..%2Fx").await;
    let uri = format!("/uploads/d1/d%252F..%252Fx{}", upload.sas_token);
    assert_eq!(hub.ask_uri("PUT", &uri, &[BLOCK_BLOB], "x").await.status, 201);
    // Node encodes the slash behind the device's id.
    let upload = hub.begin("y").await;
    assert_eq!(
        hub.ask_uri("PUT", &format!("/uploads/d1%2Fy{}", upload.sas_token), &[BLOCK_BLOB], "x").await.status,
        201
    );
    assert_eq!(hub.objects().await, ["uploads/d1/d%252F..%252Fx", "uploads/d1/y"]);
    let outside: Vec<_> = std::fs::read_dir(hub.directory.path().join("files"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(outside, ["uploads"]);
}

#[tokio::test]
async fn requests_that_cannot_be_are_refused_in_xml() {
    let hub = Hub::new(small()).await;
    let upload = hub.begin("a").await;
    for (method, query, headers, status, wanted) in [
        ("PUT", "", vec![], 400, "InvalidHeaderValue"),
        ("PUT", "", vec![("x-ms-blob-type", "PageBlob")], 400, "InvalidHeaderValue"),
        ("PUT", "&comp=block", vec![], 400, "InvalidQueryParameterValue"),
        ("PUT", "&comp=block&blockid=%21", vec![], 400, "InvalidQueryParameterValue"),
        ("PUT", "&comp=block&blockid=YQ%3D%3D", vec![("content-md5", "x")], 400, "InvalidHeaderValue"),
        ("PUT", "&comp=metadata", vec![], 501, "UnsupportedOperation"),
        ("DELETE", "", vec![], 501, "UnsupportedOperation"),
        ("POST", "", vec![], 501, "UnsupportedOperation"),
        ("GET", "", vec![], 404, "BlobNotFound"),
        ("GET", "&comp=blocklist&blocklisttype=some", vec![], 400, "InvalidQueryParameterValue"),
        ("PUT", "&comp=blocklist", vec![], 400, "InvalidXmlDocument"),
    ] {
        let answer = hub.ask(method, &upload, query, &headers, "").await;
        assert_eq!((answer.status, code(&answer)), (status, wanted), "{method} {query}");
        let body = String::from_utf8(answer.body.to_vec()).unwrap();
        assert!(
            body.contains(&format!("<Code>{wanted}</Code>")) && answer.headers.contains_key("x-ms-request-id"),
            "{body}"
        );
    }
    assert_eq!(hub.ask("PUT", &upload, "", &[BLOCK_BLOB, ("if-none-match", "*")], "x").await.status, 201);
    let again = hub.ask("PUT", &upload, "", &[BLOCK_BLOB, ("if-none-match", "*")], "x").await;
    assert_eq!((again.status, code(&again)), (409, "BlobAlreadyExists"));
    assert_eq!(hub.ask("PUT", &upload, "", &[BLOCK_BLOB, ("if-match", "\"other\"")], "x").await.status, 412);
}

#[tokio::test]
async fn a_device_has_so_many_uploads_at_once() {
    let hub = Hub::new(FilesConfig { uploads_per_device_max: 3, ..small() }).await;
    let name = d1();
    let begun = futures_util::future::join_all((0..8).map(|number| {
        let file = number.to_string();
        let (files, name) = (Arc::clone(&hub.files), name.clone());
        async move { files.begin(&name, &file).await }
    }));
    let begun = begun.await;
    let refused =
        begun.iter().filter(|result| *result.as_ref().err().unwrap_or(&HubError::SERVER) == HubError::UPLOADS).count();
    assert_eq!(refused, 5);
    let open = begun.into_iter().find_map(Result::ok).unwrap();
    let failed = Outcome { is_success: false, status_code: -1, status_description: Some("no".to_owned()) };
    hub.files.finish(&d1(), &open.correlation_id, &failed).await.unwrap();
    hub.begin("next").await;
    assert!(hub.files.begin(&d1(), "one more").await.is_err());
    // What is finished does not pile up.
    let hub = Hub::new(small()).await;
    for number in 0..30 {
        let upload = hub.begin(&number.to_string()).await;
        hub.files.finish(&d1(), &upload.correlation_id, &failed).await.unwrap();
    }
    assert!(hub.store.count_documents(Collection::Upload, Some("d1")).await.unwrap() <= 12);
}

#[tokio::test]
async fn what_nobody_finished_is_swept() {
    let hub = Hub::new(small()).await;
    let upload = hub.begin("a").await;
    assert_eq!(hub.put_block(&upload, "1", b"x").await, 201);
    hub.files.sweep(now_unix()).await;
    assert_eq!(hub.objects().await.len(), 1, "not yet");
    hub.files.sweep(now_unix() + 2 * 3_600 + 10).await;
    assert!(hub.objects().await.is_empty());
    assert_eq!(hub.store.count_documents(Collection::Upload, None).await.unwrap(), 0);
    assert_eq!(hub.files.finish(&d1(), &upload.correlation_id, &DONE).await.unwrap_err().status, 404);
}

#[tokio::test]
async fn uploads_go_with_their_device_and_stay_with_the_hub() {
    let hub = Hub::new(small()).await;
    let upload = hub.begin("a").await;
    for id in ["", "../x", "0123", &"g".repeat(32), &"0".repeat(32)] {
        assert_eq!(hub.files.finish(&d1(), id, &DONE).await.unwrap_err().status, 404, "{id}");
    }
    let other = IdentityName::new("d2", None).unwrap();
    assert_eq!(hub.files.finish(&other, &upload.correlation_id, &DONE).await.unwrap_err().status, 404, "not its own");
    // The key outlives the program.
    let documents: Arc<dyn Documents> = hub.store.clone();
    let again = Files::open(small(), documents, hub.directory.path(), "hub.example.net").await.unwrap();
    let reopened = Hub { files: again, store: Arc::clone(&hub.store), directory: tempfile::tempdir().unwrap() };
    assert_eq!(reopened.ask("PUT", &upload, "", &[BLOCK_BLOB], "x").await.status, 201);
    hub.store.delete(&d1(), Expected::Any).await.unwrap();
    assert_eq!(hub.ask("PUT", &upload, "", &[BLOCK_BLOB], "x").await.status, 403);
    assert_eq!(hub.files.begin(&d1(), "b").await, Err(HubError::DEVICE_NOT_FOUND));
}

#[tokio::test]
async fn a_list_of_blocks_is_not_read_before_its_turn() {
    let hub = Hub::new(small()).await;
    let upload = hub.begin("a").await;
    // No turn ever comes.
    hub.files.writes.close();
    let read = || -> Result<Bytes, std::io::Error> { panic!("the body was read") };
    let unread = Body::from_stream(futures_util::stream::once(async move { read() }));
    let list = hub.ask("PUT", &upload, "&comp=blocklist", &[], unread).await;
    assert_eq!((list.status, code(&list)), (503, "ServerBusy"));
    let shown = hub.ask("GET", &upload, "&comp=blocklist&blocklisttype=all", &[], "").await;
    assert_eq!((shown.status, code(&shown)), (503, "ServerBusy"));
}
