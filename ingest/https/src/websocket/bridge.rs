//! Carries bytes between a WebSocket and a shard until one of them has enough.
//! - Shape: `up` reads frames and writes bytes to the shard; `down` reads bytes from the shard and writes frames. Only `down` writes to the
//!   WebSocket, so frames never mix; what `up` has to say goes to it through a short queue.
//! - Invariants: full queue or full socket on one side: the other one is not read.

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::frame::{self, CloseCode, Decoder, Event, HEAD_BYTES_MAX};
use crate::limits::{WEBSOCKET_BYTES, WEBSOCKET_CLOSE_TIME};

/// Frames that `up` may have waiting.
const NOTICES_MAX: usize = 4;

/// What `up` wants sent.
enum Notice {
    Frame(Vec<u8>),
    /// The last one.
    Goodbye(CloseCode),
}

/// Carries bytes to the end of the connection.
pub(super) async fn carry<S>(socket: S, shard: UnixStream)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (reader, mut writer) = tokio::io::split(socket);
    let (shard_reader, shard_writer) = shard.into_split();
    let (notices, noticed) = mpsc::channel(NOTICES_MAX);
    {
        let mut up = std::pin::pin!(up(reader, shard_writer, notices));
        let mut down = std::pin::pin!(down(&mut writer, shard_reader, noticed));
        // Whoever ends first has told the other side why; the second one has a moment to end in order.
        tokio::select! {
            () = &mut up => drop(timeout(WEBSOCKET_CLOSE_TIME, down).await),
            () = &mut down => drop(timeout(WEBSOCKET_CLOSE_TIME, up).await),
        }
    }
    drop(timeout(WEBSOCKET_CLOSE_TIME, writer.shutdown()).await);
}

/// From the device to the shard. Dropping the shard's end tells the shard that the device is gone.
async fn up(mut socket: impl AsyncRead + Unpin, shard: OwnedWriteHalf, notices: mpsc::Sender<Notice>) {
    let mut buffer = vec![0; WEBSOCKET_BYTES];
    let mut decoder = Decoder::new();
    // `None` once the shard has closed: what still comes is read for the goodbye in it.
    let mut shard = Some(shard);
    while let Ok(count @ 1..) = socket.read(&mut buffer).await {
        let mut rest = buffer.get_mut(..count).unwrap_or_default();
        while !rest.is_empty() {
            let notice = match decoder.next(rest) {
                Ok(step) => {
                    let notice = match step.event {
                        Some(Event::Data(range)) => {
                            let bytes = rest.get(range).unwrap_or_default();
                            if let Some(open) = &mut shard
                                && open.write_all(bytes).await.is_err()
                            {
                                shard = None;
                            }
                            None
                        }
                        Some(Event::Ping(payload)) => Some(Notice::Frame(frame::pong(&payload))),
                        Some(Event::Close) => Some(Notice::Goodbye(CloseCode::Normal)),
                        None => None,
                    };
                    rest = rest.get_mut(step.consumed..).unwrap_or_default();
                    notice
                }
                Err(code) => Some(Notice::Goodbye(code)),
            };
            let is_last = matches!(notice, Some(Notice::Goodbye(_)));
            if let Some(notice) = notice
                && (notices.send(notice).await.is_err() || is_last)
            {
                return;
            }
        }
    }
}

/// From the shard to the device.
async fn down(socket: &mut (impl AsyncWrite + Unpin), mut shard: OwnedReadHalf, mut notices: mpsc::Receiver<Notice>) {
    let mut buffer = vec![0; HEAD_BYTES_MAX + WEBSOCKET_BYTES];
    loop {
        let room = buffer.get_mut(HEAD_BYTES_MAX..).unwrap_or_default();
        // Both arms lose nothing when they are dropped.
        let (frame, is_last) = tokio::select! {
            notice = notices.recv() => match notice {
                Some(Notice::Frame(frame)) => (frame, false),
                Some(Notice::Goodbye(code)) => (frame::close(code), true),
                // The device went without a word.
                None => return,
            },
            read = shard.read(room) => match read {
                Ok(count @ 1..) => {
                    if !write_data(socket, &mut buffer, count).await {
                        return;
                    }
                    continue;
                }
                _ => (frame::close(CloseCode::Normal), true),
            },
        };
        if socket.write_all(&frame).await.is_err() || socket.flush().await.is_err() || is_last {
            return;
        }
    }
}

/// Writes the payload that stands behind the room for its head, as one frame. Whether it went well.
async fn write_data(socket: &mut (impl AsyncWrite + Unpin), buffer: &mut [u8], count: usize) -> bool {
    let Some((room, _)) = buffer.split_first_chunk_mut::<HEAD_BYTES_MAX>() else { return false };
    let start = frame::write_data_head(room, count);
    let frame = buffer.get(start..HEAD_BYTES_MAX + count).unwrap_or_default();
    socket.write_all(frame).await.is_ok() && socket.flush().await.is_ok()
}
