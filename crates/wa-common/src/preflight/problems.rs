//! Several problems in one error.

use std::fmt;

use crate::report::error_text;

/// Several problems, told together.
#[derive(Debug)]
pub struct Problems(Vec<anyhow::Error>);

impl From<Vec<anyhow::Error>> for Problems {
    fn from(problems: Vec<anyhow::Error>) -> Self {
        Self(problems)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} problems stand in the way; nothing was changed:",
            self.0.len()
        )?;
        self.0
            .iter()
            .try_for_each(|problem| write!(f, "\n  {}", error_text(problem)))
    }
}

impl std::error::Error for Problems {}
