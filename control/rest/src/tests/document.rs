//! The description of the API compared with the API.

use super::*;
use crate::routes::{ALIASES, paths};

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

/// A path with something in the place of each name.
fn filled(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn neither_lacks_a_route_of_the_other() {
    let served = serve().await;
    let document = get(&served, "/openapi.json").await.json();
    assert_eq!(document["openapi"], "3.1.0");
    let described = document["paths"].as_object().unwrap();
    let mut known = paths(&served.state);
    known.sort_unstable();
    let mut named: Vec<_> = described.keys().map(String::as_str).collect();
    named.sort_unstable();
    assert_eq!(named, known);
    for (path, item) in described {
        for method in METHODS {
            let answer = served.call(method.to_uppercase().parse().unwrap(), &filled(path), Value::Null).await;
            let is_there = answer.status != 405 || item.get(method).is_some_and(has_word);
            assert_eq!(is_there, item.get(method).is_some(), "{method} {path}: {}", answer.status);
            let Some(operation) = item.get(method) else { continue };
            let is_open = operation.get("x-permission").is_none();
            let anonymous = served.send(method.to_uppercase().parse().unwrap(), &filled(path), &[], "").await;
            assert_eq!(anonymous.status != 401, is_open, "{method} {path}");
        }
    }
    for (_, alias) in ALIASES {
        assert_ne!(get(&served, &filled(alias)).await.status, 404, "{alias}");
    }
}

#[tokio::test]
async fn no_container_of_uploads_takes_a_route() {
    let served = serve().await;
    for path in paths(&served.state) {
        let first = path.split('/').nth(1).unwrap_or_default().to_ascii_lowercase();
        let config = millrace_control_files::FilesConfig { container: first, ..Default::default() };
        assert!(!config.validate().is_empty(), "{path} and a container could not both be served");
    }
}

/// Whether a word stands in the place of an id, so that any other one is refused as a method is.
fn has_word(operation: &Value) -> bool {
    operation["summary"].as_str().unwrap().starts_with("With `")
}

#[tokio::test]
async fn each_operation_is_described_once_and_each_reference_leads_somewhere() {
    let served = serve().await;
    let document = get(&served, "/openapi.json").await.json();
    let mut ids = std::collections::BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters") {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id} is there twice");
            assert!(
                !operation["summary"].as_str().unwrap().is_empty() && operation["responses"].is_object(),
                "{method} {path}"
            );
        }
        let names = path.matches('{').count();
        assert_eq!(item["parameters"].as_array().map_or(0, Vec::len), names, "{path}");
    }
    let mut waiting = vec![&document];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Object(members) => {
                if let Some(reference) = members.get("$ref").and_then(Value::as_str) {
                    assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
                }
                waiting.extend(members.values());
            }
            Value::Array(values) => waiting.extend(values),
            _ => {}
        }
    }
}

#[tokio::test]
async fn methods_that_a_path_does_not_have_get_the_hubs_answer() {
    let served = with_devices(&["d"]).await;
    for (method, path) in [(Method::PATCH, "/devices/d"), (Method::DELETE, "/twins/d"), (Method::PUT, "/jobs")] {
        let answer = served.call(method, path, Value::Null).await;
        assert_eq!((answer.status.as_u16(), answer.error_code()), (405, 405_000), "{path}");
    }
}
