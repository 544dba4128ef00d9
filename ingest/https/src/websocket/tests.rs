//! Frames in all splittings, and the bridge between two in-memory ends.

use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::UnixStream;

use super::bridge::carry;
use super::frame::{CloseCode, Control, Decoder, Event, HEAD_BYTES_MAX, close, pong, write_data_head};
use super::is_for;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as a client sends it.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..126 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend(u64::try_from(length).unwrap().to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// What a decoder makes of pieces: data, pings, whether a goodbye came.
type Decoded = (Vec<u8>, Vec<Vec<u8>>, bool);

fn decode(pieces: &[&[u8]]) -> Result<Decoded, CloseCode> {
    let mut decoder = Decoder::new();
    let (mut data, mut pings, mut is_closed) = (Vec::new(), Vec::new(), false);
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut rest = piece.as_mut_slice();
        while !rest.is_empty() {
            let step = decoder.next(rest)?;
            match step.event {
                Some(Event::Data(range)) => data.extend_from_slice(&rest[range]),
                Some(Event::Ping(payload)) => pings.push(payload.as_bytes().to_vec()),
                Some(Event::Close) => is_closed = true,
                None => {}
            }
            rest = &mut rest[step.consumed..];
        }
    }
    Ok((data, pings, is_closed))
}

#[test]
fn samples_of_the_specification() {
    assert_eq!(decode(&[&frame(0x82, b"Hello")]), Ok((b"Hello".to_vec(), vec![], false)));
    let fragments = [frame(0x02, b"Hel"), frame(0x89, b"ping"), frame(0x80, b"lo"), frame(0x8a, b"late")].concat();
    assert_eq!(decode(&[&fragments]), Ok((b"Hello".to_vec(), vec![b"ping".to_vec()], false)));
    assert_eq!(decode(&[&frame(0x88, &[])]), Ok((vec![], vec![], true)));
    assert_eq!(pong(&Control::new(b"Hello")), [0x8a, 5, b'H', b'e', b'l', b'l', b'o']);
    assert_eq!(close(CloseCode::ProtocolError), [0x88, 2, 0x03, 0xea]);
}

#[test]
fn lengths_of_all_sizes_are_written_and_read() {
    for length in [0, 1, 125, 126, 255, 256, 65_535, 65_536, 70_000] {
        let payload = vec![7; length];
        assert_eq!(decode(&[&frame(0x82, &payload)]).unwrap().0, payload);
        let mut room = [0xee; HEAD_BYTES_MAX];
        let start = write_data_head(&mut room, length);
        let mut expected = frame(0x82, &[0; 70_000][..length]);
        expected[1] &= 0x7f;
        let head = HEAD_BYTES_MAX - start;
        assert_eq!(room[start..], expected[..head], "{length}");
    }
}

#[test]
fn what_clients_may_not_send() {
    use CloseCode::{ProtocolError, Unacceptable};
    let unmasked = vec![0x82, 1, b'x'];
    let mut endless = vec![0x82, 0xff, 0x80];
    endless.extend([0; 11]);
    for (bytes, code) in [
        (frame(0x81, b"text"), Unacceptable),
        (frame(0xc2, b"compressed"), ProtocolError),
        (frame(0x80, b"continues nothing"), ProtocolError),
        ([frame(0x02, b"a"), frame(0x82, b"b")].concat(), ProtocolError),
        (frame(0x09, b"ping in parts"), ProtocolError),
        (frame(0x89, &[0; 126]), ProtocolError),
        (frame(0x83, b"reserved"), ProtocolError),
        (frame(0x8b, b"reserved"), ProtocolError),
        (unmasked, ProtocolError),
        (endless, ProtocolError),
    ] {
        assert_eq!(decode(&[&bytes]).map(drop), Err(code), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn any_splitting_gives_the_same(
        payloads in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..300), any::<bool>()), 0..8),
        cut in 1_usize..40,
    ) {
        let wire: Vec<u8> = payloads
            .iter()
            .flat_map(|(payload, is_ping)| match is_ping {
                true => frame(0x89, &payload[..payload.len().min(125)]),
                false => frame(0x82, payload),
            })
            .collect();
        let whole = decode(&[&wire]).unwrap();
        let data: Vec<u8> = payloads.iter().filter(|(_, ping)| !ping).flat_map(|(payload, _)| payload.clone()).collect();
        prop_assert_eq!(&whole.0, &data);
        prop_assert_eq!(decode(&wire.chunks(cut).collect::<Vec<_>>()).unwrap(), whole);
    }

    #[test]
    fn bytes_of_any_kind_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(decode(&[&bytes]));
    }
}

