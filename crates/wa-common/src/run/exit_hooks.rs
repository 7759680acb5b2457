//! What must be done however a command ends: the undoing of what it changed.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::LeftBehind;

/// What [`ExitHook::end`] returns.
pub type ExitHookEnd<'a> = BoxFuture<'a, Result<(), LeftBehind>>;

/// Something that must be done when the command has ended, well or badly or by a signal.
pub trait ExitHook: Send + Sync {
    /// Does it. May be dropped in the middle when the user gives up waiting.
    fn end(&self) -> ExitHookEnd<'_>;

    /// What would stay behind if nothing more was done.
    fn left(&self) -> Option<LeftBehind>;
}

/// Everything that is to be done when the command has ended; a clone is the same list.
#[derive(Clone, Default)]
pub struct ExitHooks(Arc<Mutex<Vec<Arc<dyn ExitHook>>>>);

impl ExitHooks {
    /// Has `hook` run when the command has ended, in whatever way; the last one added first.
    pub fn add(&self, hook: Arc<dyn ExitHook>) {
        self.lock().push(hook);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Does everything, what was registered last first, and returns what could not be done.
    pub(crate) async fn run(&self) -> Vec<LeftBehind> {
        let mut left = Vec::new();
        for hook in self.last_first() {
            // One that breaks down must not keep the others from being done.
            let ended = AssertUnwindSafe(hook.end()).catch_unwind().await;
            left.extend(ended.map_or_else(|_| hook.left(), Result::err));
        }
        left
    }

    /// What would stay behind if nothing more was done.
    pub(crate) fn left(&self) -> Vec<LeftBehind> {
        let hooks = self.last_first();
        hooks.iter().filter_map(|hook| hook.left()).collect()
    }

    fn last_first(&self) -> Vec<Arc<dyn ExitHook>> {
        self.lock().iter().rev().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<dyn ExitHook>>> {
        // A list is whole whatever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
