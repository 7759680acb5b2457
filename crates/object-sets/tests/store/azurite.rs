//! Azurite, Microsoft's own emulator of Azure Storage, as a process of a test.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The account that Azurite has, and the key that everybody knows.
pub(crate) const ACCOUNT: &str = "devstoreaccount1";
pub(crate) const KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
/// A SAS of that account for everything in it, until the year 2100, made with that key.
pub(crate) const SAS: &str = "sv=2020-08-04&ss=b&srt=sco&sp=rwdlacup&se=2100-01-01T00%3A00%3A00Z&sig=NcjkNHuTGzLaxU0mNqOz0Kv%2BVwUoLZkV4ie1d2DMHF4%3D";
/// What it says when it is ready, before its port.
const READY: &str = "successfully listens on http://127.0.0.1:";

/// The process; it ends with this.
pub(crate) struct Azurite {
    process: Child,
    /// Of 127.0.0.1.
    pub(crate) port: u16,
}

impl Azurite {
    /// Starts it on a port of its own, with everything in its memory. None where it is not installed.
    #[expect(
        clippy::print_stdout,
        reason = "`cargo xtask test` reads what was skipped"
    )]
    pub(crate) fn start() -> Option<Self> {
        let Some(program) = program() else {
            println!("skipped: Azurite is not installed");
            return None;
        };
        let process = Command::new("node")
            .arg(program)
            .args(["--inMemoryPersistence", "--blobHost", "127.0.0.1"])
            .args(["--blobPort", "0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let mut azurite = Self {
            process: process.unwrap(),
            port: 0,
        };
        let mut lines = BufReader::new(azurite.process.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| Some(line.unwrap().split_once(READY)?.1.to_owned()));
        azurite.port = port.expect("it ended").trim().parse().unwrap();
        // It tells of each request.
        std::thread::spawn(move || lines.for_each(drop));
        Some(azurite)
    }

    pub(crate) fn create_container(&self, name: &str) {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(
            socket,
            "PUT /{ACCOUNT}/{name}?restype=container&{SAS} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    }
}

impl Drop for Azurite {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What `cargo xtask setup` brought into the target directory that this test was built into.
fn program() -> Option<PathBuf> {
    let test = std::env::current_exe().unwrap();
    let mut above = test.ancestors();
    above.find_map(|directory| {
        let program = directory.join("azurite/node_modules/azurite/dist/src/blob/main.js");
        program.is_file().then_some(program)
    })
}
