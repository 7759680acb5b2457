//! The signals that end a command in good order.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a user calls SIGINT.
pub(super) const CTRL_C: &str = "Ctrl-C";

/// Ctrl-C, SIGTERM and SIGHUP. Those that it was started to ignore it goes on to ignore: SIGHUP under
/// `nohup`, SIGINT after `&` in a script.
pub(super) struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hang_up: Option<Signal>,
}

impl Signals {
    pub(super) fn listen() -> io::Result<Self> {
        let ignored = ignored_signals();
        let listen = |kind: SignalKind| {
            let is_ignored = ignored & (1 << (kind.as_raw_value() - 1)) != 0;
            (!is_ignored).then(|| signal(kind)).transpose()
        };
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// The name of the next one that comes.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            () = received(&mut self.interrupt) => CTRL_C,
            () = received(&mut self.terminate) => "SIGTERM",
            () = received(&mut self.hang_up) => "SIGHUP",
        }
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// A bit for each signal that is ignored, the lowest for signal 1; none where there is no /proc to tell.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}