#[test]
fn paths_of_all_sdks() {
    for path in ["/$iothub/websocket", "/:8443/$iothub/websocket", "/$iothub/websocket/", "/%24iothub/websocket"] {
        assert!(is_for(path), "{path}");
    }
    assert!(is_for("/$servicebus/websocket/"), "answered with a reason");
    for path in ["/", "/$iothub", "/$iothub/websocket/x", "/iothub/websocket", "/devices/d/messages/events"] {
        assert!(!is_for(path), "{path}");
    }
}

/// Device end, shard end, and the task between.
fn bridge() -> (DuplexStream, UnixStream, tokio::task::JoinHandle<()>) {
    let (device, socket) = tokio::io::duplex(256);
    let (shard, own) = UnixStream::pair().unwrap();
    (device, shard, tokio::spawn(carry(socket, own)))
}

async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin), count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn bytes_go_both_ways_and_pings_are_answered() {
    let (mut device, mut shard, _task) = bridge();
    device.write_all(&frame(0x02, b"CONN")).await.unwrap();
    device.write_all(&frame(0x89, b"!")).await.unwrap();
    device.write_all(&frame(0x80, b"ECT")).await.unwrap();
    assert_eq!(read(&mut shard, 7).await, b"CONNECT");
    assert_eq!(read(&mut device, 3).await, [0x8a, 1, b'!']);
    shard.write_all(b"CONNACK").await.unwrap();
    assert_eq!(read(&mut device, 9).await, b"\x82\x07CONNACK");
}

#[tokio::test]
async fn either_side_may_end_it() {
    let (mut device, mut shard, task) = bridge();
    device.write_all(&frame(0x88, &1000_u16.to_be_bytes())).await.unwrap();
    assert_eq!(read(&mut device, 4).await, close(CloseCode::Normal));
    assert_eq!(shard.read(&mut [0]).await.unwrap(), 0, "the shard hears of it");
    drop(shard);
    task.await.unwrap();

    let (mut device, shard, task) = bridge();
    drop(shard);
    assert_eq!(read(&mut device, 4).await, close(CloseCode::Normal));
    device.write_all(&frame(0x82, b"too late")).await.unwrap();
    device.write_all(&frame(0x88, &[])).await.unwrap();
    task.await.unwrap();
    assert_eq!(device.read(&mut [0]).await.unwrap(), 0);

    let (device, mut shard, task) = bridge();
    drop(device);
    assert_eq!(shard.read(&mut [0]).await.unwrap(), 0);
    drop(shard);
    task.await.unwrap();
}

#[tokio::test]
async fn text_is_refused_with_its_code() {
    let (mut device, mut shard, _task) = bridge();
    device.write_all(&frame(0x81, b"hello")).await.unwrap();
    assert_eq!(read(&mut device, 4).await, close(CloseCode::Unacceptable));
    assert_eq!(shard.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn who_does_not_read_stops_the_other_side() {
    let (mut device, mut shard, _task) = bridge();
    let flood = frame(0x82, &[9; 4096]);
    let mut sent = 0_usize;
    let patience = std::time::Duration::from_millis(200);
    while tokio::time::timeout(patience, device.write_all(&flood)).await.is_ok() {
        sent += 4096;
        assert!(sent < 16 * 1024 * 1024, "what is not read is not buffered for ever");
    }
    // What was taken comes out whole.
    let taken = read(&mut shard, sent).await;
    assert!(taken.iter().all(|&byte| byte == 9));
}
