//! What the journal of a retraining says: the steps, with everything that was before them.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::EnvVar;
use serde::{Deserialize, Serialize};
use wa_common::assistant::Instance;

use crate::component::{Component, Patched};
use crate::patch::{STORE, STORE_ADMIN};
use crate::settings::VARIABLES;
use crate::workload::Workload;

/// More replicas than anybody has: a journal that says so is not this program's.
const MOST_REPLICAS: u32 = 10_000;

/// What holds for all steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// The instance.
    pub instance: String,
    /// Where its operator is.
    pub operators_namespace: String,
    /// How many training pods were asked for when it began.
    pub training_pods: Option<u32>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Step {
    /// Scales the Deployments of one custom resource.
    Scale(ScaleStep),
    /// Has store-admin start the job.
    Start(StartStep),
}

/// Scales the Deployments of one custom resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaleStep {
    /// The patch that asks for it.
    pub patch: String,
    /// The kind of the custom resource.
    pub custom_resource: String,
    /// Its Deployments, as they were.
    pub deployments: Vec<OriginalReplicas>,
}

/// How many replicas a Deployment had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OriginalReplicas {
    /// What the Deployment is.
    pub component: Component,
    /// The Deployment.
    pub deployment: String,
    /// How many.
    pub replicas: u32,
}

/// Has store-admin start the job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartStep {
    /// The patch that asks for it.
    pub patch: String,
    /// store-admin's Deployment.
    pub deployment: String,
    /// The variables that the patch sets, as they were.
    pub variables: Vec<OriginalVariable>,
}

/// What a variable was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OriginalVariable {
    /// Its name.
    pub name: String,
    /// What stood in the Deployment; absent where nothing did.
    pub entry: Option<EnvVar>,
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Outcome {
    /// It was not asked for.
    Kept,
    /// The Deployments have their replicas.
    #[serde(rename_all = "camelCase")]
    Scaled {
        /// For so many training pods.
        training_pods: u32,
        /// How many each has now.
        replicas: Vec<NewReplicas>,
        /// The patch, where it was not made by this run.
        adopted: Option<Adopted>,
    },
    /// store-admin runs with the variables.
    #[serde(rename_all = "camelCase")]
    Started {
        /// When the job begins; absent where the schedule of an adopted patch is not one time.
        time: Option<Timestamp>,
        /// The patch, where it was not made by this run.
        adopted: Option<Adopted>,
    },
}

/// How many replicas a Deployment has got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewReplicas {
    /// The Deployment.
    pub deployment: String,
    /// How many.
    pub replicas: u32,
}

/// A patch of somebody else that the user has taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adopted {
    /// Its name.
    pub patch: String,
    /// Which object.
    pub uid: String,
}

impl Step {
    /// All steps, with what is there now.
    pub fn all(
        instance: &Instance,
        workloads: &[(Component, Workload)],
        store_admin: &Workload,
    ) -> Vec<Self> {
        let mut steps: Vec<ScaleStep> = Vec::new();
        for (component, workload) in workloads {
            let patched = component.patched();
            let original = OriginalReplicas {
                component: *component,
                deployment: workload.name.clone(),
                replicas: workload.replicas,
            };
            let patch = format!("{}-{}", instance.name, patched.patch);
            match steps.iter_mut().find(|step| step.patch == patch) {
                Some(step) => step.deployments.push(original),
                None => steps.push(ScaleStep {
                    patch,
                    custom_resource: patched.kind.to_owned(),
                    deployments: vec![original],
                }),
            }
        }
        let mut steps: Vec<Self> = steps.into_iter().map(Self::Scale).collect();
        steps.push(Self::Start(StartStep {
            patch: format!("{}-{}", instance.name, STORE.patch),
            deployment: store_admin.name.clone(),
            variables: VARIABLES
                .iter()
                .map(|name| OriginalVariable {
                    name: (*name).to_owned(),
                    entry: store_admin.entry(name).cloned(),
                })
                .collect(),
        }));
        steps
    }

    /// The patch that it makes.
    pub fn patch(&self) -> &str {
        match self {
            Self::Scale(step) => &step.patch,
            Self::Start(step) => &step.patch,
        }
    }

    /// The custom resource that is patched.
    pub fn patched(&self) -> Option<Patched> {
        match self {
            Self::Scale(step) => step.patched(),
            Self::Start(_) => Some(STORE),
        }
    }

    /// Why a journal that says so cannot be this program's; every name in it is used.
    pub(super) fn validate(&self, instance: &str) -> Result<(), String> {
        let is = |found: &str, expected: String| {
            if found == expected {
                return Ok(());
            }
            Err(format!("{found:?} stands where {expected:?} should"))
        };
        match self {
            Self::Scale(step) => {
                let patched = step.patched();
                let patched = patched
                    .ok_or_else(|| format!("nothing of {:?} is scaled", step.custom_resource))?;
                is(&step.patch, format!("{instance}-{}", patched.patch))?;
                for one in &step.deployments {
                    is(&one.deployment, one.component.deployment(instance))?;
                    if one.component.patched() != patched || one.replicas > MOST_REPLICAS {
                        return Err(format!("{} cannot have been so", one.deployment));
                    }
                }
                Ok(())
            }
            Self::Start(step) => {
                is(&step.patch, format!("{instance}-{}", STORE.patch))?;
                is(&step.deployment, format!("{instance}-{STORE_ADMIN}"))?;
                for one in &step.variables {
                    let entry = one.entry.as_ref();
                    let named = entry.is_none_or(|entry| entry.name == one.name);
                    if !VARIABLES.contains(&one.name.as_str()) || !named {
                        return Err(format!("{:?} is no variable of the job", one.name));
                    }
                }
                Ok(())
            }
        }
    }
}

