//! Unmodified device SDKs that prove themselves with certificates.

use std::fs;

use anyhow::{Context as _, Result};
use millrace_tests::certificates::{Authority, self_signed};
use millrace_tests::hub::Hub;
use millrace_tests::sdk::{Sdk, merged};
use serde_json::json;

#[test]
fn thumbprints_and_authorities_let_devices_in() -> Result<()> {
    let mut hub = Hub::start_for_sdks("", 54)?;
    let host = hub.https.context("no HTTPS")?.ip().to_string();
    let own = self_signed("own", hub.scratch())?;
    hub.device(&["create", "own", "--x509-thumbprint", &own.thumbprint])?;
    let authority = Authority::new("Works CA")?;
    let authority_file = hub.scratch().join("authority.pem");
    fs::write(&authority_file, authority.pem())?;
    hub.operate(&["cert", "add", "works", authority_file.to_str().context("path")?, "--verified"])?;
    hub.device(&["create", "member", "--x509-ca"])?;
    let member = authority.issue("member", hub.scratch())?;
    for sdk in [Sdk::Python, Sdk::PythonWebSocket, Sdk::Node, Sdk::NodeWebSocket, Sdk::NodeHttp] {
        for (id, files) in [("own", &own), ("member", &member)] {
            let credential = json!({"certificate": files.certificate, "key": files.key, "device": id, "host": host});
            let mut device = sdk.connect(&hub, credential)?;
            device.ask("send", json!({"body": format!("{sdk:?}")}))?;
        }
    }
    let forged = Authority::new("Works CA")?.issue("member", &hub.data())?;
    let stranger = authority.issue("stranger", hub.scratch())?;
    for files in [&forged, &own, &stranger] {
        let credential = json!({"certificate": files.certificate, "key": files.key, "device": "member", "host": host});
        let mut device = Sdk::Python.start(&hub)?;
        device.ask("create", merged(Sdk::Python.options(&hub), credential))?;
        let refused = device.refused("connect", json!({}))?;
        assert!(refused.contains("Credential"), "{refused}");
    }
    assert!(hub.stop()?.success());
    Ok(())
}
