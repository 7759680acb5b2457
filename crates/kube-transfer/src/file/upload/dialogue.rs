//! What is said between this side and the script in the pod, line by line.

use std::{collections::VecDeque, ops::ControlFlow, pin::pin, time::Duration};

use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};

use super::UploadError;
use crate::{
    Sha256Digest,
    download::report::Stderr,
    exec::{End, Output, Session, Stdin, StreamError, StreamOptions},
    file::{FileError, FileHandle, SLOWEST_BYTES_PER_SECOND},
    limit::deadline,
    script::{self, Script},
    text::printable,
};

const SCRIPT: Script = Script::new(
    "kube-transfer-upload",
    concat!(
        include_str!("../../process.sh"),
        include_str!("partial.sh"),
        include_str!("upload.sh")
    ),
);
/// The pod answers in short lines.
const LINE_LIMIT_BYTES: usize = 1 << 10;
/// How often the pod says how much it has while it takes data, and this side that it is there while it has nothing to say.
const SIGN_OF_LIFE_EVERY: Duration = Duration::from_secs(5);

/// How many times the limit a peer may be silent: while a slow disk does not take what was sent, a server does not answer
/// pings either, and what still comes are the pod's signs of life.
const SILENCE_WHILE_WRITING: u32 = 4;

/// What the script says.
#[derive(Debug)]
pub(super) enum Answer {
    /// How much it has, and whether a file of the right size is in its place.
    Have { bytes: u64, placed: bool },
    /// The hash that was asked for.
    Hash(Sha256Digest),
    /// The hash of the whole.
    Written(Sha256Digest),
    /// The file is in its place.
    Done,
}

/// One connection of an upload.
pub(super) struct Dialogue<'a> {
    session: Session,
    nonce: String,
    file: &'a FileHandle,
    /// Data handed to this connection.
    sent: u64,
    /// A line that has not ended yet.
    line: Vec<u8>,
    answers: VecDeque<String>,
    /// The end of what programs had to say.
    said: Stderr,
}

impl<'a> Dialogue<'a> {
    /// Starts the script with `arguments` after the path of `file`.
    pub(super) async fn start(
        file: &'a FileHandle,
        arguments: [String; 4],
    ) -> Result<Self, UploadError> {
        let nonce = script::nonce();
        let command = SCRIPT.argv(std::iter::once(file.path.clone()).chain(arguments));
        let limits = &file.pod.options.stream;
        let stream = StreamOptions {
            silence_limit: limits.silence_limit.saturating_mul(SILENCE_WHILE_WRITING),
            ..limits.clone()
        };
        let pod = &file.pod;
        let mut session = Session::open(&pod.client, &pod.container, command, &stream)
            .await
            .map_err(StreamError::from)?;
        // When the stream is gone already, reading from it tells why.
        let _ = session.write_stdin(&SCRIPT.preface(&nonce, &[])).await;
        Ok(Self {
            session,
            said: Stderr::new(nonce.clone()),
            nonce,
            file,
            sent: 0,
            line: Vec::new(),
            answers: VecDeque::new(),
        })
    }

    /// How much data was handed to the connection.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// When the stream is gone already, reading from it tells why.
    pub(super) async fn say(&mut self, line: &str) {
        let _ = self
            .session
            .write_stdin(format!("{line}\n").as_bytes())
            .await;
    }

    /// Tells the pod to put the file in its place.
    pub(super) async fn confirm(&mut self) {
        let nonce = self.nonce.clone();
        self.say(&nonce).await;
    }

    /// From here on this side gives signs of life by itself: no more data follows.
    pub(super) async fn end_of_data(&mut self) {
        let _ = self.session.send_heartbeats().await;
    }

    /// Awaits `work` of this side, with signs of life for the pod.
    pub(super) async fn while_alive<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut tick = interval(SIGN_OF_LIFE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = tick.tick() => self.say("").await,
            }
        }
    }

    /// Hands over a piece of the data, unless the pod has something to say before it has all.
    pub(super) async fn send(&mut self, stdin: &Stdin, data: &[u8]) -> Result<(), UploadError> {
        let mut sending = pin!(stdin.write(data));
        let limit = self.file.pod.options.stall_limit;
        let deadline = deadline(Instant::now(), limit);
        loop {
            tokio::select! {
                // First what the pod says: when it has given up, sending fails too, and does not know why.
                biased;
                output = self.session.next() => match output {
                    ControlFlow::Continue(output) => self.take(output),
                    ControlFlow::Break(end) => return Err(self.ended(end)),
                },
                sent = &mut sending, if self.answers.is_empty() => match sent {
                    Ok(()) => break,
                    Err(_) => return Err(self.premature().await),
                },
                () = sleep_until(deadline) => return Err(self.stalled(limit)),
            }
            if !self.answers.is_empty() {
                return Err(self.premature().await);
            }
        }
        self.sent += data.len() as u64;
        Ok(())
    }

    pub(super) fn stdin(&self) -> Stdin {
        self.session.stdin()
    }

    /// What the pod says before it has everything.
    async fn premature(&mut self) -> UploadError {
        match self.answer(0).await {
            Ok(_) => unreadable("an answer before everything was sent"),
            Err(error) => error,
        }
    }

    /// What the pod says next, when it has `work_bytes` to sync or to hash before.
    pub(super) async fn answer(&mut self, work_bytes: u64) -> Result<Answer, UploadError> {
        let working = Duration::from_secs(work_bytes / SLOWEST_BYTES_PER_SECOND);
        let limit = self.file.pod.options.stall_limit.saturating_add(working);
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
        let path = || self.file.path.clone();
        let digest = |text: &str| text.parse().map_err(|_| unreadable(answer));
        match answer.split_once(' ').unwrap_or((answer, "")) {
            ("have", rest) => {
                let (bytes, placed) = rest.split_once(' ').unwrap_or((rest, ""));
                Ok(Answer::Have {
                    bytes: bytes.parse().map_err(|_| unreadable(answer))?,
                    placed: placed == "placed",
                })
            }
            ("hash", text) => Ok(Answer::Hash(digest(text)?)),
            ("written", text) => Ok(Answer::Written(digest(text)?)),
            ("done", "") => Ok(Answer::Done),
            ("exists", "") => Err(UploadError::Exists { path: path() }),
            ("busy", "") => Err(UploadError::Busy { path: path() }),
            ("foreign", "") => Err(UploadError::ForeignPartial { path: path() }),
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
                // A sign of life: that it came is all that it says.
                Some(answer) if answer.starts_with(b"at ") => {}
                Some(answer) => self.answers.push_back(printable(answer)),
                None => self.said.push(&line),
            }
        }
    }

    fn ended(&mut self, end: End) -> UploadError {
        StreamError::from_end(end, self.sent, || self.said.tail()).into()
    }

    fn stalled(&self, after: Duration) -> UploadError {
        UploadError::Stream(StreamError::Stalled {
            after,
            bytes: self.sent,
        })
    }
}

pub(super) fn unreadable(answer: &str) -> UploadError {
    UploadError::Unreadable {
        answer: answer.to_owned(),
    }
}
