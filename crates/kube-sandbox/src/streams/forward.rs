//! `pods/portforward` over WebSocket: connects a client with ports of a pod.
//!
//! Each port has two channels, one for bytes and one for what went wrong; both begin with the number of the port. No side
//! can be closed alone. Pods have no network of their own here: what listens in one does so on the pod's address, or on
//! that of a Service in front of it.
//!
//! Left out: SPDY, which kubectl speaks.

use std::io;
use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Extension, Path, Request, State},
    response::Response,
};
use bytes::{Buf, Bytes, BytesMut};
use futures::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use http::header;
use hyper::upgrade::Upgraded;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Mutex, mpsc},
    task::JoinSet,
};
use tokio_tungstenite::tungstenite::{
    Message,
    handshake::derive_accept_key,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::{
    faults::{Plan, Step, Trigger},
    offered,
    options::Query,
    wants_upgrade, websocket,
};
use crate::api::respond;
use crate::faults::{Effect, RequestFaults};
use crate::meta::{Object, Status, resources};
use crate::node::Node;

/// The most that is read from a pod at once.
const READ_BYTES: usize = 32 * 1024;
/// Messages of a client waiting for the pod to read them.
const INPUTS_AHEAD: usize = 8;

/// Shared by the ports of one connection.
type Sink = Arc<Mutex<SplitSink<websocket::Socket, Message>>>;

pub(super) async fn answer(
    State(node): State<Node>,
    Path((namespace, pod)): Path<(String, String)>,
    Extension(RequestFaults(effects)): Extension<RequestFaults>,
    request: Request,
) -> Response {
    open(&node, &namespace, &pod, effects, request).unwrap_or_else(|status| respond::error(&status))
}

fn open(
    node: &Node,
    namespace: &str,
    name: &str,
    effects: Vec<Effect>,
    mut request: Request,
) -> Result<Response<Body>, Status> {
    let pod = node.store().get(&resources::PODS, namespace, name)?;
    if !pod["spec"]["nodeName"].is_string() {
        return Err(Status::bad_request(format!(
            "pod {name} does not have a host assigned"
        )));
    }
    let ports = Query::parse(request.uri().query().unwrap_or_default()).ports()?;
    let headers = request.headers();
    if !wants_upgrade(headers, "websocket") {
        return Err(Status::bad_request("Upgrade request required"));
    }
    let key = headers.get(header::SEC_WEBSOCKET_KEY);
    let accept = key.map(|key| derive_accept_key(key.as_bytes()));
    let is_offered = offered(headers, websocket::SUBPROTOCOL).any(|offer| offer == websocket::V4);
    let Some(accept) = accept.filter(|_| is_offered) else {
        return Ok(websocket::refusal());
    };
    let forward = Arc::new(Forward {
        node: node.clone(),
        pod,
        effects,
    });
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(connection) => forward.serve(&ports, connection).await,
            Err(error) => tracing::debug!(%error, "a forwarded port was not upgraded"),
        }
    });
    Ok(websocket::switching(websocket::V4, &accept))
}

/// The connection of one client.
struct Forward {
    node: Node,
    pod: Object,
    effects: Vec<Effect>,
}

/// Why a port goes no further.
enum Stop {
    /// The client has gone, or a fault has done away with the connection.
    Gone,
    /// A fault: stay connected and say nothing.
    Stall,
}

impl Forward {
    async fn serve(self: Arc<Self>, ports: &[u16], connection: Upgraded) {
        let (sink, stream) = websocket::socket(connection).await.split();
        let sink = Arc::new(Mutex::new(sink));
        let mut carried = JoinSet::new();
        let mut inputs = Vec::new();
        for (channel, port) in (0..).step_by(2).zip(ports) {
            let (sender, input) = mpsc::channel(INPUTS_AHEAD);
            inputs.push(sender);
            let (forward, sink, port) = (Arc::clone(&self), Arc::clone(&sink), *port);
            carried.spawn(async move {
                forward
                    .carry(
                        port,
                        Channel {
                            number: channel,
                            sink,
                        },
                        input,
                    )
                    .await
            });
        }
        let ended = async {
            while let Some(stop) = carried.join_next().await {
                if let Ok(Err(stop)) = stop {
                    return Err(stop);
                }
            }
            Ok(())
        };
        let ended = tokio::select! {
            ended = ended => ended,
            () = read(stream, inputs) => Err(Stop::Gone),
        };
        match ended {
            Ok(()) => {
                let normal = CloseFrame {
                    code: CloseCode::Normal,
                    reason: "".into(),
                };
                let mut sink = sink.lock().await;
                // The client may be gone already.
                let _ = sink.send(Message::Close(Some(normal))).await;
            }
            Err(Stop::Gone) => {}
            Err(Stop::Stall) => std::future::pending().await,
        }
    }

