//! Loopback addresses, so that services listen on their real ports and several clusters do so at once.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::OwnedFd;

use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

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
            .map(|port| hold(SocketAddrV4::new(address, *port)))
            .collect::<io::Result<Vec<_>>>()
        {
            Ok(_) => return Ok(address),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrNotAvailable.into()))
}

/// An error where somebody listens there. This socket itself never listens: a process that is started meanwhile keeps a copy of
/// it for a moment, and a copy that listens would be in the way of the service that the port is for.
fn hold(address: SocketAddrV4) -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn somewhere() -> (Ipv4Addr, u16) {
        (find(&[5432]).unwrap(), 5432)
    }

    #[test]
    fn where_somebody_listens_no_port_is_free() {
        let (address, port) = somewhere();
        let _listener = TcpListener::bind((address, port)).unwrap();
        let error = hold(SocketAddrV4::new(address, port)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_copy_of_what_tried_a_port_is_not_in_the_way_of_its_service() {
        let (address, port) = somewhere();
        // As a process has that was forked off and has not started its program yet.
        let _copy = hold(SocketAddrV4::new(address, port)).unwrap();
        TcpListener::bind((address, port)).unwrap();
    }
}
