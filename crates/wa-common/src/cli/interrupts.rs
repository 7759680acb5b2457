//! Ctrl-C that a command hears itself, because it wants to ask what is to be done.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Who hears the next Ctrl-C; a clone is the same.
#[derive(Clone, Default)]
pub struct Interrupts(Arc<Mutex<Option<oneshot::Sender<()>>>>);

impl Interrupts {
    /// Ends when the user presses Ctrl-C, once, which then does not end the command. It is listened to from this call until
    /// the future is dropped; otherwise Ctrl-C ends the command, so also one that comes while the user is being asked.
    pub fn next(&self) -> impl Future<Output = ()> + use<> {
        let (tell, told) = oneshot::channel();
        *self.lock() = Some(tell);
        async {
            // It is dropped unsent only where somebody else listens instead.
            if told.await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Tells the command of a Ctrl-C; `false` where it does not listen.
    pub(super) fn tell(&self) -> bool {
        self.lock().take().is_some_and(|tell| tell.send(()).is_ok())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<oneshot::Sender<()>>> {
        // Whole whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_is_heard_once_and_only_by_a_command_that_listens() {
        let interrupts = Interrupts::default();
        assert!(!interrupts.tell(), "nobody listens");
        let next = interrupts.next();
        assert!(interrupts.tell(), "it listens before it is awaited");
        next.await;
        assert!(!interrupts.tell(), "nobody listens any more");
        drop(interrupts.next());
        assert!(!interrupts.tell(), "whoever listened is gone");
    }
}
