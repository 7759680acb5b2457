//! Several problems in one error.

use std::fmt;

use crate::report::error_text;

/// Several problems, reported together.
#[derive(Debug)]
pub struct Problems(Vec<anyhow::Error>);

impl From<Vec<anyhow::Error>> for Problems {
    fn from(problems: Vec<anyhow::Error>) -> Self {
        Self(problems)
    }
}

impl Problems {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &anyhow::Error> {
        self.0.iter()
    }

    /// All of them, each as `text` tells it.
    pub fn in_words(&self, text: impl Fn(&anyhow::Error) -> String) -> String {
        let problems = self.iter().map(|problem| format!("\n  {}", text(problem)));
        format!(
            "{} problems stand in the way; nothing was changed:{}",
            self.0.len(),
            problems.collect::<String>()
        )
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.in_words(error_text))
    }
}

impl std::error::Error for Problems {}
