//! Why a way cannot be gone.

use std::fmt;

use super::AccessMethod;
use crate::remedy::Obstacle;

/// Why a way cannot be gone: every reason found.
#[derive(Debug)]
pub struct Obstacles(Vec<Obstacle>);

impl Obstacles {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Obstacle> {
        self.0.iter()
    }

    /// All of them in one line, each as `text` tells it.
    pub fn in_words(&self, text: impl Fn(&Obstacle) -> String) -> String {
        self.iter().map(text).collect::<Vec<_>>().join("; ")
    }
}

impl From<String> for Obstacles {
    fn from(reason: String) -> Self {
        Self(vec![reason.into()])
    }
}

impl From<Obstacle> for Obstacles {
    fn from(obstacle: Obstacle) -> Self {
        Self(vec![obstacle])
    }
}

impl From<Vec<Obstacle>> for Obstacles {
    fn from(obstacles: Vec<Obstacle>) -> Self {
        Self(obstacles)
    }
}

impl From<Obstacles> for Vec<Obstacle> {
    fn from(obstacles: Obstacles) -> Self {
        obstacles.0
    }
}

/// None of the ways that may be gone can be gone. Nothing was changed.
#[derive(Debug)]
pub struct NoWay(pub(super) Vec<(AccessMethod, Obstacles)>);

impl NoWay {
    /// A line for each way, whose obstacles are told by `text`.
    pub fn in_words(&self, text: impl Fn(&Obstacle) -> String) -> String {
        let ways = self.0.iter().map(|(method, obstacles)| {
            format!("\n  {:<10} {}", method.name(), obstacles.in_words(&text))
        });
        format!(
            "there is no way to the volume's files; nothing was changed:{}",
            ways.collect::<String>()
        )
    }
}

impl fmt::Display for NoWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.in_words(|obstacle| obstacle.reason.clone()))
    }
}

impl std::error::Error for NoWay {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remedy::Remedy;

    #[test]
    fn what_helps_is_for_the_caller_to_say() {
        let window = Obstacle::new("a backup starts soon", Remedy::ShorterWindow);
        let used = Obstacle::from("pod a has it".to_owned());
        let no_way = NoWay(vec![
            (
                AccessMethod::Pod,
                Obstacles::from("no pod has it".to_owned()),
            ),
            (AccessMethod::Portworx, Obstacles::from(vec![used, window])),
        ]);
        let said = no_way.to_string();
        assert!(
            said.ends_with("\n  portworx   pod a has it; a backup starts soon"),
            "{said}"
        );
        let advised = no_way.in_words(|obstacle| match obstacle.remedy {
            Some(remedy) => format!("{} ({remedy:?})", obstacle.reason),
            None => obstacle.reason.clone(),
        });
        assert!(
            advised.ends_with("pod a has it; a backup starts soon (ShorterWindow)"),
            "{advised}"
        );
    }
}
