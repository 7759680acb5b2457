//! A local file, put into a pod whole or not at all.
//!
//! A shell in the pod takes as many bytes as were announced, since not every server can close standard input, into a
//! temporary file beside the destination that only its owner can read. It syncs the file, reports the SHA-256 of what it
//! has written, and gives the file its name once this side has compared. When anything fails, or this side dies, the
//! shell removes the temporary file.
//!
//! The container needs `sh`, `head`, `wc`, `mv`, `rm`, `cat`, `sleep`, `df`, and `sha256sum` or `openssl`.

mod error;

use std::{collections::VecDeque, ops::ControlFlow, pin::pin, time::Duration};

use kube::Client;
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    time::{Instant, sleep_until, timeout_at},
};

use super::{FileError, RemoteFile, SLOWEST_BYTES_PER_SECOND, query, space};
use crate::{
    Sha256Digest,
    download::{TransferOptions, report::Stderr},
    exec::{End, Output, Session, Stdin, StreamOptions},
    limit::deadline,
    script::{self, Script},
    text::printable,
};
pub use error::UploadError;

const SCRIPT: Script = Script::new("kube-transfer-upload", include_str!("upload.sh"));
const CHUNK_BYTES: usize = 32 << 10;
/// What must stay free: file systems need some for themselves, and others write too.
const MARGIN_BYTES: u64 = 16 << 20;
/// The pod answers in short lines.
const LINE_LIMIT_BYTES: usize = 1 << 10;

/// How a file is uploaded.
#[derive(Debug, Clone, Default)]
pub struct UploadOptions {
    /// Limits of the stream; its stall limit also bounds the time that the pod takes to sync and hash.
    pub transfer: TransferOptions,
    /// Whether a file of the same name is replaced.
    pub replace: bool,
}

/// Proof of a complete upload: exists only when the pod has synced, hashed and named the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uploaded {
    bytes: u64,
    sha256: Sha256Digest,
}

impl Uploaded {
    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Their SHA-256.
    pub fn sha256(&self) -> Sha256Digest {
        self.sha256
    }
}

/// Writes the first `bytes` bytes of `source` to the file `to`, which its owner alone can read.
///
/// `progress` is called with the number of bytes sent so far, for every frame: it must be cheap. Dropping the future
/// ends the connection, upon which the pod removes what it has written.
pub async fn upload(
    client: &Client,
    source: impl AsyncRead + Unpin,
    bytes: u64,
    to: &RemoteFile,
    options: &UploadOptions,
    progress: impl FnMut(u64),
) -> Result<Uploaded, UploadError> {
    let path = query::absolute(&to.path)?;
    if path.ends_with('/') {
        return Err(FileError::InvalidPath {
            path: path.to_owned(),
        }
        .into());
    }
    let directory = path
        .rsplit_once('/')
        .map_or("/", |(directory, _)| directory);
    let directory = if directory.is_empty() { "/" } else { directory };
    let room = space(client, &to.target, directory, &options.transfer).await?;
    let needed = bytes.saturating_add(MARGIN_BYTES);
    if room.available < needed {
        return Err(UploadError::NoSpace {
            path: path.to_owned(),
            needed,
            available: room.available,
        });
    }
    let upload = Upload::start(client, to, bytes, options).await?;
    upload.complete(source, progress).await
}

struct Upload<'a> {
    session: Session,
    nonce: String,
    path: &'a str,
    bytes: u64,
    sent: u64,
    /// A line that has not ended yet.
    line: Vec<u8>,
    answers: VecDeque<String>,
    /// The end of what programs had to say.
    said: Stderr,
    options: &'a UploadOptions,
}

/// What the script says.
enum Answer {
    Written(Sha256Digest),
    Done,
}

impl<'a> Upload<'a> {
    async fn start(
        client: &Client,
        to: &'a RemoteFile,
        bytes: u64,
        options: &'a UploadOptions,
    ) -> Result<Self, UploadError> {
        let nonce = script::nonce();
        let word = script::nonce();
        let existing = if options.replace { "replace" } else { "keep" };
        let arguments = [&to.path, &bytes.to_string(), &word, existing];
        let command = SCRIPT.argv(arguments.map(ToOwned::to_owned));
        // While a slow disk does not take what was sent, a server does not answer pings either.
        let stream = StreamOptions {
            silence_limit: options
                .transfer
                .stream
                .silence_limit
                .max(options.transfer.stall_limit),
            ..options.transfer.stream.clone()
        };
        let mut session = Session::open(client, &to.target, command, &stream).await?;
        // When the stream is gone already, reading from it tells why.
        let _ = session.write_stdin(&SCRIPT.preface(&nonce, &[])).await;
        Ok(Self {
            session,
            said: Stderr::new(nonce.clone()),
            nonce,
            path: &to.path,
            bytes,
            sent: 0,
            line: Vec::new(),
            answers: VecDeque::new(),
            options,
        })
    }

