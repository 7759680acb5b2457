//! What belongs to others and must be the same after everything was undone: every other patch, and every other key.

use std::collections::BTreeMap;

use super::error::ProcedureError;
use super::objects::Objects;
use crate::component::Patched;
use crate::patch::TemporaryPatch;
use crate::plan::patched;

/// What belongs to others.
#[derive(Debug, Clone, PartialEq)]
pub struct Others {
    patches: BTreeMap<String, TemporaryPatch>,
    /// Custom resource and key.
    keys: Vec<(&'static str, String)>,
}

impl Others {
    /// Looks at everything that is not of these patches.
    pub(super) async fn read(objects: &Objects, ours: &[String]) -> Result<Self, ProcedureError> {
        let is_ours = |name: &str| ours.iter().any(|one| one == name);
        let patches = objects.all_patches().await?.into_iter();
        let patches = patches.filter(|patch| !is_ours(&patch.name));
        let mut keys = Vec::new();
        for Patched { kind, patch } in patched() {
            let active = objects.active(Patched { kind, patch }).await?;
            let others = active.keys().into_iter().filter(|key| !is_ours(key));
            keys.extend(others.map(|key| (kind, key.to_owned())));
        }
        Ok(Self {
            patches: patches.map(|patch| (patch.name.clone(), patch)).collect(),
            keys,
        })
    }

    /// What is otherwise in `after`, a line each. What came on top is nobody's loss.
    pub fn missing_in(&self, after: &Self) -> Vec<String> {
        let patches =
            self.patches
                .iter()
                .filter_map(|(name, patch)| match after.patches.get(name) {
                    None => Some(format!("TemporaryPatch {name} is gone")),
                    Some(now) if now != patch => {
                        Some(format!("TemporaryPatch {name} is another one now"))
                    }
                    Some(_) => None,
                });
        let keys = self.keys.iter().filter(|key| !after.keys.contains(key));
        let keys = keys.map(|(kind, key)| {
            format!("{kind} does not list TemporaryPatch {key} as active any more")
        });
        patches.chain(keys).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::Component;

    #[test]
    fn what_others_had_and_is_missing_or_another_one_is_reported_and_what_came_on_top_is_not() {
        let patch = |name: &str, replicas| TemporaryPatch {
            name: name.to_owned(),
            ..TemporaryPatch::replicas("wa", &[(Component::Tfmm, replicas)]).remove(0)
        };
        let others = |patches: Vec<TemporaryPatch>, keys: &[&str]| Others {
            patches: patches
                .into_iter()
                .map(|one| (one.name.clone(), one))
                .collect(),
            keys: keys
                .iter()
                .map(|key| ("WatsonAssistantStore", (*key).to_owned()))
                .collect(),
        };
        let before = others(vec![patch("a", 1), patch("b", 1)], &["a", "b"]);
        assert!(before.missing_in(&before).is_empty());
        let more = others(
            vec![patch("a", 1), patch("b", 1), patch("c", 1)],
            &["a", "b", "c"],
        );
        assert!(before.missing_in(&more).is_empty());
        let after = others(vec![patch("b", 2)], &["b"]);
        assert_eq!(
            before.missing_in(&after),
            [
                "TemporaryPatch a is gone",
                "TemporaryPatch b is another one now",
                "WatsonAssistantStore does not list TemporaryPatch a as active any more",
            ]
        );
    }
}
