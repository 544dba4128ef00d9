//! Replies on their way to a peer: written at once where the socket takes them, kept where not.
//! - Limits: a peer that lets [`OUTBOX_BYTES_MAX`] pile up is closed, and is not read from while anything waits.

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

/// Sends what is already as it goes over the wire.
pub(crate) fn transmit(connection: &mut Connection, wire: &[u8]) -> Result<(), CloseReason> {
    let mut rest = wire;
    while connection.outbox.is_empty() && !rest.is_empty() {
        match connection.stream.write(rest) {
            Ok(0) => return Err(CloseReason::ConnectionLost),
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Err(CloseReason::ConnectionLost),
        }
    }
    if connection.outbox.len() + rest.len() > OUTBOX_BYTES_MAX {
        return Err(CloseReason::SlowReader);
    }
    connection.outbox.extend_from_slice(rest);
    Ok(())
}

/// The socket takes more again. True: nothing waits any longer.
pub(crate) fn flush(connection: &mut Connection) -> Result<bool, CloseReason> {
    if connection.outbox.is_empty() {
        return Ok(true);
    }
    let waiting = std::mem::take(&mut connection.outbox);
    transmit(connection, &waiting)?;
    Ok(connection.outbox.is_empty())
}
