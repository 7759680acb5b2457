//! What is found.

use jiff::Timestamp;
use serde::Serialize;
use wa_common::assistant::Instance;
use wa_common::cluster::Cluster;
use wa_common::run::ServerClock;

use crate::component::Component;
use crate::error::RetrainError;
use crate::kinds::Kinds;
use crate::patch::{STORE, TemporaryPatch};
use crate::procedure::{Dangling, Found, Objects, ProcedureError, Session, is_open, time_of};
use crate::settings::{ENABLED, SCHEDULE};
use crate::workload::{Variable, Workload};

/// From so many training pods on, counts that follow IBM's shares are taken for scaled ones.
const MANY: u32 = 3;

/// Everything that was found on an instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// What was found.
    pub findings: Vec<Finding>,
    /// The open retraining to which what was found may belong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_run: Option<String>,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Finding {
    /// A patch is listed as active that does not exist.
    DanglingKey {
        /// The kind of the custom resource.
        custom_resource: String,
        /// The annotation.
        annotation: String,
        /// The key.
        key: String,
    },
    /// A patch asks for retraining.
    RetrainingPatch {
        /// The patch.
        patch: String,
        /// Which object.
        uid: String,
        /// The variables that it sets.
        variables: Vec<String>,
        /// Whether its schedule is one time that is past, so that it never starts anything.
        past: bool,
        /// Whether it starts again and again.
        recurring: bool,
        /// Whether this program made it, in a run that is over.
        ours: bool,
    },
    /// A patch sets the replicas of what is scaled for retraining.
    ReplicaPatch {
        /// The patch.
        patch: String,
        /// Which object.
        uid: String,
        /// Deployments and numbers.
        replicas: Vec<String>,
        /// Whether this program made it, in a run that is over.
        ours: bool,
    },
    /// Deployments have more replicas than before the last retraining, or numbers as IBM's page has them.
    Scaled {
        /// Deployments and numbers.
        deployments: Vec<String>,
        /// What that is compared with.
        than: String,
    },
    /// store-admin is to retrain, and no patch says so.
    Enabled {
        /// Its Deployment.
        deployment: String,
        /// Its schedule.
        schedule: Option<String>,
        /// Whether a key without a patch keeps the operator from rendering it anew.
        blocked: bool,
    },
}

impl Finding {
    /// Whether it can be proved that nobody needs it.
    pub fn can_be_removed(&self) -> bool {
        match self {
            Self::DanglingKey { .. } | Self::Enabled { .. } => true,
            Self::RetrainingPatch { past, ours, .. } => *past || *ours,
            Self::ReplicaPatch { ours, .. } => *ours,
            Self::Scaled { .. } => false,
        }
    }

    /// For a person: what it is and what it does.
    pub fn in_words(&self) -> String {
        match self {
            Self::DanglingKey {
                custom_resource,
                annotation,
                key,
            } => format!(
                "{custom_resource}: the annotation {annotation} lists TemporaryPatch {key}, which does not exist: the operator cannot reconcile (\"Patch not found\")"
            ),
            Self::RetrainingPatch {
                patch,
                variables,
                past,
                recurring,
                ..
            } => {
                let when = match (past, recurring) {
                    (true, _) => "; its time is past, so it starts nothing any more",
                    (_, true) => "; it starts again and again, and nobody ends it",
                    _ => "",
                };
                format!("TemporaryPatch {patch} sets {}{when}", variables.join(", "))
            }
            Self::ReplicaPatch {
                patch, replicas, ..
            } => {
                format!(
                    "TemporaryPatch {patch} sets the replicas of {}",
                    replicas.join(", ")
                )
            }
            Self::Scaled { deployments, than } => {
                format!(
                    "{}: {than}; nobody but you knows whether that is meant (`kubectl scale deployment NAME --replicas=N`)",
                    deployments.join(", ")
                )
            }
            Self::Enabled {
                deployment,
                schedule,
                blocked,
            } => {
                let schedule = schedule.as_deref().unwrap_or("none");
                let why = if *blocked {
                    ": a key without its patch keeps the operator from rendering it anew"
                } else {
                    ", and no patch says so"
                };
                format!("{deployment} has {ENABLED}=true, schedule `{schedule}`{why}")
            }
        }
    }
}

/// What is looked at.
struct Facts {
    instance: String,
    dangling: Vec<Dangling>,
    patches: Vec<TemporaryPatch>,
    workloads: Vec<(Component, Workload)>,
    store_admin: Workload,
    /// What the last retraining recorded, where it is over.
    recorded: Vec<(String, u32)>,
    /// The run whose patches are in use.
    open_run: Option<String>,
    now: Timestamp,
}

