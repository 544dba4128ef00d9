//! Paths, ids and bodies that somebody might try.

use millrace_protocols_identity::sas;

use super::*;

#[tokio::test]
async fn every_legal_character_names_a_device() {
    let served = serve().await;
    let legal = "-.+%_#*?!(),:=@$';";
    let mut ids: Vec<String> = legal.chars().map(|character| format!("a{character}b")).collect();
    ids.extend(
        ["%2F", "%252F", "a%00", "..", "query", "v2", "' OR 1=1 --".replace(' ', "+").as_str()].map(str::to_owned),
    );
    ids.push("x".repeat(128));
    for id in &ids {
        let path = format!("/devices/{}", sas::encode(id));
        let made = put(&served, &path, device(id)).await;
        assert_eq!(made.status, 200, "{id} {}", made.json());
        assert_eq!(get(&served, &path).await.json()["deviceId"], json!(id));
        assert_eq!(get(&served, &format!("/twins/{}", sas::encode(id))).await.json()["deviceId"], json!(id));
        assert_eq!(get(&served, &format!("/digitaltwins/{}", sas::encode(id))).await.json()["$dtId"], json!(id));
    }
    let found = get(&served, "/devices").await.json();
    assert_eq!(found.as_array().unwrap().len(), ids.len());
    for id in &ids {
        assert_eq!(delete(&served, &format!("/devices/{}", sas::encode(id))).await.status, 204, "{id}");
    }
}

#[tokio::test]
async fn every_other_character_names_none() {
    let served = serve().await;
    let long = "x".repeat(129);
    for id in [
        "a/b", "a b", "a\\b", "a\"b", "a<b", "a|b", "a~b", "a^b", "a`b", "a{b}", "a[b]", "a\tb", "a\nb", "a\0b", "é",
        "a&b", &long,
    ] {
        let path = format!("/devices/{}", sas::encode(id));
        assert_eq!(put(&served, &path, device(id)).await.error_code(), 400_004, "{id:?}");
        assert_eq!(get(&served, &format!("/twins/{}", sas::encode(id))).await.error_code(), 400_004, "{id:?}");
        let module = format!("/devices/d/modules/{}", sas::encode(id));
        assert_eq!(get(&served, &module).await.error_code(), 400_004, "{id:?}");
    }
    for path in ["/devices/%ff", "/twins/%C3%28", "/devices/d/modules/%80"] {
        let status = get(&served, path).await.status.as_u16();
        assert!(matches!(status, 400 | 401), "{path}: {status}");
    }
}

#[tokio::test]
async fn climbing_paths_lead_nowhere() {
    let served = with_devices(&["d"]).await;
    for path in [
        "/devices/../twins/d",
        "/devices/d/../../twins/d",
        "/devices/%2e%2e/twins",
        "/devices//d",
        "//devices/d",
        "/devices/d/",
        "/DEVICES/d",
    ] {
        let answer = get(&served, path).await;
        assert!(matches!(answer.status.as_u16(), 400 | 404 | 405), "{path}: {}", answer.status);
        assert!(answer.json().get("tags").is_none());
    }
    assert_eq!(get(&served, "/devices/d%2F..%2Fx").await.error_code(), 400_004);
    assert_eq!(get(&served, "/devices/%2e%2e").await.error_code(), 404_001, "a legal id, and nobody's");
}

#[tokio::test]
async fn bodies_that_are_too_large_too_deep_or_nothing_are_refused() {
    let served = with_devices(&["d"]).await;
    let bomb = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let wide = format!("[{}]", "0,".repeat(500_000));
    let token = served.token("iothubowner", HOST, 60);
    let json_routes = [
        ("PATCH", "/twins/d"),
        ("PUT", "/twins/d"),
        ("POST", "/devices/query"),
        ("POST", "/devices"),
        ("PUT", "/devices/n"),
        ("PATCH", "/digitaltwins/d"),
        ("POST", "/digitaltwins/d/commands/c"),
        ("PUT", "/jobs/v2/j"),
        ("POST", "/jobs/create"),
        ("PUT", "/configurations/c"),
        ("POST", "/configurations/testQueries"),
        ("POST", "/devices/d/applyConfigurationContent"),
        ("POST", "/models"),
        ("PUT", "/certificates/c"),
        ("POST", "/twins/d/methods"),
    ];
    for (method, path) in json_routes {
        for body in [&bomb, &wide, "{", "nonsense", "\"\u{0}\"", "{\"a\":1}{\"b\":2}"] {
            let answer =
                served.send(method.parse().unwrap(), path, &[("authorization", &token)], body.to_owned()).await;
            let status = answer.status.as_u16();
            assert!(matches!(status, 400 | 413), "{method} {path} {:.10}: {status}", body);
            assert!(answer.error_code() >= 400_000, "{method} {path} {}", answer.json());
        }
        let huge = "x".repeat(6 * 1024 * 1024);
        let answer = served.send(method.parse().unwrap(), path, &[("authorization", &token)], huge).await;
        assert_eq!(answer.error_code(), 413_001, "{method} {path}");
    }
}

#[tokio::test]
async fn identities_that_cannot_be_are_refused_with_a_reason() {
    let served = serve().await;
    let with_key =
        |key: &str| json!({"deviceId": "d", "authentication": {"type": "sas", "symmetricKey": {"primaryKey": key}}});
    for (method, path, body, code) in [
        (Method::PUT, "/devices/d", device("e"), 400_004),
        (Method::PUT, "/devices/d", json!([1]), 400_006),
        (Method::PUT, "/devices/d", json!({"deviceId": "d", "status": "broken"}), 400_006),
        (Method::PUT, "/devices/d", with_key("short"), 400_004),
        (Method::PUT, "/devices/d", json!({"deviceId": "d", "authentication": {"type": "selfSigned"}}), 400_004),
        (Method::PUT, "/devices/d", json!({"deviceId": "d", "authentication": {"type": "magic"}}), 400_004),
        (Method::PUT, "/devices/d", json!({"deviceId": "d", "statusReason": "x".repeat(129)}), 400_004),
        (Method::PUT, "/devices/d", json!({"deviceId": "d", "parentScopes": ["a", "a", "a", "a", "a", "a"]}), 400_004),
        (Method::GET, "/devices?top=0", Value::Null, 400_004),
        (Method::GET, "/devices?top=1001", Value::Null, 400_004),
        (Method::GET, "/devices?top=x", Value::Null, 400_004),
        (Method::POST, "/devices", json!({}), 400_006),
        (Method::POST, "/devices", Value::Array(vec![json!({"id": "d"}); 101]), 400_013),
        (Method::PUT, "/devices/d/modules/m", json!({"deviceId": "d", "moduleId": "m"}), 404_001),
        (Method::PUT, "/devices/d/modules/m", json!({"deviceId": "d", "moduleId": "n"}), 400_004),
    ] {
        let answer = served.call(method, path, body).await;
        assert_eq!(answer.error_code(), code, "{path} {}", answer.json());
    }
    put(&served, "/devices/full", device("full")).await;
    for number in 0..50 {
        let id = format!("m{number}");
        let made =
            put(&served, &format!("/devices/full/modules/{id}"), json!({"deviceId": "full", "moduleId": id})).await;
        assert_eq!(made.status, 200);
    }
    let more = put(&served, "/devices/full/modules/more", json!({"deviceId": "full", "moduleId": "more"})).await;
    assert_eq!((more.status.as_u16(), more.error_code()), (413, 413_003));
}
