//! Unmodified provisioning SDKs: devices that register, and the service that enrolls them.

use std::fs;

use anyhow::{Context as _, Result};
use millrace_tests::certificates::{Authority, self_signed};
use millrace_tests::hub::Hub;
use millrace_tests::sdk::{Sdk, Service, merged};
use serde_json::{Value, json};

const KEY: &str = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=";
const GROUP_KEY: &str = "8isrFI1sGsIlvvFSSFRiMfCNzv21fjbE/+ah/lSh3lF8e2YG1Te7w1KpZhJFFXJrqYKi9yegxkqIChbqOS9Egw==";
/// What the group's key makes of `sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6`.
const DERIVED_KEY: &str = "Jsm0lyGpjaVYVP2g3FnmnmG9dI/9qU24wNoykUmermc=";
const SCOPE: &str = "0ne00C0FFEE";

fn provisioning_hub(number: u8) -> Result<(Hub, Service)> {
    let hub = Hub::start_for_sdks(&format!("[provisioning]\nenabled = true\nid_scope = \"{SCOPE}\"\n"), number)?;
    let service = Service::node(&hub, "provisioningserviceowner")?;
    Ok((hub, service))
}

fn host(hub: &Hub) -> Result<String> {
    Ok(hub.https.context("no HTTPS")?.ip().to_string())
}

fn register(hub: &Hub, sdk: Sdk, registration: &str, credential: Value) -> Result<Value> {
    let wanted = json!({"host": host(hub)?, "scope": SCOPE, "registration": registration});
    sdk.start(hub)?.ask("provision", merged(merged(sdk.options(hub), wanted), credential))
}

#[test]
fn symmetric_keys_over_every_transport() -> Result<()> {
    let (mut hub, mut service) = provisioning_hub(50)?;
    let group = json!({"enrollmentGroupId": "g1", "provisioningStatus": "enabled",
        "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": GROUP_KEY, "secondaryKey": GROUP_KEY}},
        "initialTwin": {"tags": {"line": "7"}, "properties": {"desired": {"mode": "slow"}}}});
    service.call("provisioning", "createOrUpdateEnrollmentGroup", json!([group]))?;
    let grouped = "sn-007-888-abc-mac-a1-b2-c3-d4-e5-f6";
    let state = register(&hub, Sdk::Python, grouped, json!({"symmetric_key": DERIVED_KEY}))?;
    assert_eq!((state["status"].as_str(), state["device"].as_str()), (Some("assigned"), Some(grouped)), "{state}");
    assert_eq!(
        (state["hub"].as_str(), state["substatus"].as_str()),
        (Some(host(&hub)?.as_str()), Some("initialAssignment"))
    );
    // The key that it registered with is the key that it connects with.
    let string = format!("HostName={};DeviceId={grouped};SharedAccessKey={DERIVED_KEY}", host(&hub)?);
    let mut device = Sdk::Python.connect(&hub, json!({"connection_string": string}))?;
    let twin = device.ask("twin", json!({}))?;
    assert_eq!(twin["desired"]["mode"], "slow", "{twin}");
    let sdks = [Sdk::Python, Sdk::PythonWebSocket, Sdk::Node, Sdk::NodeWebSocket, Sdk::NodeHttp];
    for (number, sdk) in sdks.into_iter().enumerate() {
        let id = format!("single-{number}");
        let enrollment = json!({"registrationId": id, "deviceId": format!("device-{number}"), "provisioningStatus": "enabled",
            "attestation": {"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}}});
        service.call("provisioning", "createOrUpdateIndividualEnrollment", json!([enrollment]))?;
        let state = register(&hub, sdk, &id, json!({"symmetric_key": KEY}))?;
        assert_eq!(state["device"], format!("device-{number}"), "{sdk:?}: {state}");
    }
    let wrong = register(&hub, Sdk::Node, "single-0", json!({"symmetric_key": GROUP_KEY}));
    assert!(wrong.is_err(), "a wrong key registers nobody: {wrong:?}");
    assert!(hub.stop()?.success());
    Ok(())
}

#[test]
fn certificates_of_one_device_and_of_a_group() -> Result<()> {
    let (mut hub, mut service) = provisioning_hub(51)?;
    let own = self_signed("x-own", hub.scratch())?;
    let pem = fs::read_to_string(&own.certificate)?;
    let enrollment = json!({"registrationId": "x-own", "provisioningStatus": "enabled",
        "attestation": {"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": pem}}}}});
    service.call("provisioning", "createOrUpdateIndividualEnrollment", json!([enrollment]))?;
    let authority = Authority::new("Plant CA")?;
    let group = json!({"enrollmentGroupId": "plant", "provisioningStatus": "enabled",
        "attestation": {"type": "x509", "x509": {"signingCertificates": {"primary": {"certificate": authority.pem()}}}}});
    service.call("provisioning", "createOrUpdateEnrollmentGroup", json!([group]))?;
    let member = authority.issue("x-member", hub.scratch())?;
    for (sdk, id, files) in [
        (Sdk::Python, "x-own", &own),
        (Sdk::Node, "x-own", &own),
        (Sdk::NodeHttp, "x-own", &own),
        (Sdk::Python, "x-member", &member),
        (Sdk::Node, "x-member", &member),
    ] {
        let credential = json!({"certificate": files.certificate, "key": files.key});
        let state = register(&hub, sdk, id, credential)?;
        assert_eq!(
            (state["status"].as_str(), state["device"].as_str()),
            (Some("assigned"), Some(id)),
            "{sdk:?}: {state}"
        );
    }
    let forged = Authority::new("Plant CA")?.issue("x-member", &hub.data())?;
    let credential = json!({"certificate": forged.certificate, "key": forged.key});
    assert!(register(&hub, Sdk::Python, "x-member", credential).is_err(), "the name of an authority proves nothing");
    let credential = json!({"certificate": own.certificate, "key": own.key, "device": "x-own", "host": host(&hub)?});
    let mut device = Sdk::Python.connect(&hub, credential)?;
    device.ask("send", json!({"body": "by certificate"}))?;
    assert!(hub.stop()?.success());
    Ok(())
}