impl Diagnosis {
    /// Looks at everything; changes nothing.
    pub async fn read(cluster: &Cluster, instance: &Instance) -> Result<Self, ProcedureError> {
        let kinds = Kinds::discover(cluster).await?;
        let objects = Objects::new(cluster, instance, kinds);
        let found = Session::find(cluster, &instance.name).await?;
        let open = found.as_ref().filter(|found| is_open(found));
        let mut workloads = Vec::new();
        for component in Component::ALL {
            let found = Workload::find(cluster, instance, component).await?;
            workloads.extend(found.map(|found| (component, found)));
        }
        let facts = Facts {
            instance: instance.name.clone(),
            dangling: objects.dangling().await?,
            patches: objects.all_patches().await?,
            workloads,
            store_admin: Workload::store_admin(cluster, instance).await?,
            recorded: if open.is_some() {
                Vec::new()
            } else {
                found.iter().flat_map(recorded).collect()
            },
            open_run: open.map(|found| found.run_id().to_owned()),
            now: ServerClock::read(cluster)
                .await
                .map_err(RetrainError::from)?
                .now(),
        };
        Ok(Self {
            findings: facts.findings(),
            open_run: facts.open_run,
        })
    }
}

fn recorded(found: &Found) -> Vec<(String, u32)> {
    let steps = found.steps().iter();
    let scaled = steps.filter_map(|one| match &one.step {
        crate::procedure::Step::Scale(step) => Some(&step.deployments),
        crate::procedure::Step::Start(_) => None,
    });
    scaled
        .flatten()
        .map(|one| (one.deployment.clone(), one.replicas))
        .collect()
}

