//! Runs the command of an exec request for real, wires its channels, and breaks what the test wants broken.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::{SinkExt as _, StreamExt as _};
use rand::{RngExt as _, SeedableRng as _, rngs::SmallRng};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::ChildStdin,
    sync::mpsc,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Bytes, Message, protocol::CloseFrame},
};

use super::node::Node;

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

/// What goes wrong, after how many payload bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// The connection is cut after this many bytes on all channels together.
    Cut(usize),
    /// A close frame without a status, after this many bytes on all channels together.
    Close(usize),
    /// Nothing is sent or read any more, after this many bytes on all channels together.
    Freeze(usize),
    /// The rest of standard output does not arrive; everything else goes on.
    StallStdout(usize),
    /// The rest of standard output does not arrive, and success is reported at once.
    DropTail(usize),
    /// One bit of this byte of standard output flips.
    Corrupt(usize),
    /// The connection is cut after this many bytes of the first message for standard input: the script.
    CutScript(usize),
    /// The connection is cut after this many bytes for standard input, the script not counted.
    CutInput(usize),
    /// One bit of this byte of standard input flips, the script not counted.
    CorruptInput(usize),
}

/// A container with a shell.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    /// Takes the place of `sh`.
    pub(crate) shell: Vec<String>,
    /// The only directories with programs.
    pub(crate) path: String,
    pub(crate) fault: Fault,
    /// Decides the sizes of frames.
    pub(crate) seed: u64,
    /// How many messages came for the standard input of commands.
    pub(crate) inputs: Arc<AtomicUsize>,
    /// How many bytes came for it, the scripts not counted.
    pub(crate) arrived: Arc<AtomicUsize>,
    /// Where its processes run.
    pub(crate) node: Arc<Node>,
}

impl Pod {
    pub(crate) fn new() -> Self {
        Self {
            shell: vec!["sh".to_owned()],
            path: "/usr/bin:/bin".to_owned(),
            fault: Fault::None,
            seed: 1,
            inputs: Arc::default(),
            arrived: Arc::default(),
            node: Arc::default(),
        }
    }

    pub(crate) fn with_fault(fault: Fault) -> Self {
        Self {
            fault,
            ..Self::new()
        }
    }

    pub(crate) async fn run(self, mut socket: WebSocketStream<TcpStream>, argv: Vec<String>) {
        assert_eq!(argv[0], "sh", "the container has nothing but a shell");
        let (mut child, exec) = self.node.start(&self, &argv[1..]);
        let mut stdin = child.stdin.take();
        let (sender, mut output) = mpsc::channel(4);
        tokio::spawn(pump(
            STDOUT,
            child.stdout.take().expect("piped"),
            sender.clone(),
            self.seed,
        ));
        tokio::spawn(pump(
            STDERR,
            child.stderr.take().expect("piped"),
            sender,
            self.seed + 1,
        ));
        let mut line = Line {
            fault: self.fault,
            sent: 0,
            stdout: 0,
            received: None,
        };
        let _ = line.send(&mut socket, STDOUT, Bytes::new()).await;
        loop {
            let sent = tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Binary(message))) => {
                        self.inputs.fetch_add(1, Ordering::SeqCst);
                        if line.received.is_some() {
                            self.arrived.fetch_add(message.len() - 1, Ordering::SeqCst);
                        }
                        let (message, after) = line.receive(message.to_vec());
                        write_stdin(&mut stdin, &message).await;
                        after
                    }
                    Some(Ok(Message::Ping(_))) => Sent::On,
                    _ => Sent::Cut,
                },
                piece = output.recv() => if let Some((channel, data)) = piece {
                    line.send(&mut socket, channel, data).await
                } else {
                    let status = status(child.wait().await.expect("a child"));
                    match line.send(&mut socket, STATUS, status.into()).await {
                        Sent::On => Sent::Last,
                        fault => fault,
                    }
                },
            };
            match sent {
                Sent::On => {}
                Sent::Cut => break,
                Sent::Frozen => {
                    // The node notices nothing; what it reads of the command waits in its buffers.
                    let _ = child.wait().await;
                    drop((socket, stdin));
                    return exec.ended();
                }
                Sent::Last => {
                    let _ = socket.send(Message::Close(None)).await;
                    drop((socket, stdin));
                    let _ = child.wait().await;
                    return exec.ended();
                }
            }
        }
        if let Fault::Close(_) = self.fault {
            // Closing with requests unread resets the connection, which may cost the client what it has not read yet.
            while let Some(Ok(_)) = socket.next().await {}
        }
        drop(socket);
        // The command must end by itself: the end of its standard input is all that a real node gives it. Its output is
        // read no more, and not closed either.
        drop(stdin);
        let _ = child.wait().await;
        drop(output);
        exec.ended();
    }
}