#[test]
fn enrollments_are_looked_after() -> Result<()> {
    let (mut hub, mut service) = provisioning_hub(52)?;
    let attestation = json!({"type": "symmetricKey", "symmetricKey": {"primaryKey": KEY, "secondaryKey": KEY}});
    let one = |id: String| json!({"registrationId": id, "provisioningStatus": "enabled", "attestation": attestation});
    let made = service.call("provisioning", "createOrUpdateIndividualEnrollment", json!([one("e0".to_owned())]))?;
    assert!(made["etag"].is_string(), "{made}");
    let bulk: Vec<Value> = (1..10).map(|number| one(format!("e{number}"))).collect();
    let operation = json!({"mode": "create", "enrollments": bulk});
    let done = service.call("provisioning", "runBulkEnrollmentOperation", json!([operation]))?;
    assert_eq!(done["isSuccessful"], true, "{done}");
    let asked = json!([{"query": "SELECT * FROM enrollments"}, 4]);
    let (rows, pages) = service.query("provisioning", "createIndividualEnrollmentQuery", asked)?;
    assert_eq!((rows.len(), pages), (10, 3));
    let secret = service.call("provisioning", "getIndividualEnrollmentAttestationMechanism", json!(["e0"]))?;
    assert_eq!(secret["symmetricKey"]["primaryKey"], KEY, "{secret}");
    service.call("provisioning", "deleteIndividualEnrollment", json!(["e0"]))?;
    let gone = service.refused("provisioning", "getIndividualEnrollment", json!(["e0"]))?;
    assert!(gone.contains("404"), "{gone}");
    assert!(hub.stop()?.success());
    Ok(())
}
