//! Signals as the programs get them that a user starts.

use std::fs;
use std::sync::Once;

use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

/// Has programs that are started from now on hear Ctrl-C, SIGTERM and SIGHUP, also where this process was started to ignore
/// them, as under `nohup` or after `&` in a script. What a process ignores its children ignore; what it handles, they do
/// not, so each that is ignored gets a handler that does nothing.
pub(crate) fn let_children_hear() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        let ignored = ignored();
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let _in_it = runtime.enter();
        for kind in [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ] {
            if ignored & (1 << (kind.as_raw_value() - 1)) != 0 {
                // The handler stays when what listens is gone.
                drop(signal(kind).unwrap());
            }
        }
    });
}

/// A bit for each signal that is ignored, the lowest for signal 1.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    u64::from_str_radix(mask.unwrap().trim(), 16).unwrap()
}