async fn pump(
    channel: u8,
    mut source: impl AsyncRead + Unpin,
    sender: mpsc::Sender<(u8, Bytes)>,
    seed: u64,
) {
    let mut random = SmallRng::seed_from_u64(seed);
    loop {
        let mut data = vec![0; random.random_range(1..=8) * 4096];
        match source.read(&mut data).await {
            Ok(length @ 1..) => data.truncate(length),
            _ => return,
        }
        if sender.send((channel, data.into())).await.is_err() {
            return;
        }
    }
}

async fn write_stdin(stdin: &mut Option<ChildStdin>, message: &[u8]) {
    match message {
        [0, data @ ..] => {
            if let Some(stdin) = stdin {
                let _ = stdin.write_all(data).await;
            }
        }
        [255, 0] => *stdin = None,
        _ => panic!("the client sent {message:?}"),
    }
}

enum Sent {
    On,
    Cut,
    Frozen,
    Last,
}

/// The way from the pod to the client, with its fault.
struct Line {
    fault: Fault,
    sent: usize,
    stdout: usize,
    /// After the script.
    received: Option<usize>,
}

impl Line {
    /// What arrives of a message for the pod.
    fn receive(&mut self, mut message: Vec<u8>) -> (Vec<u8>, Sent) {
        let Some(begin) = self.received else {
            self.received = Some(0);
            return match self.fault {
                Fault::CutScript(limit) => {
                    message.truncate(1 + limit);
                    (message, Sent::Cut)
                }
                Fault::CutInput(0) => (message, Sent::Cut),
                _ => (message, Sent::On),
            };
        };
        let received = begin + message.len() - 1;
        self.received = Some(received);
        match self.fault {
            Fault::CutInput(limit) if received >= limit => {
                message.truncate(1 + limit.saturating_sub(begin));
                (message, Sent::Cut)
            }
            Fault::CorruptInput(at) if (begin..received).contains(&at) => {
                message[1 + at - begin] ^= 1;
                (message, Sent::On)
            }
            _ => (message, Sent::On),
        }
    }

    async fn send(
        &mut self,
        socket: &mut WebSocketStream<TcpStream>,
        channel: u8,
        data: Bytes,
    ) -> Sent {
        let mut data = data.to_vec();
        let rest = |limit: usize, sent: usize| limit.saturating_sub(sent);
        let after = match self.fault {
            Fault::Cut(limit) | Fault::Close(limit) | Fault::Freeze(limit)
                if self.sent + data.len() > limit =>
            {
                // A status comes whole or not at all.
                data.truncate(if channel == STATUS {
                    0
                } else {
                    rest(limit, self.sent)
                });
                match self.fault {
                    Fault::Freeze(_) => Sent::Frozen,
                    _ => Sent::Cut,
                }
            }
            Fault::StallStdout(limit) | Fault::DropTail(limit)
                if channel == STDOUT && self.stdout + data.len() > limit =>
            {
                data.truncate(rest(limit, self.stdout));
                match self.fault {
                    Fault::DropTail(_) => Sent::Last,
                    _ => Sent::On,
                }
            }
            Fault::Corrupt(at)
                if channel == STDOUT && (self.stdout..self.stdout + data.len()).contains(&at) =>
            {
                data[at - self.stdout] ^= 1;
                Sent::On
            }
            _ => Sent::On,
        };
        self.sent += data.len();
        if channel == STDOUT {
            self.stdout += data.len();
        }
        if socket.send(message(channel, &data)).await.is_err() {
            return Sent::Cut;
        }
        if let (Sent::Cut, Fault::Close(_)) = (&after, self.fault) {
            let frame = CloseFrame {
                code: 1000.into(),
                reason: "".into(),
            };
            let _ = socket.send(Message::Close(Some(frame))).await;
        }
        if let (Sent::Last, Fault::DropTail(_)) = (&after, self.fault) {
            let _ = socket
                .send(message(STATUS, br#"{"metadata":{},"status":"Success"}"#))
                .await;
        }
        after
    }
}

fn message(channel: u8, data: &[u8]) -> Message {
    let mut message = Vec::with_capacity(data.len() + 1);
    message.push(channel);
    message.extend_from_slice(data);
    Message::Binary(message.into())
}

fn status(exit: std::process::ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match exit.code().or_else(|| exit.signal().map(|signal| 128 + signal)) {
        Some(0) => r#"{"metadata":{},"status":"Success"}"#.to_owned(),
        code => serde_json::json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code.unwrap_or(255).to_string()}]},
        })
        .to_string(),
    }
}