    async fn complete(
        mut self,
        source: impl AsyncRead + Unpin,
        progress: impl FnMut(u64),
    ) -> Result<Uploaded, UploadError> {
        let computed = self.send(source, progress).await?;
        let reported = match self.answer().await? {
            Answer::Written(reported) => reported,
            Answer::Done => return Err(unreadable("done before it was told to")),
        };
        if reported != computed {
            return Err(UploadError::HashDiffers { reported, computed });
        }
        let go = format!("{}\n", self.nonce);
        let _ = self.session.write_stdin(go.as_bytes()).await;
        match self.answer().await {
            Ok(Answer::Done) => Ok(Uploaded {
                bytes: self.bytes,
                sha256: computed,
            }),
            Ok(Answer::Written(_)) => Err(unreadable("written twice")),
            Err(UploadError::Lost { why, .. }) => Err(UploadError::Unconfirmed {
                path: self.path.to_owned(),
                why,
            }),
            Err(error) => Err(error),
        }
    }

    /// Sends the data, unless the pod has something to say before it has all.
    async fn send(
        &mut self,
        mut source: impl AsyncRead + Unpin,
        mut progress: impl FnMut(u64),
    ) -> Result<Sha256Digest, UploadError> {
        let stdin = self.session.stdin();
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; CHUNK_BYTES];
        while self.sent < self.bytes {
            let rest = usize::try_from(self.bytes - self.sent).unwrap_or(usize::MAX);
            let room = CHUNK_BYTES.min(rest);
            let length = source
                .read(&mut buffer[..room])
                .await
                .map_err(UploadError::Source)?;
            if length == 0 {
                return Err(UploadError::SourceLength {
                    expected: self.bytes,
                    found: self.sent,
                });
            }
            let chunk = &buffer[..length];
            hasher.update(chunk);
            self.send_chunk(&stdin, chunk).await?;
            self.sent += length as u64;
            progress(self.sent);
        }
        let _ = self.session.send_heartbeats().await;
        Ok(<[u8; 32]>::from(hasher.finalize()).into())
    }

    async fn send_chunk(&mut self, stdin: &Stdin, chunk: &[u8]) -> Result<(), UploadError> {
        let mut sending = pin!(stdin.write(chunk));
        let deadline = deadline(Instant::now(), self.options.transfer.stall_limit);
        loop {
            tokio::select! {
                // First what the pod says: when it has given up, sending fails too, and does not know why.
                biased;
                output = self.session.next() => match output {
                    ControlFlow::Continue(output) => self.take(output),
                    ControlFlow::Break(end) => return Err(self.ended(end)),
                },
                sent = &mut sending, if self.answers.is_empty() => match sent {
                    Ok(()) => return Ok(()),
                    Err(_) => return Err(self.premature().await),
                },
                () = sleep_until(deadline) => return Err(self.stalled(self.options.transfer.stall_limit)),
            }
            if !self.answers.is_empty() {
                return Err(self.premature().await);
            }
        }
    }

    /// What the pod says before it has everything.
    async fn premature(&mut self) -> UploadError {
        match self.answer().await {
            Ok(_) => unreadable("written before everything was sent"),
            Err(error) => error,
        }
    }

    /// What the pod says next.
    async fn answer(&mut self) -> Result<Answer, UploadError> {
        // It syncs and hashes before it answers.
        let hashing = Duration::from_secs(self.bytes / SLOWEST_BYTES_PER_SECOND);
        let limit = self.options.transfer.stall_limit.saturating_add(hashing);
        let deadline = deadline(Instant::now(), limit);
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return self.interpret(&answer);
            }
            match timeout_at(deadline, self.session.next()).await {
                Ok(ControlFlow::Continue(output)) => self.take(output),
                Ok(ControlFlow::Break(end)) => return Err(self.ended(end)),
                Err(_) => return Err(self.stalled(limit)),
            }
        }
    }

    fn interpret(&mut self, answer: &str) -> Result<Answer, UploadError> {
        match answer.split_once(' ').unwrap_or((answer, "")) {
            ("written", digest) => match digest.parse() {
                Ok(digest) => Ok(Answer::Written(digest)),
                Err(_) => Err(unreadable(answer)),
            },
            ("done", "") => Ok(Answer::Done),
            ("exists", "") => Err(UploadError::Exists {
                path: self.path.to_owned(),
            }),
            ("missing", tool) => Err(UploadError::File(FileError::MissingTool {
                tool: tool.to_owned(),
            })),
            ("failed", action) => Err(UploadError::Failed {
                action: action.to_owned(),
                said: self.said.tail(),
            }),
            _ => Err(unreadable(answer)),
        }
    }

    fn take(&mut self, output: Output) {
        let (Output::Stdout(data) | Output::Stderr(data)) = output;
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if !piece.ends_with(b"\n") && self.line.len() <= LINE_LIMIT_BYTES {
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let answer = line
                .strip_prefix(self.nonce.as_bytes())
                .and_then(|rest| rest.strip_prefix(b" "));
            match answer {
                Some(answer) => self.answers.push_back(printable(answer)),
                None => self.said.push(&line),
            }
        }
    }

    fn ended(&mut self, end: End) -> UploadError {
        match end {
            End::Lost(why) => UploadError::Lost {
                sent: self.sent,
                why,
            },
            End::Failed(failure) => UploadError::BrokenOff(failure),
            End::Exited { code } => UploadError::Exited {
                code,
                said: self.said.tail(),
            },
        }
    }

    fn stalled(&self, after: Duration) -> UploadError {
        UploadError::Stalled {
            after,
            sent: self.sent,
        }
    }
}

fn unreadable(answer: &str) -> UploadError {
    UploadError::Unreadable {
        answer: answer.to_owned(),
    }
}
