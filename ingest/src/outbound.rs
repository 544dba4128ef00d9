//! Replies on their way to a peer: written at once where the socket takes them, kept where not.
//! - Limits: a peer that lets [`OUTBOX_BYTES_MAX`] pile up is closed, and is not read from while anything waits. One packet of a delivery
//!   may wait beyond that, because a healthy peer's socket may not take it at once.

use std::io::{ErrorKind, Write as _};

use crate::close::CloseReason;
use crate::connection::Connection;
use crate::limits::OUTBOX_BYTES_MAX;

/// Sends `plain`, through TLS where there is TLS. `scratch` holds the records for a moment.
pub(crate) fn send(connection: &mut Connection, plain: &[u8], scratch: &mut Vec<u8>) -> Result<(), CloseReason> {
    if plain.is_empty() {
        return Ok(());
    }
    match &mut connection.tls {
        None => transmit(connection, plain),
        Some(tls) => {
            scratch.clear();
            tls.write(plain, scratch).map_err(CloseReason::Tls)?;
            transmit(connection, scratch)
        }
    }
}

/// Sends one packet of any size. Only while nothing waits in the outbox.
pub(crate) fn send_packet(connection: &mut Connection, plain: &[u8], scratch: &mut Vec<u8>) -> Result<(), CloseReason> {
    // Records and their frames add less than half to what is in them.
    connection.outbox_extra = u32::try_from(plain.len()).unwrap_or(u32::MAX).saturating_mul(3) / 2;
    let result = send(connection, plain, scratch);
    if connection.outbox.is_empty() {
        connection.outbox_extra = 0;
    }
    result
}

/// Sends what is already as it goes over the wire.
pub(crate) fn transmit(connection: &mut Connection, wire: &[u8]) -> Result<(), CloseReason> {
    let rest = if connection.outbox.is_empty() { write(connection, wire)? } else { wire };
    let extra = usize::try_from(connection.outbox_extra).unwrap_or(usize::MAX);
    if connection.outbox.len() + rest.len() > OUTBOX_BYTES_MAX.saturating_add(extra) {
        return Err(CloseReason::SlowReader);
    }
    connection.outbox.extend_from_slice(rest);
    Ok(())
}

/// Writes what the socket takes; answers the rest.
fn write<'a>(connection: &mut Connection, wire: &'a [u8]) -> Result<&'a [u8], CloseReason> {
    let mut rest = wire;
    while !rest.is_empty() {
        match connection.stream.write(rest) {
            Ok(0) => return Err(CloseReason::ConnectionLost),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(CloseReason::ConnectionLost),
        }
    }
    Ok(rest)
}

/// The socket takes more again. True: nothing waits any longer.
pub(crate) fn flush(connection: &mut Connection) -> Result<bool, CloseReason> {
    let waiting = std::mem::take(&mut connection.outbox);
    let rest = write(connection, &waiting)?;
    if rest.is_empty() {
        connection.outbox_extra = 0;
    } else {
        connection.outbox = rest.to_vec();
    }
    Ok(rest.is_empty())
}
