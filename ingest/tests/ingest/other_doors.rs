//! What comes by other doors: connections, messages, and the events that the tier makes itself.

use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use bytes::Bytes;
use millrace_ingest::CloseReason;
use millrace_journal::JournalConfig;
use millrace_model::door::{Full, Intake as _, Submission};
use millrace_model::{Identity, IdentityRef, MessageSource};
use millrace_protocols_mqtt::Version;

use crate::asked::Asked;
use crate::harness::{Answer, Client, Hub, HubOptions, PATIENCE, now, telemetry_topic, token};

fn submission(device_id: &str, body: &[u8]) -> Submission {
    Submission {
        identity: Identity::new(&IdentityRef { device_id, ..IdentityRef::default() }).unwrap(),
        source: MessageSource::TwinChangeEvents,
        bag: b"a=1".to_vec(),
        body: Bytes::copy_from_slice(body),
    }
}

fn submit(hub: &Hub, submission: Submission) -> Result<(), Full> {
    let (sender, receiver) = sync_channel(1);
    hub.doorway.submit(submission, Box::new(move |result| sender.send(result).unwrap()));
    receiver.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn a_connection_of_another_door_is_served_like_any() {
    let mut hub = Hub::start(HubOptions::default());
    for round in 0..4_u16 {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_read_timeout(Some(PATIENCE)).unwrap();
        let peer = Some("192.0.2.1:443".parse().unwrap());
        hub.ingest.as_ref().unwrap().adopt(theirs, peer, Arc::default()).unwrap();
        let mut client = Client::over(ours);
        hub.devices.add("d", true);
        client.connect("d", Version::V311, &token("d", now() + 60), 60);
        assert_eq!(client.answer(), Some(Answer::ConnAck { code: 0 }));
        let body = vec![b'x'; 100_000];
        for packet_id in 1..=20 {
            client.publish(&telemetry_topic("d"), Some(packet_id), &body);
        }
        for packet_id in 1..=20 {
            assert_eq!(client.answer(), Some(Answer::PubAck { packet_id }));
        }
        let mut count = 0;
        while count < 20 {
            count += hub.batch().len();
        }
        if round == 3 {
            hub.ingest.as_ref().unwrap().end_session("d", None, &CloseReason::Disabled);
            assert!(client.is_closed());
        }
    }
}

#[test]
fn a_submission_is_safe_when_it_is_said_to_be() {
    let mut hub = Hub::start(HubOptions::default());
    for number in 0..50_u32 {
        let device_id = format!("d{number}");
        assert_eq!(submit(&hub, submission(&device_id, b"changed")), Ok(()));
        let batch = hub.batch();
        let message = batch.message(0).unwrap();
        assert_eq!(
            (message.identity.device_id, message.body, message.bag),
            (device_id.as_str(), &b"changed"[..], &b"a=1"[..])
        );
        assert_eq!(message.source, MessageSource::TwinChangeEvents);
    }
    assert_eq!(submit(&hub, submission("d", &vec![0; 256 * 1024])), Err(Full), "larger than a message may be");
}

#[test]
fn a_submission_that_is_not_safe_is_never_said_to_be() {
    let journal = JournalConfig { keep_free_bytes: u64::MAX, ..JournalConfig::default() };
    let hub = Hub::start(HubOptions { journal, shards: 1, ..HubOptions::default() });
    let (sender, receiver) = sync_channel(30_000);
    for _ in 0..30_000 {
        let sender = sender.clone();
        let done = Box::new(move |result: Result<(), Full>| sender.send(result).unwrap());
        hub.doorway.submit(submission("d", &[b'x'; 1000]), done);
    }
    drop(sender);
    hub.abandon();
    let results: Vec<_> = receiver.iter().collect();
    assert_eq!(results.len(), 30_000, "each is told exactly once");
    assert!(results.iter().all(Result::is_err), "the disk is full");
}

#[test]
fn sessions_begin_and_end_with_events() {
    let control = Asked::opening();
    let options = HubOptions { control: Some(control), connection_events: true, ..HubOptions::default() };
    let mut hub = Hub::start(options);
    let mut sequence = Vec::new();
    for name in ["d", "d/m"] {
        drop(hub.connected(name, Version::V311));
        // Both may lie in one batch.
        let mut batches = vec![hub.batch()];
        while batches.iter().map(|batch| batch.len()).sum::<usize>() < 2 {
            batches.push(hub.batch());
        }
        let messages = batches.iter().flat_map(|batch| batch.messages());
        for (message, verb) in messages.zip(["Connected", "Disconnected"]) {
            assert_eq!(message.source, MessageSource::DeviceConnectionStateEvents);
            assert_eq!(
                (message.identity.device_id, message.identity.module_id),
                ("d", name.split_once('/').map(|it| it.1))
            );
            let bag = String::from_utf8(message.bag.to_vec()).unwrap();
            let kind = if name == "d" { "device" } else { "module" };
            for part in [
                "%24.ct=application%2Fjson&%24.ce=utf-8&%24.uid=millrace&hubName=millrace&deviceId=d&",
                &format!("&opType={kind}{verb}&"),
                "&iothub-message-schema=deviceConnectionStateNotification",
            ] {
                assert!(bag.contains(part), "{bag} has no {part}");
            }
            assert_eq!(bag.contains("&moduleId=m&"), name == "d/m", "{bag}");
            let body = std::str::from_utf8(message.body).unwrap();
            let digits = body.strip_prefix("{\"sequenceNumber\":\"").unwrap().strip_suffix("\"}").unwrap();
            assert!(digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()), "{body}");
            sequence.push(digits.to_owned());
        }
    }
    assert!(sequence.is_sorted(), "{sequence:?}");
    assert!(hub.is_quiet());
}
