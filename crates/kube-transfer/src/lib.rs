//! Remote commands and files in Kubernetes pods that cannot be lost in silence.
//!
//! `kubectl exec pod -- command > file` cannot tell a finished stream from a broken one. Here it can be known, always:
//!
//! - [`exec`] runs a command over the API server's WebSocket and says how it ended: with an exit code, with a status of
//!   the API server or the kubelet, or lost, and then why.
//! - [`PodHandle`] is a container with the client and the limits for what is done in it. Its
//!   [`download`](PodHandle::download) streams a command's standard output into a [`Sink`], and returns [`Delivered`] only
//!   when the pod reported an exit code of zero and the SHA-256 of what was written here; its [`run`](PodHandle::run) does
//!   the same for a short command whose output fits in memory.
//! - [`file`](mod@file) looks at files in pods, fetches them over parallel streams, and puts them in place; both go on
//!   where they were interrupted.
//! - [`forward`](mod@forward) connects with a port of a pod.
//! - [`job`] starts a program that outlives the connection, and finds it again: its state, its log, its exit code.
//!
//! Secrets travel on standard input, never in arguments or URLs: see [`Secret`] and [`RemoteCommand`].
//! The client handed in must have no read or write time-outs and repeat nothing: see [`stream_config`].
//!
//! ```no_run
//! # use kube_transfer::{PodContainer, PodHandle, RemoteCommand, Secret, stream_config};
//! # async fn example(config: kube::Config, password: String) -> Result<(), Box<dyn std::error::Error>> {
//! let client = kube::Client::try_from(stream_config(&config))?;
//! let pod = PodHandle::new(&client, PodContainer {
//!     namespace: "default".into(),
//!     pod: "postgres-0".into(),
//!     container: "postgres".into(),
//! });
//! let query = RemoteCommand::new("psql")
//!     .args(["--username", "store", "--tuples-only"])
//!     .env("PGPASSWORD", Secret::new(password)?)?
//!     .input_line(Secret::new("select count(*) from tenant")?);
//! let answer = pod.run(&query).await?;
//! # let _ = answer;
//! # Ok(())
//! # }
//! ```
//!
//! A file, fetched over several streams. What is here of it survives a broken connection and an end of this process; the
//! next run continues it if the source is still the same.
//!
//! ```no_run
//! # use std::path::Path;
//! # use kube_transfer::{PodHandle, Sink};
//! # use kube_transfer::file::{FetchEvent, FetchOptions, Partial};
//! # async fn example(pod: PodHandle, check: impl Sink) -> Result<(), Box<dyn std::error::Error>> {
//! let dump = pod.file("/store-backups/store.dump_20240801-230000");
//! let version = dump.stat().await?.version;
//! let path = Path::new("store.dump");
//! let partial = match Partial::resume(path, &version)? {
//!     Some(partial) => partial,
//!     None => Partial::create(path, &version)?,
//! };
//! let observe = |event: FetchEvent<'_>| println!("{event:?}");
//! let fetched = dump.fetch(partial, check, &FetchOptions::default(), observe).await?;
//! println!("{} bytes, SHA-256 {}", fetched.bytes(), fetched.sha256());
//! fetched.save()?;
//! # Ok(())
//! # }
//! ```
//!
//! This is for Unix on both sides; on this one for the permissions and the places of files.

mod batch;
pub mod download;
pub mod exec;
pub mod file;
pub mod forward;
pub mod job;
mod limit;
mod pod;
mod remote_command;
mod retry;
mod run;
mod script;
mod secret;
mod text;

pub use download::{Delivered, DownloadError, Sink};
pub use exec::{PodContainer, StreamError, stream_config};
pub use pod::{PodHandle, TransferOptions};
pub use remote_command::{InvalidVariable, RemoteCommand};
pub use retry::Retries;
pub use run::{CAPTURE_LIMIT_BYTES, Captured};
pub use secret::{InvalidSecret, Secret};
pub use transfer_proof::{Proof, Sha256Digest};
