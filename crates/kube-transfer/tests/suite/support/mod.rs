//! An API server that knows one request, exec: it plays a script, or really runs the command with a local shell.

mod client;
mod handles;
pub(crate) mod job;
mod node;
mod pod;
mod script;
mod tools;

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use kube::{Client, Config};
use kube_transfer::{
    PodContainer,
    file::{FileVersion, Partial, PartialError},
    stream_config,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::sleep,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::handshake::server::{ErrorResponse, Request, Response},
};

pub(crate) use client::{
    Memory, endless, eventually, fetch, impatient, is_running, quick, secret, sh, shells,
};
pub(crate) use handles::{RemoteFile, download, fetch_file, handle, remote, run, stat, upload};
pub(crate) use node::end_of_session;
pub(crate) use pod::{Fault, Pod};
pub(crate) use script::{Step, close, frame, play, recorded, refusal};
pub(crate) use tools::{Tools, Volume, names, random_bytes, tools};

/// Which subprotocol the server agrees to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subprotocol {
    V5,
    V4,
}

impl Subprotocol {
    fn name(self) -> &'static str {
        match self {
            Self::V5 => "v5.channel.k8s.io",
            Self::V4 => "v4.channel.k8s.io",
        }
    }
}

/// What the server does with each exec request.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// Answers the handshake with this status and body.
    Refuse { status: u16, body: String },
    /// Accepts the connection and never answers.
    Ignore,
    /// Plays these steps.
    Play(Subprotocol, Vec<Step>),
    /// Runs the command.
    Run(Subprotocol, Pod),
    /// Runs each command in the pod chosen by its number, from 0, and arguments.
    Choose(Subprotocol, Choice),
    /// Runs so many commands at once, and refuses the others with this status.
    Limit(usize, u16, Pod),
}

pub(crate) type Choice = Arc<dyn Fn(usize, &[String]) -> Pod + Send + Sync>;

pub(crate) struct ApiServer {
    url: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl ApiServer {
    pub(crate) async fn start(behaviour: Behaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let running = Arc::new(AtomicUsize::new(0));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (behaviour, seen) = (behaviour.clone(), Arc::clone(&seen));
                let running = Arc::clone(&running);
                tokio::spawn(async move {
                    let number = running.fetch_add(1, Ordering::SeqCst);
                    serve(socket, behaviour, number, &seen).await;
                    running.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { url, requests }
    }

    pub(crate) fn client(&self) -> Client {
        let config = Config::new(self.url.parse().expect("a URL"));
        Client::try_from(stream_config(&config)).expect("a client")
    }

    /// The path and query of every request so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("not poisoned").clone()
    }
}

/// The seed of a sweep, printed, so that a sweep that failed can be had again with `SWEEP_SEED`.
pub(crate) fn sweep_seed() -> u64 {
    let seed = match std::env::var("SWEEP_SEED") {
        Ok(seed) => seed.parse().expect("SWEEP_SEED is a number"),
        // Some are counted up from.
        Err(_) => rand::random::<u64>() >> 16,
    };
    println!("SWEEP_SEED={seed}");
    seed
}

pub(crate) fn target() -> PodContainer {
    PodContainer {
        namespace: "default".to_owned(),
        pod: "t".to_owned(),
        container: "c".to_owned(),
    }
}

async fn serve(
    mut socket: TcpStream,
    behaviour: Behaviour,
    running: usize,
    seen: &Mutex<Vec<String>>,
) {
    socket.set_nodelay(true).expect("a TCP socket");
    match behaviour {
        Behaviour::Refuse { status, body } => refuse(&mut socket, status, &body).await,
        Behaviour::Ignore => std::future::pending().await,
        Behaviour::Play(subprotocol, steps) => {
            if let Some((socket, _)) = accept(socket, subprotocol, seen).await {
                play(socket, steps).await;
            }
        }
        Behaviour::Run(subprotocol, pod) => {
            let Some((socket, argv)) = accept(socket, subprotocol, seen).await else {
                return;
            };
            pod.run(socket, argv).await;
        }
        Behaviour::Choose(subprotocol, choice) => {
            let Some((socket, argv)) = accept(socket, subprotocol, seen).await else {
                return;
            };
            let number = seen.lock().expect("not poisoned").len() - 1;
            choice(number, &argv).run(socket, argv).await;
        }
        Behaviour::Limit(most, status, _) if running >= most => {
            let body = serde_json::json!({"kind": "Status", "status": "Failure", "code": status});
            refuse(&mut socket, status, &body.to_string()).await;
        }
        Behaviour::Limit(_, _, pod) => {
            let Some((socket, argv)) = accept(socket, Subprotocol::V5, seen).await else {
                return;
            };
            pod.run(socket, argv).await;
        }
    }
}

async fn refuse(socket: &mut TcpStream, status: u16, body: &str) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(socket.read_u8().await.expect("a whole request"));
    }
    let answer = format!(
        "HTTP/1.1 {status} Refused\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket
        .write_all(answer.as_bytes())
        .await
        .expect("a client that listens");
}

/// The handshake; returns the command of the request too. `None` when the client went away.
async fn accept(
    socket: TcpStream,
    subprotocol: Subprotocol,
    seen: &Mutex<Vec<String>>,
) -> Option<(WebSocketStream<TcpStream>, Vec<String>)> {
    let mut argv = Vec::new();
    #[expect(clippy::result_large_err, reason = "the signature is the library's")]
    let callback = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        let offered = request
            .headers()
            .get("sec-websocket-protocol")
            .and_then(|value| value.to_str().ok());
        assert_eq!(offered, Some("v5.channel.k8s.io, v4.channel.k8s.io"));
        seen.lock()
            .expect("not poisoned")
            .push(request.uri().to_string());
        let query = request.uri().query().unwrap_or_default();
        argv = form_urlencoded::parse(query.as_bytes())
            .filter(|(key, _)| key == "command")
            .map(|(_, value)| value.into_owned())
            .collect();
        let chosen = subprotocol.name().parse().expect("a header value");
        response
            .headers_mut()
            .insert("sec-websocket-protocol", chosen);
        Ok(response)
    };
    let socket = accept_hdr_async(socket, callback).await.ok()?;
    Some((socket, argv))
}

/// Continues what an earlier fetch left, once it is let go of.
pub(crate) async fn resumed(path: &Path, version: &FileVersion) -> Option<Partial> {
    once_free(|| Partial::resume(path, version)).await
}

/// Begins anew, once an earlier fetch has let go of the file.
pub(crate) async fn begun(path: &Path, version: &FileVersion) -> Partial {
    once_free(|| Partial::create(path, version)).await
}

/// A fetch that was dropped still has threads, and a process that is just being started here holds every open file, with
/// its lock, until it runs its program.
async fn once_free<T>(open: impl Fn() -> Result<T, PartialError>) -> T {
    loop {
        match open() {
            Err(PartialError::InUse { .. }) => sleep(Duration::from_millis(1)).await,
            opened => return opened.expect("no trouble"),
        }
    }
}
