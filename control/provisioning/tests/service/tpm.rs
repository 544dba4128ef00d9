//! A device with a TPM, against a software TPM and the usual tools: what the service sends can be opened by that TPM and by no other.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millrace_control_store::registry::Authentication;
use millrace_protocols_identity::sas;
use reqwest::{Method, StatusCode as Status};
use serde_json::{Value, json};

use crate::harness::{SCOPE, Service, finish_at, in_an_hour};

/// A running TPM; ends when dropped.
struct Tpm {
    dir: tempfile::TempDir,
    address: String,
}

impl Drop for Tpm {
    fn drop(&mut self) {
        script("stop", self.dir.path());
    }
}

/// Runs the script; answers the last line it printed.
fn script(verb: &str, directory: &Path) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "..", "..", "tests", "servers", "swtpm.sh"].iter().collect();
    let mut command = Command::new("bash");
    command.arg(path).arg(verb).arg(directory).env("MILLRACE_TEST_PID", std::process::id().to_string());
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().last().unwrap_or_default().to_owned()
}

impl Tpm {
    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("millrace-swtpm-").tempdir().unwrap();
        let address = script("start", dir.path());
        let tpm = Self { dir, address };
        tpm.run("tpm2_createek -c ek.ctx -G rsa -u ek.pub");
        tpm.run("tpm2_createprimary -C o -g sha256 -G rsa -c srk.ctx");
        tpm.run("tpm2_readpublic -c srk.ctx -o srk.pub");
        tpm
    }

    /// Runs one of the tools; what it loaded into the TPM is taken out again.
    fn try_run(&self, line: &str) -> bool {
        let (host, port) = self.address.split_once(':').unwrap();
        let tool = |line: &str| {
            let mut words = line.split_whitespace();
            let mut command = Command::new(words.next().unwrap());
            command.args(words).current_dir(self.dir.path()).stdin(Stdio::null());
            command.env("TPM2TOOLS_TCTI", format!("swtpm:host={host},port={port}"));
            let output = command.output().unwrap();
            (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
        };
        let (is_good, said) = tool(line);
        tool("tpm2_flushcontext -t");
        if !is_good {
            eprintln!("{line}: {said}");
        }
        is_good
    }

    fn run(&self, line: &str) {
        assert!(self.try_run(line), "{line}");
    }

    fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.dir.path().join(file)).unwrap()
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        std::fs::write(self.dir.path().join(file), bytes).unwrap();
    }

    fn public(&self, name: &str) -> String {
        STANDARD.encode(self.read(&format!("{name}.pub")))
    }

    /// What a device does with the blob that the service sends. Whether the TPM took it.
    fn activate(&self, blob: &str) -> bool {
        let bytes = STANDARD.decode(blob).unwrap();
        let mut rest = bytes.as_slice();
        let mut part = || {
            let (length, behind) = rest.split_first_chunk::<2>().unwrap();
            let (_, after) = behind.split_at(usize::from(u16::from_be_bytes(*length)));
            let whole = &rest[..rest.len() - after.len()];
            rest = after;
            whole.to_vec()
        };
        let (credential, secret, duplicate, seed, public) = (part(), part(), part(), part(), part());
        assert_eq!((part(), rest.len()), (vec![0, 0], 0));
        // Magic and version, as the tool keeps credentials.
        self.write("credential", &[&[0xba, 0xdc, 0xc0, 0xde, 0, 0, 0, 1], credential.as_slice(), &secret].concat());
        self.write("duplicate", &duplicate);
        self.write("seed", &seed);
        self.write("key.pub", &public);
        self.run("tpm2_startauthsession --policy-session -S session.ctx");
        self.run("tpm2_policysecret -S session.ctx -c e");
        let opened =
            self.try_run("tpm2_activatecredential -c srk.ctx -C ek.ctx -i credential -o inner -P session:session.ctx");
        self.run("tpm2_flushcontext session.ctx");
        opened && {
            self.run("tpm2_import -C srk.ctx -i duplicate -s seed -u key.pub -k inner -r key.priv");
            self.run("tpm2_load -C srk.ctx -u key.pub -r key.priv -c key.ctx");
            true
        }
    }

    /// Signs with the key that was activated last.
    fn hmac(&self, text: &str) -> Vec<u8> {
        self.write("text", text.as_bytes());
        self.run("tpm2_hmac -c key.ctx -o mac text");
        self.read("mac")
    }

    fn token(&self, id: &str) -> String {
        let (resource, expiry) = (format!("{SCOPE}/registrations/{id}"), in_an_hour());
        let signature = sas::encode(&STANDARD.encode(self.hmac(&format!("{resource}\n{expiry}"))));
        format!("SharedAccessSignature sr={resource}&sig={signature}&se={expiry}&skn=registration")
    }
}

