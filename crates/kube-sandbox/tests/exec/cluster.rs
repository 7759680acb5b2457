//! An API server with a node behind it, one pod that runs, and a WebSocket client that shows every frame.

use std::{net::SocketAddr, path::PathBuf, pin::pin, sync::Arc, time::Duration};

use futures::{SinkExt, StreamExt};
use kube_sandbox::api::{
    Api, RequestLog, Server,
    kubeconfig::{self, Context},
    users::{User, Users},
};
use kube_sandbox::faults::{Effect, Fault, Faults, Matcher};
use kube_sandbox::meta::{object, resources};
use kube_sandbox::node::{Image, Node, NodeConfig};
use kube_sandbox::store::Store;
use kube_sandbox::streams;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use tokio::{net::TcpStream, process::Command};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        self, Message,
        client::IntoClientRequest,
        http::{HeaderValue, Response},
    },
};

/// Far more than anything here takes; a test that waits this long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

const TOKEN: &str = "admins-token";

pub(crate) struct Cluster {
    pub(crate) store: Store,
    pub(crate) faults: Faults,
    pub(crate) node: Node,
    server: Server,
    directory: tempfile::TempDir,
}

impl Cluster {
    /// Starts it with the pod `t`, whose containers `c` (a busy shell) and `d` run.
    pub(crate) async fn start() -> Self {
        let (store, faults) = (Store::new(), Faults::default());
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}});
        store.create(&resources::NAMESPACES, namespace).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let config = NodeConfig {
            directory: directory.path().join("node"),
            images: vec![Image::of_this_machine("local/host:1")],
            driver: None,
        };
        let node = Node::start(store.clone(), config).unwrap();
        let admin = User::administrator("admin", TOKEN.to_owned());
        let api = Api {
            store: store.clone(),
            faults: faults.clone(),
            users: Users::new(vec![admin.clone()], faults.clone(), store.clone()),
            requests: RequestLog::default(),
            streams: streams::routes(node.clone()),
        };
        let server = Server::start(api, None).await.unwrap();
        kubeconfig::write(
            &directory.path().join("kubeconfig"),
            &server,
            &admin,
            Context {
                name: "test",
                namespace: "default",
            },
        )
        .unwrap();
        let cluster = Self {
            store,
            faults,
            node,
            server,
            directory,
        };
        cluster.run_pod("t", "echo hi; exec sleep 100000").await;
        cluster
    }

    /// Creates a pod with one container `c` that runs a script, and waits until it runs.
    pub(crate) async fn run_pod(&self, name: &str, script: &str) {
        let container = json!({
            "name": "c", "image": "local/host:1", "command": ["/bin/sh", "-c", script],
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        });
        self.create_pod(name, &json!([container]));
        self.wait_for(name, "Running").await;
    }

    pub(crate) fn create_pod(&self, name: &str, containers: &Value) {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "containers": containers, "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
                "volumes": [{"name": "tmp", "emptyDir": {}}],
            },
        });
        self.store.create(&resources::PODS, pod).unwrap();
    }

    pub(crate) async fn wait_for(&self, name: &str, phase: &str) {
        let mut events = pin!(self.store.watch(&resources::PODS, Some("default"), None));
        let reached = async {
            while let Some(Ok(event)) = events.next().await {
                if object::name(&event.object) == name && event.object["status"]["phase"] == phase {
                    return;
                }
            }
        };
        if tokio::time::timeout(DEADLINE, reached).await.is_err() {
            let pod = self.store.get(&resources::PODS, "default", name);
            panic!("{name} never was {phase}: {pod:#?}");
        }
    }

    /// The next exec goes wrong in that way.
    pub(crate) fn break_exec(&self, effect: Effect) {
        let on = Matcher {
            subresource: Some("exec".to_owned()),
            ..Matcher::default()
        };
        self.faults.inject(Fault {
            on,
            times: Some(1),
            effect,
        });
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The kubectl on PATH. `websockets` chooses between its two protocols, where it has two.
    pub(crate) fn kubectl(&self, websockets: bool, arguments: &[&str]) -> Command {
        let mut command = self.with_kubeconfig("kubectl", websockets);
        command.args(arguments);
        command
    }

    /// A program that a kubectl below it finds the cluster from.
    pub(crate) fn with_kubeconfig(&self, program: &str, websockets: bool) -> Command {
        let mut command = Command::new(program);
        command
            .env("KUBECONFIG", self.path("kubeconfig"))
            .env("HOME", self.directory.path())
            .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets.to_string());
        command
    }

    /// Opens an exec in pod `t`; an `Err` is the refused handshake.
    pub(crate) async fn exec(
        &self,
        query: &str,
        subprotocols: &str,
    ) -> Result<Exec, Response<Option<Vec<u8>>>> {
        self.open(
            &format!("/api/v1/namespaces/default/pods/t/exec?{query}"),
            subprotocols,
        )
        .await
    }

    pub(crate) async fn open(
        &self,
        path: &str,
        subprotocols: &str,
    ) -> Result<Exec, Response<Option<Vec<u8>>>> {
        let address = self.server.address();
        let mut request = format!("wss://{address}{path}")
            .into_client_request()
            .unwrap();
        let headers = request.headers_mut();
        headers.insert(
            "sec-websocket-protocol",
            HeaderValue::from_str(subprotocols).unwrap(),
        );
        headers.insert(
            "authorization",
            HeaderValue::from_str(&format!("Bearer {TOKEN}")).unwrap(),
        );
        match client_async(request, self.connect(address).await).await {
            Ok((socket, response)) => {
                let subprotocol = response.headers()["sec-websocket-protocol"]
                    .to_str()
                    .unwrap()
                    .to_owned();
                Ok(Exec {
                    socket,
                    subprotocol,
                })
            }
            Err(tungstenite::Error::Http(response)) => Err(*response),
            Err(error) => panic!("the handshake failed: {error}"),
        }
    }

    async fn connect(&self, address: SocketAddr) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.server.ca_pem().as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::from(address.ip());
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap()
    }
}

