//! The S3 servers that are measured with, processes of their own on this machine.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use crate::process::{self, cargo, target_directory};

/// The server's version, which is the one that the tests use.
const SERVER_VERSION: &str = "0.14.1";
pub(super) const BUCKET: &str = "bench";
pub(super) const ACCESS_KEY: &str = "bench";
pub(super) const SECRET_KEY: &str = "not-a-secret-of-anything";
const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// s3s-fs, with one bucket.
pub(super) struct Server {
    _running: Running,
    address: SocketAddr,
    root: PathBuf,
}

impl Server {
    /// Installs it where it is missing, and starts it with an empty bucket.
    pub(super) fn start(directory: &Path) -> anyhow::Result<Self> {
        let tools = target_directory().join("bench-tools");
        let mut install = cargo(&[
            "install",
            "--quiet",
            "--locked",
            "s3s-fs",
            "--features",
            "binary",
        ]);
        install
            .args(["--version", SERVER_VERSION, "--root"])
            .arg(&tools);
        process::run(&mut install)?;
        let root = directory.join("buckets");
        fs::create_dir_all(root.join(BUCKET))?;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let child = Command::new(tools.join("bin/s3s-fs"))
            .args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY])
            .args([
                "--host",
                &free.ip().to_string(),
                "--port",
                &free.port().to_string(),
            ])
            .arg(&root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start s3s-fs")?;
        let server = Self {
            _running: Running(child),
            address: free,
            root,
        };
        let started = Instant::now();
        while TcpStream::connect(free).is_err() {
            ensure!(started.elapsed() < STARTS_WITHIN, "s3s-fs does not listen");
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// Sets what programs find it by.
    pub(super) fn leads(&self, command: &mut Command) {
        lead_to(command, self.address);
    }

    fn bucket(&self) -> PathBuf {
        self.root.join(BUCKET)
    }

    pub(super) fn empty(&self) -> anyhow::Result<()> {
        fs::remove_dir_all(self.bucket())?;
        Ok(fs::create_dir(self.bucket())?)
    }
}

/// Sets what programs find an S3 server by.
pub(super) fn lead_to(command: &mut Command, server: SocketAddr) {
    command
        .env("AWS_ENDPOINT_URL", format!("http://{server}"))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
}

/// A server that ends when it is dropped.
pub(super) struct Running(pub(super) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
