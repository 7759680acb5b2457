//! The Deployments that retraining scales, and how many replicas each needs.

use serde::{Deserialize, Serialize};

/// A component whose Deployment is scaled for retraining.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Component {
    /// Trains the models: `x` replicas, of which all others follow.
    Training,
    /// `0.5 x`.
    Tfmm,
    /// `0.3 x`.
    DragonflyMm,
    /// `0.2 x`.
    Embedding,
    /// `0.2 x`.
    TritonServing,
}

/// The custom resource that a patch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patched {
    /// Its kind.
    pub kind: &'static str,
    /// The end of the patch's name, after the instance's.
    pub patch: &'static str,
}

impl Component {
    /// All of them, in the order of IBM's page.
    pub const ALL: [Self; 5] = [
        Self::Training,
        Self::Tfmm,
        Self::DragonflyMm,
        Self::Embedding,
        Self::TritonServing,
    ];

    /// The name of its Deployment after the instance's.
    pub fn name(self) -> &'static str {
        match self {
            Self::Training => "clu-training",
            Self::Tfmm => "tfmm",
            Self::DragonflyMm => "dragonfly-clu-mm",
            Self::Embedding => "clu-embedding",
            Self::TritonServing => "clu-triton-serving",
        }
    }

    /// Its Deployment.
    pub fn deployment(self, instance: &str) -> String {
        format!("{instance}-{}", self.name())
    }

    /// How many replicas it needs for so many training pods: a share in tenths, rounded up.
    pub fn replicas(self, training_pods: u32) -> u32 {
        let tenths = match self {
            Self::Training => 10,
            Self::Tfmm => 5,
            Self::DragonflyMm => 3,
            Self::Embedding | Self::TritonServing => 2,
        };
        let replicas = (u64::from(training_pods) * tenths).div_ceil(10);
        u32::try_from(replicas).unwrap_or(u32::MAX)
    }

    /// The custom resource whose patch scales it.
    pub fn patched(self) -> Patched {
        let (kind, patch) = match self {
            Self::Training => ("WatsonAssistantCluTraining", "clu-training-replicas"),
            Self::Tfmm | Self::DragonflyMm => ("WatsonAssistantCluRuntime", "clu-runtime-replicas"),
            Self::Embedding | Self::TritonServing => ("WatsonAssistantClu", "clu-replicas"),
        };
        Patched { kind, patch }
    }

    /// Where its replicas stand below `spec.patch`.
    pub fn path(self) -> &'static [&'static str] {
        match self {
            Self::Training => &["clu-training", "deployment", "training", "spec", "replicas"],
            Self::Tfmm => &["tfmm", "deployment", "spec", "replicas"],
            Self::DragonflyMm => &["dragonfly-clu-mm", "deployment", "spec", "replicas"],
            Self::Embedding => &["clu-embedding", "deployment", "spec", "replicas"],
            Self::TritonServing => &["clu-triton-serving", "deployment", "spec", "replicas"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `rounded` is the smallest whole number that is not below `x * numerator / denominator`.
    fn is_ceiling(rounded: u32, x: u32, numerator: u32, denominator: u32) -> bool {
        let exact = x * numerator;
        rounded * denominator >= exact && (rounded - 1) * denominator < exact
    }

    #[test]
    fn replicas_are_the_exact_fractions_rounded_up() {
        for x in 1..=60 {
            let replicas = Component::ALL.map(|component| component.replicas(x));
            let fractions = [(1, 1), (1, 2), (3, 10), (1, 5), (1, 5)];
            for (rounded, (numerator, denominator)) in replicas.into_iter().zip(fractions) {
                assert!(
                    is_ceiling(rounded, x, numerator, denominator),
                    "{rounded} for {numerator}/{denominator} of {x}"
                );
            }
        }
    }

    #[test]
    fn three_tenths_of_ten_are_three() {
        assert_eq!(Component::ALL.map(|one| one.replicas(10)), [10, 5, 3, 2, 2]);
        assert_eq!(Component::ALL.map(|one| one.replicas(1)), [1, 1, 1, 1, 1]);
        assert_eq!(Component::ALL.map(|one| one.replicas(0)), [0; 5]);
    }
}
