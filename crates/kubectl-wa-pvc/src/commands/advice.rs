//! What to do about errors, in terms of this plugin's options.

use backup_volume::{NoWay, Obstacle, Remediable, Remedy};
use wa_common::assistant::AssistantError;
use wa_common::cli::advice_on_sets;
use wa_common::cluster::helper_pod::NotReady;

/// What a user can do about `error`.
pub(super) fn advice(error: &anyhow::Error) -> Option<String> {
    if let Some(error) = error.downcast_ref::<Remediable>() {
        return Some(words(error.remedy).to_owned());
    }
    let own = error
        .chain()
        .find_map(|cause| match (cause.downcast_ref(), cause.downcast_ref()) {
            (Some(NotReady::TimedOut { .. }), _) => Some(words(Remedy::LongerWait)),
            (_, Some(AssistantError::NoBackupClaim { .. })) => Some("name another with --pvc"),
            _ => None,
        });
    own.map(str::to_owned).or_else(|| advice_on_sets(error))
}

/// Why a way cannot be gone, and what helps.
pub(super) fn advised(obstacle: &Obstacle) -> String {
    match obstacle.remedy {
        Some(remedy) => format!("{}; {}", obstacle.reason, words(remedy)),
        None => obstacle.reason.clone(),
    }
}

/// The same error, with what helps where it is that no way can be gone.
pub(super) fn with_remedies(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<NoWay>() {
        Ok(no_way) => anyhow::anyhow!(no_way.in_words(advised)),
        Err(error) => error,
    }
}

fn words(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::OtherDirectory => "choose another directory with --to",
        Remedy::Resume => "go on with --resume",
        Remedy::WithoutKey => "--without-key fetches the dump alone",
        Remedy::WithoutVerification => "--no-verify makes one all the same",
        Remedy::OtherWay => "choose another way with --via",
        Remedy::HelperPod => "let Kubernetes attach it: --via debug",
        Remedy::Image => "name one with --image",
        Remedy::SnapshotClass => "name one with --snapshot-class",
        Remedy::StorageClass => "name one with --storage-class",
        Remedy::ShorterWindow => "or allow it with a smaller --window",
        Remedy::NoWindow => "and allow it with --window 0",
        Remedy::LongerWait => "allow more with --timeout",
        _ => "see --help",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_a_library_says_gets_the_option_that_helps() {
        let late = NotReady::TimedOut {
            pod: "helper".to_owned(),
            after: Duration::from_mins(1),
            on: "an image".to_owned(),
        };
        let none = AssistantError::NoBackupClaim {
            instance: "wa".to_owned(),
            namespace: "cpd".to_owned(),
            tried: Vec::new(),
        };
        for (error, option) in [(late.into(), "--timeout"), (none.into(), "--pvc")] {
            let error: anyhow::Error = error;
            assert!(!error.to_string().contains("--"), "{error}");
            let advice = advice(&error.context("cannot list")).unwrap();
            assert!(advice.contains(option), "{advice}");
        }
        assert_eq!(advice(&anyhow::anyhow!("no")), None);
    }
}