    /// Carries bytes both ways until either side has ended.
    async fn carry(
        &self,
        port: u16,
        channel: Channel,
        mut input: mpsc::Receiver<Bytes>,
    ) -> Result<(), Stop> {
        channel.send(0, &port.to_le_bytes()).await?;
        channel.send(1, &port.to_le_bytes()).await?;
        let stream = match self.dial(port).await {
            Ok(stream) => stream,
            Err(error) => {
                let (uid, message) = (&self.pod["metadata"]["uid"], words(port, &error));
                let uid = uid.as_str().unwrap_or_default();
                let message = format!("error forwarding port {port} to pod {uid}, uid : {message}");
                return channel.send(1, message.as_bytes()).await;
            }
        };
        let (mut from_pod, mut to_pod) = stream.into_split();
        let up = async {
            while let Some(bytes) = input.recv().await {
                if to_pod.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        };
        let down = async {
            let mut plan = Plan::new(&self.effects);
            perform(&channel, &mut plan, Bytes::new()).await?;
            let mut bytes = BytesMut::new();
            loop {
                bytes.reserve(READ_BYTES);
                match from_pod.read_buf(&mut bytes).await {
                    Ok(0) | Err(_) => return Ok(()),
                    Ok(_) => perform(&channel, &mut plan, bytes.split().freeze()).await?,
                }
            }
        };
        tokio::select! {
            () = up => Ok(()),
            ended = down => ended,
        }
    }

    async fn dial(&self, port: u16) -> io::Result<TcpStream> {
        let mut last = io::ErrorKind::ConnectionRefused.into();
        for address in self.addresses(port) {
            match TcpStream::connect((address, port)).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The pod's own, and those of the Services that lead to this port of it.
    fn addresses(&self, port: u16) -> Vec<String> {
        let own = self.pod["status"]["podIP"].as_str().map(str::to_owned);
        let namespace = self.pod["metadata"]["namespace"].as_str();
        let services = self.node.store().list(&resources::SERVICES, namespace);
        let leading = services.items.into_iter().filter(|service| {
            let ports = service["spec"]["ports"].as_array();
            let mut ports = ports.into_iter().flatten();
            let selector = service["spec"]["selector"].as_object();
            let labels = &self.pod["metadata"]["labels"];
            let selects = selector.is_some_and(|selector| {
                selector
                    .iter()
                    .all(|(label, value)| labels[label] == *value)
            });
            selects && ports.any(|one| one["targetPort"] == port)
        });
        let address = |service: Object| Some(service["spec"]["clusterIP"].as_str()?.to_owned());
        own.into_iter().chain(leading.filter_map(address)).collect()
    }
}

/// What a container runtime says of a port that nothing listens at.
fn words(port: u16, error: &io::Error) -> String {
    let error = if error.kind() == io::ErrorKind::ConnectionRefused {
        "connect: connection refused".to_owned()
    } else {
        error.to_string()
    };
    format!(
        "failed to execute portforward in network namespace \"/var/run/netns/cni\": failed to connect to localhost:{port} inside namespace, IPv4: dial tcp4 127.0.0.1:{port}: {error}"
    )
}

/// The two channels of a port.
struct Channel {
    number: u8,
    sink: Sink,
}

impl Channel {
    /// Sends bytes on the channel for them, or with `which` 1 on that for errors.
    async fn send(&self, which: u8, bytes: &[u8]) -> Result<(), Stop> {
        let mut message = BytesMut::with_capacity(1 + bytes.len());
        message.extend_from_slice(&[self.number + which]);
        message.extend_from_slice(bytes);
        let message = Message::Binary(message.freeze());
        let sent = self.sink.lock().await.send(message).await;
        sent.map_err(|_| Stop::Gone)
    }
}

/// Sends what a pod has sent, as far as faults let it.
async fn perform(channel: &Channel, plan: &mut Plan, bytes: Bytes) -> Result<(), Stop> {
    let steps = if bytes.is_empty() {
        plan.begin()
    } else if plan.is_active() {
        plan.steps(bytes)
    } else {
        vec![Step::Send(bytes)]
    };
    for step in steps {
        match step {
            Step::Send(bytes) => {
                if let Some(delay) = plan.delay(bytes.len()) {
                    tokio::time::sleep(delay).await;
                }
                channel.send(0, &bytes).await?;
            }
            Step::Fire(Trigger::Stall) => return Err(Stop::Stall),
            Step::Fire(_) => return Err(Stop::Gone),
        }
    }
    Ok(())
}

/// Passes on what the client sends until it goes away. Pings are answered on the way.
async fn read(mut stream: SplitStream<websocket::Socket>, inputs: Vec<mpsc::Sender<Bytes>>) {
    while let Some(message) = stream.next().await {
        let mut payload = match message {
            Ok(Message::Binary(payload)) => payload,
            Ok(Message::Close(_)) | Err(_) => return,
            Ok(_) => continue,
        };
        let Ok(channel) = payload.try_get_u8() else {
            continue;
        };
        // Nobody takes what is sent on the channel for errors.
        let input = inputs.get(usize::from(channel / 2));
        if let Some(input) = input.filter(|_| channel % 2 == 0) {
            let _ = input.send(payload).await;
        }
    }
}