impl Facts {
    fn findings(&self) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self
            .dangling
            .iter()
            .map(|one| Finding::DanglingKey {
                custom_resource: one.patched.kind.to_owned(),
                annotation: one.annotation.to_owned(),
                key: one.key.clone(),
            })
            .collect();
        let in_use =
            |patch: &&TemporaryPatch| self.open_run.is_some() && patch.run == self.open_run;
        let own = |patch: &&TemporaryPatch| patch.target.name == self.instance && !in_use(patch);
        findings.extend(
            self.patches
                .iter()
                .filter(own)
                .filter_map(|patch| self.patch(patch)),
        );
        findings.extend(self.enabled());
        findings.extend(self.scaled());
        findings
    }

    fn patch(&self, patch: &TemporaryPatch) -> Option<Finding> {
        let uid = patch.uid.clone().unwrap_or_default();
        let variables = patch.retraining_variables();
        if patch.target.kind == STORE.kind && !variables.is_empty() {
            let value = |name: &str| {
                variables
                    .iter()
                    .find(|(one, _)| one == name)
                    .map(|(_, value)| value.as_str())
            };
            let time = time_of(patch);
            let enabled = value(ENABLED) == Some("true");
            return Some(Finding::RetrainingPatch {
                patch: patch.name.clone(),
                uid,
                past: enabled && time.is_some_and(|time| time < self.now),
                recurring: enabled && time.is_none() && value(SCHEDULE).is_some(),
                ours: patch.run.is_some(),
                variables: variables
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect(),
            });
        }
        let replicas: Vec<String> = Component::ALL
            .into_iter()
            .filter(|component| patch.scales(*component))
            .map(|component| {
                let count = patch.replicas_of(component);
                let count = count.map_or_else(|| "no number".to_owned(), |count| count.to_string());
                format!("{} ({count})", component.name())
            })
            .collect();
        (!replicas.is_empty()).then(|| Finding::ReplicaPatch {
            patch: patch.name.clone(),
            uid,
            replicas,
            ours: patch.run.is_some(),
        })
    }

    /// store-admin is to retrain though no patch says so.
    fn enabled(&self) -> Option<Finding> {
        if self.store_admin.variable(ENABLED) != Variable::Value("true".to_owned()) {
            return None;
        }
        let says_so = |patch: &TemporaryPatch| {
            patch.target.kind == STORE.kind
                && patch.target.name == self.instance
                && patch
                    .retraining_variables()
                    .iter()
                    .any(|(name, _)| name == ENABLED)
        };
        if self.patches.iter().any(says_so) {
            return None;
        }
        Some(Finding::Enabled {
            deployment: self.store_admin.name.clone(),
            schedule: match self.store_admin.variable(SCHEDULE) {
                Variable::Value(schedule) => Some(schedule),
                Variable::Unset | Variable::Elsewhere => None,
            },
            blocked: self.dangling.iter().any(|one| one.patched == STORE),
        })
    }

    /// Numbers that an earlier retraining may have left.
    fn scaled(&self) -> Option<Finding> {
        if self.open_run.is_some() {
            return None;
        }
        let shown = |workload: &Workload| format!("{} has {}", workload.name, workload.replicas);
        if !self.recorded.is_empty() {
            let more = self.workloads.iter().filter(|(_, workload)| {
                let before = self
                    .recorded
                    .iter()
                    .find(|(name, _)| *name == workload.name);
                before.is_some_and(|(_, replicas)| workload.replicas > *replicas)
            });
            let more: Vec<String> = more.map(|(_, workload)| shown(workload)).collect();
            return (!more.is_empty()).then(|| Finding::Scaled {
                deployments: more,
                than: "more than before the last retraining".to_owned(),
            });
        }
        let (_, training) = self
            .workloads
            .iter()
            .find(|(one, _)| *one == Component::Training)?;
        let fits = |(component, workload): &(Component, Workload)| {
            workload.replicas == component.replicas(training.replicas)
        };
        (training.replicas >= MANY && self.workloads.iter().all(fits)).then(|| Finding::Scaled {
            deployments: self
                .workloads
                .iter()
                .map(|(_, workload)| shown(workload))
                .collect(),
            than: format!(
                "as IBM's page scales for {} training pods",
                training.replicas
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::settings::Settings;

    fn facts() -> Facts {
        let workload = |name: &str, env: serde_json::Value| Workload {
            name: format!("wa-{name}"),
            replicas: 1,
            pod: serde_json::from_value(
                json!({ "containers": [{ "name": "store-admin", "env": env }] }),
            )
            .unwrap(),
        };
        Facts {
            instance: "wa".to_owned(),
            dangling: Vec::new(),
            patches: Vec::new(),
            workloads: Component::ALL
                .map(|one| (one, workload(one.name(), json!([]))))
                .into(),
            store_admin: workload("store-admin", json!([])),
            recorded: Vec::new(),
            open_run: None,
            now: "2026-12-01T00:00:00Z".parse().unwrap(),
        }
    }

    fn start(schedule: &str) -> TemporaryPatch {
        TemporaryPatch::start("wa", &Settings::for_pods(1, schedule.parse().unwrap()))
    }

    fn enabled() -> Workload {
        let env = json!([{ "name": ENABLED, "value": "true" }, { "name": SCHEDULE, "value": "0 0 2 * * ?" }]);
        let pod = json!({ "containers": [{ "name": "store-admin", "env": env }] });
        Workload {
            name: "wa-store-admin".to_owned(),
            replicas: 1,
            pod: serde_json::from_value(pod).unwrap(),
        }
    }

    #[test]
    fn a_healthy_instance_has_no_findings() {
        assert_eq!(facts().findings(), []);
    }

    #[test]
    fn what_ibms_recipe_leaves_is_found_by_the_key_and_by_the_deployment() {
        let mut facts = facts();
        facts.dangling.push(Dangling {
            patched: STORE,
            annotation: crate::active::ANNOTATIONS[0],
            key: "wa-store-admin-env-vars".to_owned(),
        });
        facts.store_admin = enabled();
        let findings = facts.findings();
        assert!(
            matches!(findings[0], Finding::DanglingKey { .. }),
            "{findings:?}"
        );
        assert!(
            matches!(findings[1], Finding::Enabled { blocked: true, .. }),
            "{findings:?}"
        );
        assert!(findings.iter().all(Finding::can_be_removed));
    }

    #[test]
    fn a_patch_is_removed_only_where_its_time_is_past_or_this_program_made_it() {
        let of = |patch: TemporaryPatch| {
            let mut facts = facts();
            facts.store_admin = enabled();
            facts.patches.push(patch);
            facts.findings().remove(0)
        };
        assert!(of(start("0 0 2 30 11 ? 2026")).can_be_removed(), "past");
        assert!(!of(start("0 0 2 2 12 ? 2026")).can_be_removed(), "to come");
        let mut nightly = start("0 0 2 2 12 ? 2026");
        let text = nightly
            .patch
            .to_string()
            .replace("0 0 2 2 12 ? 2026", "0 0 2 * * ?");
        nightly.patch = serde_json::from_str(&text).unwrap();
        let found = of(nightly.clone());
        assert!(
            matches!(
                found,
                Finding::RetrainingPatch {
                    recurring: true,
                    ..
                }
            ),
            "{found:?}"
        );
        assert!(!found.can_be_removed(), "somebody wants that");
        nightly.run = Some("wa-retrain-1".to_owned());
        assert!(of(nightly).can_be_removed());
        let replicas = TemporaryPatch::replicas("wa", &[(Component::Tfmm, 3)]).remove(0);
        assert!(!of(replicas.clone()).can_be_removed());
        let ours = TemporaryPatch {
            run: Some("wa-retrain-1".to_owned()),
            ..replicas
        };
        assert!(of(ours).can_be_removed());
    }

    #[test]
    fn what_an_open_retraining_uses_is_no_finding() {
        let mut facts = facts();
        facts.store_admin = enabled();
        facts.patches.push(TemporaryPatch {
            run: Some("r".to_owned()),
            ..start("0 0 2 30 11 ? 2026")
        });
        facts.open_run = Some("r".to_owned());
        assert_eq!(facts.findings(), []);
    }

    #[test]
    fn numbers_that_may_be_left_are_reported_and_not_changed() {
        let mut facts = facts();
        for (component, workload) in &mut facts.workloads {
            workload.replicas = component.replicas(10);
        }
        let found = facts.findings();
        assert!(matches!(&found[..], [Finding::Scaled { .. }]), "{found:?}");
        assert!(!found[0].can_be_removed());
        facts.recorded = vec![("wa-tfmm".to_owned(), 2)];
        let found = facts.findings()[0].in_words();
        assert!(found.contains("wa-tfmm has 5: more than before"), "{found}");
        facts.recorded = vec![("wa-tfmm".to_owned(), 5)];
        assert_eq!(facts.findings(), []);
    }
}
