//! Panics, wherever they happen, as errors of the command.
//!
//! The hook shows nothing itself: it may run while the reporter is at work, and what a panic says must go the way of
//! every other error. It notes the panic, and wakes whoever looks after the command.

use std::any::Any;
use std::panic::{self, PanicHookInfo};
use std::sync::LazyLock;
use std::thread;

use thiserror::Error;
use tokio::sync::watch;

/// The panics of this process, in their order.
static PANICS: LazyLock<watch::Sender<Vec<Panicked>>> =
    LazyLock::new(|| watch::Sender::new(Vec::new()));

/// Code of this program broke down.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("internal error in {place}: {what}; this is a bug, please report it")]
pub(super) struct Panicked {
    /// Where: the thread, and the line of the source.
    place: String,
    what: String,
}

impl Panicked {
    fn from_hook_info(info: &PanicHookInfo<'_>) -> Self {
        let thread = thread::current();
        let thread = thread.name().unwrap_or("a thread without a name");
        let line = info
            .location()
            .map(|location| format!(", {}:{}", location.file(), location.line()));
        Self {
            place: format!("{thread}{}", line.unwrap_or_default()),
            what: said(info.payload()).to_owned(),
        }
    }
}

/// What a panic says, where the program's own text is all of it: what is put together at run time may quote a secret.
fn said(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("its details may quote data, and are not shown")
}

/// Has every panic from now on noted instead of printed.
pub(super) fn note_panics() {
    panic::set_hook(Box::new(|info| {
        let panicked = Panicked::from_hook_info(info);
        PANICS.send_modify(|panics| panics.push(panicked));
    }));
}

/// Every panic so far.
pub(super) fn panics() -> Vec<Panicked> {
    PANICS.borrow().clone()
}

/// Returns when there was a panic.
pub(super) async fn panicked() {
    let mut watched = PANICS.subscribe();
    // The sender lives as long as the process.
    let _ = watched.wait_for(|panics| !panics.is_empty()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_program_itself_says_is_shown() {
        assert_eq!(said(&"index of a range"), "index of a range");
        let formatted = format!("cannot read {}", "hunter2");
        assert!(!said(&formatted).contains("hunter2"));
    }
}
