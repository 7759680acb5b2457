//! The task that sends: standard input, pings, and signs of life for the command.

use std::time::Duration;

use bytes::Bytes;
use futures::{Sink, SinkExt};
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::limit::{deadline, period};

/// The pod's scripts take a client for gone that they have not heard of for 50 s.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);
/// An empty line on standard input.
const HEARTBEAT: &[u8] = &[super::channel::STDIN, b'\n'];

/// What is sent next.
pub(super) enum Outgoing {
    Message(Message),
    /// Everything before has to be sent before the first heartbeat.
    Heartbeats,
}

/// Sends what comes from `queue`, and a ping every `ping_every`, until the sender of `queue` is gone or the connection
/// breaks. A break is not reported from here: the reader meets it too, and knows why.
pub(super) async fn write(
    mut socket: impl Sink<Message, Error = tungstenite::Error> + Unpin,
    mut queue: mpsc::Receiver<Outgoing>,
    ping_every: Duration,
) {
    let mut ping = ticks(ping_every);
    let mut heartbeat = ticks(HEARTBEAT_EVERY);
    let mut with_heartbeats = false;
    loop {
        let message = tokio::select! {
            outgoing = queue.recv() => match outgoing {
                Some(Outgoing::Message(message)) => message,
                Some(Outgoing::Heartbeats) => {
                    with_heartbeats = true;
                    continue;
                }
                None => return,
            },
            _ = ping.tick() => Message::Ping(Bytes::new()),
            _ = heartbeat.tick(), if with_heartbeats => Message::Binary(Bytes::from_static(HEARTBEAT)),
        };
        if let Err(error) = socket.send(message).await {
            tracing::debug!(%error, "sending to the pod failed");
            return;
        }
    }
}

fn ticks(every: Duration) -> Interval {
    let every = period(every);
    let mut ticks = interval_at(deadline(Instant::now(), every), every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
