//! The task that sends: standard input and pings.

use std::time::Duration;

use bytes::Bytes;
use futures::{Sink, SinkExt};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval_at},
};
use tokio_tungstenite::tungstenite::{self, Message};

/// Sends what comes from `messages`, and a ping every `ping_every`, until the sender of `messages` is gone or the
/// connection breaks. A break is not reported from here: the reader meets it too, and knows why.
pub(super) async fn write(
    mut socket: impl Sink<Message, Error = tungstenite::Error> + Unpin,
    mut messages: mpsc::Receiver<Message>,
    ping_every: Duration,
) {
    // A period of zero panics.
    let ping_every = ping_every.max(Duration::from_millis(1));
    let mut ping = interval_at(Instant::now() + ping_every, ping_every);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            message = messages.recv() => match message {
                Some(message) => message,
                None => return,
            },
            _ = ping.tick() => Message::Ping(Bytes::new()),
        };
        if let Err(error) = socket.send(message).await {
            tracing::debug!(%error, "sending to the pod failed");
            return;
        }
    }
}
