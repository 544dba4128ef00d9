//! Shapes as they are documented, member by member.

use millrace_model::Timestamp;
use serde_json::{Value, json};

use super::NOW;
use crate::{IdentityFacts, Twin};

const NINE: Timestamp = Timestamp(NOW.0 - 3_600_000);
const HALF_PAST_NINE: Timestamp = Timestamp(NOW.0 - 1_800_000);

/// Root version 5, desired version 3, reported version 7.
fn documented() -> Twin {
    let service = |twin: &Twin, body: Value| twin.patch_service(None, &body, NINE).unwrap().twin;
    let mut twin = service(&Twin::fresh(), json!({"tags": {"site": "B"}}));
    twin = service(&twin, json!({"tags": {"site": "A"}}));
    twin = service(&twin, json!({"properties": {"desired": {"interval": 5}}}));
    twin = service(&twin, json!({"properties": {"desired": {"interval": 10}}}));
    for _ in 0..6 {
        twin = twin.patch_reported(None, br#"{"fw":"1.2"}"#, HALF_PAST_NINE).unwrap().twin;
    }
    twin.set_model_id(Some("dtmi:com:example:Thermostat;1"));
    twin
}

fn facts() -> IdentityFacts<'static> {
    IdentityFacts {
        device_id: "d1",
        etag: "NzA5MDM0",
        is_enabled: true,
        is_connected: true,
        last_activity: Some(Timestamp(NOW.0 + 123)),
        authentication_type: "sas",
        ..IdentityFacts::default()
    }
}

#[test]
fn the_service_sees_everything_in_the_documented_order() {
    let expected = concat!(
        r#"{"deviceId":"d1","etag":"AAAAAAAAAAU=","deviceEtag":"NzA5MDM0","status":"enabled","#,
        r#""statusUpdateTime":"0001-01-01T00:00:00Z","connectionState":"Connected","#,
        r#""lastActivityTime":"2024-05-01T10:00:00.1230000Z","cloudToDeviceMessageCount":0,"authenticationType":"sas","#,
        r#""x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},"#,
        r#""modelId":"dtmi:com:example:Thermostat;1","version":5,"tags":{"site":"A"},"#,
        r#""properties":{"desired":{"interval":10,"$metadata":{"$lastUpdated":"2024-05-01T09:00:00.0000000Z","#,
        r#""$lastUpdatedVersion":3,"interval":{"$lastUpdated":"2024-05-01T09:00:00.0000000Z","$lastUpdatedVersion":3}},"#,
        r#""$version":3},"reported":{"fw":"1.2","$metadata":{"$lastUpdated":"2024-05-01T09:30:00.0000000Z","#,
        r#""fw":{"$lastUpdated":"2024-05-01T09:30:00.0000000Z"}},"$version":7}},"capabilities":{"iotEdge":false}}"#,
    );
    assert_eq!(documented().service_view(&facts()).to_string(), expected);
}

#[test]
fn queries_may_do_without_metadata() {
    let (mut all, lean) = (documented().service_view(&facts()), documented().service_view_without_metadata(&facts()));
    for section in ["desired", "reported"] {
        assert!(all["properties"][section].as_object_mut().unwrap().shift_remove("$metadata").is_some());
    }
    assert_eq!(all.to_string(), lean.to_string());
}

#[test]
fn what_is_not_always_there_is_there_when_it_is() {
    let mut twin = documented();
    twin.set_configuration("base", Some("Applied")).unwrap();
    let scopes = ["ms-azure-iot-edge://parent-1".to_owned()];
    let view = twin.service_view(&IdentityFacts {
        module_id: Some("m1"),
        status_reason: Some("spare"),
        thumbprints: [Some("AA"), None],
        is_edge: true,
        device_scope: Some("ms-azure-iot-edge://d1-1"),
        parent_scopes: &scopes,
        ..facts()
    });
    assert_eq!(view["moduleId"], "m1");
    assert_eq!(view["statusReason"], "spare");
    assert_eq!(view["x509Thumbprint"], json!({"primaryThumbprint": "AA", "secondaryThumbprint": null}));
    assert_eq!(view["capabilities"], json!({"iotEdge": true}));
    assert_eq!(view["configurations"], json!({"base": {"status": "Applied"}}));
    assert_eq!((&view["deviceScope"], &view["parentScopes"]), (&json!("ms-azure-iot-edge://d1-1"), &json!(scopes)));
}

#[test]
fn the_device_sees_its_properties_and_their_versions() {
    let expected = r#"{"desired":{"interval":10,"$version":3},"reported":{"fw":"1.2","$version":7}}"#;
    assert_eq!(String::from_utf8(documented().device_view()).unwrap(), expected);
}

