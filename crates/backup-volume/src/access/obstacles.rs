//! Why a way cannot be gone.

use std::fmt;

/// Why a way cannot be gone: every reason found.
#[derive(Debug)]
pub struct Obstacles(Vec<String>);

impl Obstacles {
    /// Each of them.
    pub fn reasons(&self) -> &[String] {
        &self.0
    }
}

impl From<String> for Obstacles {
    fn from(reason: String) -> Self {
        Self(vec![reason])
    }
}

impl From<Vec<String>> for Obstacles {
    fn from(reasons: Vec<String>) -> Self {
        Self(reasons)
    }
}

impl fmt::Display for Obstacles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}
