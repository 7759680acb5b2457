//! Ctrl-C that a command hears itself, because it wants to ask what is to be done.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

/// Who hears the next Ctrl-C; a clone is the same.
#[derive(Clone, Default)]
pub struct Interrupts(Arc<Mutex<Option<oneshot::Sender<()>>>>);

impl Interrupts {
    /// Returns when the user presses Ctrl-C, once, which then does not end the command. As long as nobody awaits this,
    /// Ctrl-C ends the command; so does the next one, which comes while the user is being asked.
    pub async fn next(&self) {
        let (tell, told) = oneshot::channel();
        *self.lock() = Some(tell);
        // It is dropped unsent only where somebody else listens instead.
        if told.await.is_err() {
            std::future::pending::<()>().await;
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
    use std::future::poll_fn;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn a_signal_is_heard_once_and_only_by_a_command_that_listens() {
        let interrupts = Interrupts::default();
        assert!(!interrupts.tell(), "nobody listens");
        {
            let mut next = pin!(interrupts.next());
            poll_fn(|context| {
                assert!(next.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
            assert!(interrupts.tell());
            next.await;
        }
        assert!(!interrupts.tell(), "nobody listens any more");
        let mut dropped = Box::pin(interrupts.next());
        poll_fn(|context| {
            assert!(dropped.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        drop(dropped);
        assert!(!interrupts.tell(), "whoever listened is gone");
    }
}
