//! A long link, in user space: a TCP proxy that delays what passes and caps each connection as distance does.
//!
//! Over a distance, a TCP connection carries one window of bytes a round trip. Here each connection begins with the
//! usual ten segments, its window grows by what is acknowledged, and ends at [`WINDOW_BYTES`].

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// How long a packet travels one way; twice that is a round trip.
const ONE_WAY: Duration = Duration::from_millis(25);
/// What may be on its way at a time, for each connection and direction: 10 MiB/s at this distance.
const WINDOW_BYTES: usize = 512 << 10;
/// Ten segments of 1460 bytes: RFC 6928.
const FIRST_WINDOW_BYTES: usize = 14_600;
const READ_BYTES: usize = 16 << 10;

/// A listening end of the link. It serves until the process ends.
pub(super) struct LongLink {
    address: SocketAddr,
}

impl LongLink {
    /// A link to `server`.
    pub(super) fn to(server: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot listen on loopback")?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A connection that cannot be made is closed, as a link that is down would.
                let _ = connect(client, server);
            }
        });
        Ok(Self { address })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The link in words, for a report.
    pub(super) fn describe() -> String {
        format!(
            "{} ms round trip, {} KiB a round trip and connection",
            2 * ONE_WAY.as_millis(),
            WINDOW_BYTES >> 10
        )
    }
}

fn connect(client: TcpStream, server: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    carry(client.try_clone()?, server.try_clone()?);
    carry(server, client);
    Ok(())
}

/// Bytes, and when they arrive.
type Parcel = (Instant, Vec<u8>);

/// One direction of a connection.
fn carry(from: TcpStream, to: TcpStream) {
    let window = Arc::new(Window::default());
    let (send, arriving) = channel();
    let (acknowledge, acknowledged) = channel();
    let opened = Arc::clone(&window);
    thread::spawn(move || take(from, &window, &send));
    thread::spawn(move || deliver(to, &arriving, &acknowledge));
    thread::spawn(move || {
        while let Ok((due, bytes)) = acknowledged.recv() {
            sleep_until(due);
            opened.open(bytes);
        }
    });
}

fn take(mut from: TcpStream, window: &Window, send: &Sender<Parcel>) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let room = window.wait_for_room().min(READ_BYTES);
        let read = from.read(&mut buffer[..room]).unwrap_or(0);
        window.fill(read);
        let parcel = (Instant::now() + ONE_WAY, buffer[..read].to_vec());
        if send.send(parcel).is_err() || read == 0 {
            // Nobody takes any more: the sender must know.
            let _ = from.shutdown(Shutdown::Read);
            return;
        }
    }
}

fn deliver(mut to: TcpStream, arriving: &Receiver<Parcel>, acknowledge: &Sender<(Instant, usize)>) {
    while let Ok((due, bytes)) = arriving.recv() {
        sleep_until(due);
        if bytes.is_empty() || to.write_all(&bytes).is_err() {
            break;
        }
        let _ = acknowledge.send((Instant::now() + ONE_WAY, bytes.len()));
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn sleep_until(due: Instant) {
    thread::sleep(due.saturating_duration_since(Instant::now()));
}

/// What may be on its way, and what is.
struct Window {
    state: Mutex<WindowState>,
    opened: Condvar,
}

struct WindowState {
    size_bytes: usize,
    on_its_way_bytes: usize,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            state: Mutex::new(WindowState {
                size_bytes: FIRST_WINDOW_BYTES,
                on_its_way_bytes: 0,
            }),
            opened: Condvar::new(),
        }
    }
}

impl Window {
    fn wait_for_room(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self
            .opened
            .wait_while(state, |state| state.on_its_way_bytes >= state.size_bytes)
            .unwrap_or_else(PoisonError::into_inner);
        state.size_bytes - state.on_its_way_bytes
    }

    fn fill(&self, bytes: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.on_its_way_bytes += bytes;
    }

    fn open(&self, bytes: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.on_its_way_bytes -= bytes;
        state.size_bytes = (state.size_bytes + bytes).min(WINDOW_BYTES);
        self.opened.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that echoes, behind a long link.
    fn echo() -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let link = LongLink::to(listener.local_addr().expect("an address")).expect("a link");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a connection");
            let mut reader = stream.try_clone().expect("a clone");
            io::copy(&mut reader, &mut stream).expect("an echo");
            stream.shutdown(Shutdown::Write).expect("an end");
        });
        TcpStream::connect(link.address()).expect("the link")
    }

    #[test]
    fn everything_arrives_in_order_and_the_end_too() {
        let mut stream = echo();
        let sent: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut writer = stream.try_clone().expect("a clone");
        let data = sent.clone();
        let writing = thread::spawn(move || {
            writer.write_all(&data).expect("room");
            writer.shutdown(Shutdown::Write).expect("an end");
        });
        let mut received = Vec::new();
        stream.read_to_end(&mut received).expect("an answer");
        writing.join().expect("no panic");
        assert!(received == sent);
    }
}
