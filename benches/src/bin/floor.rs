//! The floor: a server that answers CONNACK, PUBACK and PINGRESP and does nothing else, to give every figure as a multiple of it.
//! - Shape: one thread, one event set, one read buffer for all; `floor --listen 127.0.0.1:1883`, prints the address, runs until killed.
//! - Limits: packets up to 64 KiB; a connection that doesn't read its answers is closed.
//! - Not here: any check. It believes what it is sent, so it must never face anything but a load generator.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

const LISTENER: Token = Token(0);
const INPUT_BYTES: usize = 64 * 1024;
const EVENTS: usize = 1_024;

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const PING_REQUEST: u8 = 12;

struct Client {
    socket: TcpStream,
    /// Start of a packet whose rest hasn't come.
    carry: Vec<u8>,
    /// CONNACK and PUBACK of MQTT 5 have a byte for properties more.
    is_v5: bool,
}

/// A whole packet and what follows it.
struct Frame<'a> {
    first: u8,
    body: &'a [u8],
    rest: &'a [u8],
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let address: SocketAddr = match arguments.as_slice() {
        [] => "127.0.0.1:1883".parse()?,
        [flag, address] if flag == "--listen" => address.parse().context("--listen ADDRESS:PORT")?,
        _ => bail!("usage: floor [--listen ADDRESS:PORT]"),
    };
    let mut listener = TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    writeln!(io::stdout(), "{}", listener.local_addr()?)?;
    let mut clients: HashMap<usize, Client> = HashMap::new();
    let mut next = 1;
    let mut events = Events::with_capacity(EVENTS);
    let (mut input, mut output) = (vec![0; INPUT_BYTES], Vec::new());
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, poll.registry(), &mut clients, &mut next)?;
                continue;
            }
            let Token(number) = event.token();
            let Some(client) = clients.get_mut(&number) else { continue };
            if serve(client, &mut input, &mut output).is_err() {
                clients.remove(&number);
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    registry: &Registry,
    clients: &mut HashMap<usize, Client>,
    next: &mut usize,
) -> Result<()> {
    loop {
        match listener.accept() {
            Ok((mut socket, _)) => {
                socket.set_nodelay(true)?;
                registry.register(&mut socket, Token(*next), Interest::READABLE)?;
                clients.insert(*next, Client { socket, carry: Vec::new(), is_v5: false });
                *next += 1;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
            Err(error) => return Err(error).context("accepting"),
        }
    }
}

/// Reads what is there and answers it with one write.
fn serve(client: &mut Client, input: &mut [u8], output: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let length = match client.socket.read(input) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        output.clear();
        let bytes = input.get(..length).unwrap_or_default();
        if client.carry.is_empty() {
            let rest = answer(bytes, &mut client.is_v5, output)?;
            client.carry.extend_from_slice(rest);
        } else {
            let mut whole = std::mem::take(&mut client.carry);
            whole.extend_from_slice(bytes);
            client.carry = answer(&whole, &mut client.is_v5, output)?.to_vec();
        }
        client.socket.write_all(output)?;
        if length < input.len() {
            return Ok(());
        }
    }
}

/// Answers all whole packets; returns the rest.
fn answer<'a>(mut input: &'a [u8], is_v5: &mut bool, output: &mut Vec<u8>) -> io::Result<&'a [u8]> {
    while let Some(Frame { first, body, rest }) = split(input)? {
        match first >> 4 {
            CONNECT => {
                *is_v5 = body.get(6) == Some(&5);
                output.extend_from_slice(if *is_v5 { &[0x20, 3, 0, 0, 0] } else { &[0x20, 2, 0, 0] });
            }
            PUBLISH if first & 0x06 != 0 => {
                let Some((length, after)) = body.split_first_chunk::<2>() else { return Err(malformed()) };
                let topic_bytes = usize::from(u16::from_be_bytes(*length));
                let Some(packet_id) = after.get(topic_bytes..topic_bytes + 2) else { return Err(malformed()) };
                output.extend_from_slice(&[0x40, 2]);
                output.extend_from_slice(packet_id);
            }
            PING_REQUEST => output.extend_from_slice(&[0xd0, 0]),
            _ => {}
        }
        input = rest;
    }
    Ok(input)
}

fn split(input: &[u8]) -> io::Result<Option<Frame<'_>>> {
    let Some((&first, mut after)) = input.split_first() else { return Ok(None) };
    let mut length = 0_usize;
    for shift in [0, 7, 14] {
        let Some((&byte, rest)) = after.split_first() else { return Ok(None) };
        length |= usize::from(byte & 0x7f) << shift;
        after = rest;
        if byte & 0x80 == 0 {
            let Some((body, rest)) = after.split_at_checked(length) else { return Ok(None) };
            return Ok(Some(Frame { first, body, rest }));
        }
    }
    Err(malformed())
}

fn malformed() -> io::Error {
    ErrorKind::InvalidData.into()
}