#[test]
fn a_fresh_twin_was_never_written() {
    let section = json!({"$metadata": {"$lastUpdated": "0001-01-01T00:00:00Z"}, "$version": 1});
    let view = Twin::fresh().service_view(&facts());
    assert_eq!(view["properties"], json!({"desired": section, "reported": section}));
    assert_eq!((&view["etag"], &view["version"], &view["tags"]), (&json!("AAAAAAAAAAE="), &json!(1), &json!({})));
}

#[test]
fn events_tell_what_has_changed() {
    let twin = documented();
    let reported = twin.patch_reported(None, br#"{"fw":"1.3"}"#, NOW).unwrap().event.unwrap();
    assert_eq!(reported.operation, "updateTwin");
    let expected = concat!(
        r#"{"version":5,"properties":{"reported":{"fw":"1.3","$metadata":{"$lastUpdated":"2024-05-01T10:00:00.0000000Z","#,
        r#""fw":{"$lastUpdated":"2024-05-01T10:00:00.0000000Z"}},"$version":8}}}"#,
    );
    assert_eq!(String::from_utf8(reported.body).unwrap(), expected);

    let body = json!({"tags": {"site": null}, "properties": {"desired": {"more": {"deep": [1]}}}});
    let patched = twin.patch_service(None, &body, NOW).unwrap();
    let (version, notice) = patched.desired_for_device.unwrap();
    assert_eq!((version, String::from_utf8(notice).unwrap().as_str()), (4, r#"{"more":{"deep":[1]},"$version":4}"#));
    let expected = concat!(
        r#"{"version":6,"tags":{"site":null},"properties":{"desired":{"more":{"deep":[1]},"$metadata":"#,
        r#"{"$lastUpdated":"2024-05-01T10:00:00.0000000Z","$lastUpdatedVersion":4,"more":"#,
        r#"{"$lastUpdated":"2024-05-01T10:00:00.0000000Z","$lastUpdatedVersion":4,"deep":"#,
        r#"{"$lastUpdated":"2024-05-01T10:00:00.0000000Z","$lastUpdatedVersion":4}}},"$version":4}}}"#,
    );
    assert_eq!(String::from_utf8(patched.event.unwrap().body).unwrap(), expected);
}

#[test]
fn a_replacement_tells_everybody_everything() {
    let body = json!({"properties": {"desired": {"new": true, "gone": null}}});
    let change = documented().replace_service(None, &body, NOW).unwrap();
    let (version, notice) = change.desired_for_device.unwrap();
    assert_eq!((version, String::from_utf8(notice).unwrap().as_str()), (4, r#"{"new":true,"$version":4}"#));
    let event = change.event.unwrap();
    assert_eq!(event.operation, "replaceTwin");
    let body: Value = serde_json::from_slice(&event.body).unwrap();
    assert_eq!((&body["version"], &body["tags"], &body["etag"]), (&json!(6), &json!({}), &json!("AAAAAAAAAAY=")));
    assert_eq!(body["properties"]["reported"]["$version"], 7);
    assert_eq!(body["properties"]["desired"]["new"], true);
}

#[test]
fn lifecycle_events_carry_an_excerpt() {
    let body: Value = serde_json::from_slice(&documented().lifecycle_body("d1", Some("m1"))).unwrap();
    let names: Vec<_> = body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["deviceId", "moduleId", "etag", "version", "properties"]);
    assert_eq!(body["properties"]["desired"]["interval"], 10);
}

/// A twin as the first released format has it: it must be read for ever.
#[test]
fn the_first_format_is_read() {
    let stored = concat!(
        r#"{"f":1,"n":3,"i":"dtmi:a;1","t":{"site":"A"},"#,
        r#""d":{"v":2,"p":{"a":{"b":1}},"m":[1714557600000,2,{"a":[1714557600000,2,{"b":[1714557600000,2]}]}]},"#,
        r#""r":{"v":1,"p":{},"m":[-62135596800000,0]},"c":{"base":"Applied"}}"#,
    );
    let twin = Twin::decode(stored.as_bytes()).unwrap();
    assert_eq!(String::from_utf8(twin.encode()).unwrap(), stored);
    assert_eq!((twin.root_version(), twin.desired_version(), twin.model_id()), (3, 2, Some("dtmi:a;1")));
}

#[test]
fn a_newer_format_is_told_apart_from_damage() {
    let newer = Twin::decode(br#"{"f":2,"something":"else"}"#).unwrap_err();
    assert_eq!(newer.to_string(), "the stored twin has format 2, which this program does not know");
    for damaged in [&b""[..], b"{", b"[]", br#"{"f":1}"#, br#"{"f":"1"}"#] {
        assert_eq!(Twin::decode(damaged).unwrap_err().to_string(), "the stored twin cannot be read");
    }
}