impl ScaleStep {
    /// The custom resource that is patched.
    pub fn patched(&self) -> Option<Patched> {
        let all = Component::ALL.map(Component::patched);
        all.into_iter().find(|one| one.kind == self.custom_resource)
    }

    /// How many replicas each Deployment is to have for so many training pods: never fewer than it had.
    pub fn targets(&self, training_pods: u32) -> Vec<(Component, NewReplicas)> {
        let target = |one: &OriginalReplicas| {
            let replicas = one.component.replicas(training_pods).max(one.replicas);
            let deployment = one.deployment.clone();
            (
                one.component,
                NewReplicas {
                    deployment,
                    replicas,
                },
            )
        };
        self.deployments.iter().map(target).collect()
    }
}

impl Outcome {
    /// The patch of somebody else that was taken over.
    pub fn adopted(&self) -> Option<&Adopted> {
        match self {
            Self::Kept => None,
            Self::Scaled { adopted, .. } | Self::Started { adopted, .. } => adopted.as_ref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodSpec;
    use serde_json::json;

    use super::*;

    fn instance() -> Instance {
        Instance {
            name: "wa".to_owned(),
            namespace: "cpd".to_owned(),
            release: None,
        }
    }

    fn workload(name: &str, replicas: u32, pod: PodSpec) -> Workload {
        Workload {
            name: format!("wa-{name}"),
            replicas,
            pod,
        }
    }

    fn steps(replicas: u32) -> Vec<Step> {
        let pod = json!({ "containers": [{ "name": "store-admin", "env": [
            { "name": "AUTO_RETRAIN", "value": "true" },
            { "name": "BATCH_RETRAIN_ALL_SIZE", "valueFrom": { "configMapKeyRef": { "name": "a", "key": "b" } } },
        ] }] });
        let pod = serde_json::from_value(pod).unwrap();
        let workloads = Component::ALL.map(|component| {
            (
                component,
                workload(component.name(), replicas, PodSpec::default()),
            )
        });
        Step::all(&instance(), &workloads, &workload("store-admin", 1, pod))
    }

    #[test]
    fn everything_that_is_changed_is_recorded_before_as_it_is() {
        let steps = steps(2);
        let patches: Vec<&str> = steps.iter().map(Step::patch).collect();
        assert_eq!(
            patches,
            [
                "wa-clu-training-replicas",
                "wa-clu-runtime-replicas",
                "wa-clu-replicas",
                "wa-store-admin-env-vars"
            ]
        );
        let Step::Start(start) = &steps[3] else {
            panic!("{steps:?}");
        };
        let recorded: Vec<(&str, bool)> = start
            .variables
            .iter()
            .map(|one| (&*one.name, one.entry.is_some()))
            .collect();
        assert_eq!(recorded.len(), 6);
        assert!(recorded.contains(&("AUTO_RETRAIN", true)));
        assert!(recorded.contains(&("AUTO_RETRAIN_ALL_ENABLED", false)));
        let json = serde_json::to_string(&steps).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Step>>(&json).unwrap(), steps);
        for step in &steps {
            step.validate("wa").unwrap();
        }
    }

    #[test]
    fn nothing_is_scaled_below_what_was_recorded() {
        let Step::Scale(step) = &steps(4)[1] else {
            panic!();
        };
        let targets = |pods| -> Vec<u32> {
            step.targets(pods)
                .iter()
                .map(|(_, one)| one.replicas)
                .collect()
        };
        assert_eq!(targets(10), [5, 4]);
        assert_eq!(targets(1), [4, 4]);
    }

    #[test]
    fn a_journal_that_names_what_this_program_does_not_change_is_refused() {
        for (pointer, value) in [
            ("/0/patch", json!("wa-store-assistant-limits")),
            ("/0/customResource", json!("Secret")),
            ("/0/deployments/0/deployment", json!("wa-store")),
            ("/0/deployments/0/component", json!("tfmm")),
            ("/0/deployments/0/replicas", json!(1_000_000)),
            ("/3/deployment", json!("wa-store")),
            ("/3/variables/0/name", json!("PATH")),
            ("/3/variables/0/entry/name", json!("PATH")),
        ] {
            let mut json = serde_json::to_value(steps(1)).unwrap();
            *json.pointer_mut(pointer).unwrap() = value;
            let steps: Vec<Step> = serde_json::from_value(json).unwrap();
            assert!(
                steps.iter().any(|step| step.validate("wa").is_err()),
                "{pointer}"
            );
        }
        assert!(steps(1)[0].validate("wo-wa").is_err());
    }
}