/// The query of a command that only puts out.
pub(crate) fn command(argv: &[&str]) -> String {
    let words: Vec<_> = argv
        .iter()
        .map(|word| format!("command={}", encode(word)))
        .collect();
    let command = words.join("&");
    format!("{command}&stdout=true&stderr=true&stdin=false&tty=false")
}

pub(crate) fn shell(script: &str) -> String {
    command(&["sh", "-c", script])
}

pub(crate) fn shell_with_stdin(script: &str) -> String {
    shell(script).replace("stdin=false", "stdin=true")
}

fn encode(word: &str) -> String {
    let mut encoded = String::new();
    for byte in word.bytes() {
        encoded.push('%');
        encoded.extend(
            [byte >> 4, byte & 15].map(|digit| char::from(b"0123456789ABCDEF"[usize::from(digit)])),
        );
    }
    encoded
}

/// One open exec.
pub(crate) struct Exec {
    pub(crate) socket: WebSocketStream<TlsStream<TcpStream>>,
    pub(crate) subprotocol: String,
}

/// What came from the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Received {
    Frame(u8, Vec<u8>),
    Pong,
    Close(u16, String),
    /// The connection ended without a close frame.
    Lost,
}

impl Exec {
    pub(crate) async fn send(&mut self, channel: u8, bytes: &[u8]) {
        let mut message = vec![channel];
        message.extend_from_slice(bytes);
        self.socket
            .send(Message::Binary(message.into()))
            .await
            .unwrap();
    }

    pub(crate) async fn receive(&mut self) -> Received {
        let message = tokio::time::timeout(DEADLINE, self.socket.next())
            .await
            .expect("the server says nothing");
        match message {
            Some(Ok(Message::Binary(bytes))) => Received::Frame(bytes[0], bytes[1..].to_vec()),
            Some(Ok(Message::Pong(_))) => Received::Pong,
            Some(Ok(Message::Close(Some(frame)))) => {
                Received::Close(frame.code.into(), frame.reason.to_string())
            }
            Some(Ok(other)) => panic!("no server sends {other:?}"),
            Some(Err(_)) | None => Received::Lost,
        }
    }

    /// Everything up to the end, the end included.
    pub(crate) async fn rest(&mut self) -> Vec<Received> {
        let mut all = Vec::new();
        loop {
            let received = self.receive().await;
            let is_end = matches!(received, Received::Close(..) | Received::Lost);
            all.push(received);
            if is_end {
                return all;
            }
        }
    }
}

/// The bytes of a channel.
pub(crate) fn bytes_of(channel: u8, received: &[Received]) -> Vec<u8> {
    let frames = received.iter().filter_map(|one| match one {
        Received::Frame(on, bytes) if *on == channel => Some(bytes.as_slice()),
        _ => None,
    });
    frames.flatten().copied().collect()
}

/// The status on channel 3.
pub(crate) fn status_of(received: &[Received]) -> Option<Value> {
    serde_json::from_slice(&bytes_of(3, received)).ok()
}