async fn challenge(service: &Service, body: &Value) -> (Status, Value) {
    let (status, _, answer) = service.device(Method::PUT, "tpm-1/register?api-version=x", None, body).await;
    (status, answer)
}

#[tokio::test]
async fn a_device_with_a_tpm_registers_and_gets_its_key() {
    let (service, tpm) = (Service::start().await, Tpm::start());
    let enrolled = json!({"type": "tpm", "tpm": {"endorsementKey": tpm.public("ek")}});
    service.enroll(json!({"registrationId": "tpm-1", "attestation": enrolled})).await;
    let keys = json!({"endorsementKey": tpm.public("ek"), "storageRootKey": tpm.public("srk")});
    let body = json!({"registrationId": "tpm-1", "tpm": keys});

    let (status, asked) = challenge(&service, &body).await;
    assert_eq!((status, &asked["keyName"]), (Status::UNAUTHORIZED, &json!("registration")), "{asked}");
    assert!(tpm.activate(asked["authenticationKey"].as_str().unwrap()));
    let token = tpm.token("tpm-1");
    let (status, _, begun) = service.device(Method::PUT, "tpm-1/register", Some(&token), &body).await;
    assert_eq!(status, Status::ACCEPTED, "{begun}");
    let base = format!("{}/{SCOPE}/registrations/tpm-1", service.url);
    let done = finish_at(&base, begun["operationId"].as_str().unwrap(), Some(&token)).await;
    assert_eq!(done["status"], "assigned", "{done}");

    // The key that it got for its hub is the one that the hub knows.
    assert!(tpm.activate(done["registrationState"]["tpm"]["authenticationKey"].as_str().unwrap()));
    let Authentication::Sas { primary, .. } = service.hub.devices.lock().unwrap()["tpm-1"].0.clone() else {
        panic!("the device has keys")
    };
    let hmac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, primary.as_bytes());
    assert_eq!(tpm.hmac("hello"), aws_lc_rs::hmac::sign(&hmac, b"hello").as_ref());
    let (status, ..) = service.device(Method::PUT, "tpm-1/register", Some(&tpm.token("tpm-1")), &body).await;
    assert_eq!(status, Status::UNAUTHORIZED, "that key is for the hub, not for the provisioning service");
}

#[tokio::test]
async fn a_challenge_is_for_the_enrolled_tpm_only() {
    let (service, tpm, other) = (Service::start().await, Tpm::start(), Tpm::start());
    let enrolled = json!({"type": "tpm", "tpm": {"endorsementKey": tpm.public("ek")}});
    service.enroll(json!({"registrationId": "tpm-1", "attestation": enrolled})).await;
    let keys = |tpm: &Tpm, root: &Tpm| json!({"tpm": {"endorsementKey": tpm.public("ek"), "storageRootKey": root.public("srk")}});
    let (status, refused) = challenge(&service, &keys(&other, &other)).await;
    assert_eq!((status, refused.get("authenticationKey")), (Status::UNAUTHORIZED, None), "it is not enrolled");
    let (_, asked) = challenge(&service, &keys(&tpm, &tpm)).await;
    assert!(!other.activate(asked["authenticationKey"].as_str().unwrap()), "another TPM cannot open it");
    let (_, mixed) = challenge(&service, &keys(&tpm, &other)).await;
    assert!(!tpm.activate(mixed["authenticationKey"].as_str().unwrap()), "nor with another storage root key");
    for body in [json!({}), json!({"tpm": {}}), json!({"tpm": {"endorsementKey": tpm.public("ek")}})] {
        let (status, refused) = challenge(&service, &body).await;
        assert!(status.is_client_error() && refused.get("authenticationKey").is_none(), "{refused}");
    }
    let garbage = json!({"tpm": {"endorsementKey": tpm.public("ek"), "storageRootKey": "AAAA"}});
    assert_eq!(challenge(&service, &garbage).await.0, Status::BAD_REQUEST);
}
