//! Loopback addresses, so that services listen on their real ports and several clusters do so at once.

use std::io;
use std::net::{Ipv4Addr, TcpListener};

/// More tries than this fail only if something else is wrong than a taken address.
const TRIES: usize = 32;

/// A loopback address on which all of `ports` are free.
pub(super) fn find(ports: &[u16]) -> io::Result<Ipv4Addr> {
    let mut last = None;
    for _ in 0..TRIES {
        // 127.0.0.0/10 is left to everybody else, 127.64.0.0/10 to the pods.
        let address = Ipv4Addr::new(
            127,
            128 | rand::random::<u8>(),
            rand::random(),
            rand::random::<u8>() | 1,
        );
        // Held together until all are tried.
        match ports
            .iter()
            .map(|port| TcpListener::bind((address, *port)))
            .collect::<io::Result<Vec<_>>>()
        {
            Ok(_) => return Ok(address),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}
