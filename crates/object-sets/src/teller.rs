//! Who is told of what a user should know, and what is no error.

use std::fmt;
use std::sync::Arc;

/// Who is told: that the store is away, and what could not be tidied up.
#[derive(Clone)]
pub struct Teller(Arc<dyn Fn(String) + Send + Sync>);

impl Teller {
    /// Tells it to `tell`.
    pub fn new(tell: impl Fn(String) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    pub(crate) fn tell(&self, message: String) {
        (self.0)(message);
    }
}

impl Default for Teller {
    fn default() -> Self {
        Self::new(|message| tracing::warn!("{message}"))
    }
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Teller")
    }
}
