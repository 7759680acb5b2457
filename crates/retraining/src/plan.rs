//! What a retraining changes in the cluster: replicas and variables, old and new, and the patches that ask for it.

use serde::Serialize;
use serde_json::{Value, json};
use wa_common::assistant::Instance;
use wa_common::cluster::Cluster;

use crate::active::ActivePatches;
use crate::autoscaler::Autoscalers;
use crate::capacity::{Capacity, Wanted};
use crate::component::{Component, Patched};
use crate::error::RetrainError;
use crate::kinds::Kinds;
use crate::patch::{STORE, TemporaryPatch};
use crate::schedule::Schedule;
use crate::settings::Settings;
use crate::workload::{Variable, Workload};

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// The Deployments that are scaled.
    pub replicas: Vec<ReplicaChange>,
    /// The variables of store-admin.
    pub variables: Vec<VariableChange>,
    /// What keeps it from being done: it would undo, or be undone by, what is there.
    pub obstacles: Vec<String>,
    /// What the user should know.
    pub notes: Vec<String>,
    /// The patches, as a list that `kubectl create` takes.
    pub manifests: Value,
}

/// The replicas of one Deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaChange {
    /// The Deployment.
    pub deployment: String,
    /// How many it is to have now.
    pub old: u32,
    /// How many it is to have then: never fewer than now.
    pub new: u32,
    /// The patch that asks for it.
    pub patch: String,
    /// The autoscaler that governs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaler: Option<String>,
    /// How many of the pods that come on top find no place on the nodes; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_room: Option<u32>,
}

/// One variable of store-admin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VariableChange {
    /// Its name.
    pub name: &'static str,
    /// What it is now; absent where it is not set, or not in the Deployment itself.
    pub old: Option<String>,
    /// What it is then.
    pub new: String,
}

/// What a plan takes from the cluster.
#[derive(Debug, Clone)]
pub struct Present {
    workloads: Vec<(Component, Workload)>,
    missing: Vec<Component>,
    store_admin: Workload,
    patches: Vec<TemporaryPatch>,
    /// What the custom resources that are to be patched list as active.
    active: Vec<(Patched, ActivePatches)>,
    autoscalers: Autoscalers,
    /// `None` where the user may not see the nodes.
    capacity: Option<Capacity>,
}

/// Every custom resource that is patched.
pub(crate) fn patched() -> Vec<Patched> {
    let mut all: Vec<Patched> = Component::ALL.map(Component::patched).into();
    all.push(STORE);
    all.dedup();
    all
}

impl Present {
    /// Looks at everything that a retraining touches.
    pub async fn read(cluster: &Cluster, instance: &Instance) -> Result<Self, RetrainError> {
        let kinds = Kinds::discover(cluster).await?;
        // Without this one there is nothing to scale for.
        Workload::read(cluster, instance, Component::Training).await?;
        let (mut workloads, mut missing) = (Vec::new(), Vec::new());
        for component in Component::ALL {
            match Workload::find(cluster, instance, component).await? {
                Some(workload) => workloads.push((component, workload)),
                None => missing.push(component),
            }
        }
        let mut active = Vec::new();
        for patched in patched() {
            active.push((
                patched,
                read_active(cluster, &kinds, instance, patched).await?,
            ));
        }
        Ok(Self {
            workloads,
            missing,
            store_admin: Workload::store_admin(cluster, instance).await?,
            patches: TemporaryPatch::list(cluster, &kinds).await?,
            active,
            autoscalers: Autoscalers::read(cluster).await?,
            capacity: Capacity::read(cluster).await?,
        })
    }
}

pub(crate) async fn read_active(
    cluster: &Cluster,
    kinds: &Kinds,
    instance: &Instance,
    patched: Patched,
) -> Result<ActivePatches, RetrainError> {
    let resource = kinds.resource(patched.kind)?;
    let object = cluster.find_custom(&resource, &instance.name).await?;
    let object = object.ok_or_else(|| RetrainError::NoCustomResource {
        kind: patched.kind,
        name: instance.name.clone(),
        namespace: instance.namespace.clone(),
    })?;
    Ok(ActivePatches::from_object(&object)?)
}

impl Plan {
    /// For so many training pods, and a start by that schedule.
    pub fn new(
        instance: &Instance,
        present: &Present,
        training_pods: u32,
        schedule: Schedule,
    ) -> Self {
        let replicas = present.replica_changes(instance, training_pods);
        let training = replicas
            .iter()
            .find(|change| change.0 == Component::Training);
        let pods = training.map_or(training_pods, |(_, change)| change.new);
        let settings = Settings::for_pods(pods, schedule);
        let targets: Vec<(Component, u32)> = replicas
            .iter()
            .map(|(component, change)| (*component, change.new))
            .collect();
        let mut patches = TemporaryPatch::replicas(&instance.name, &targets);
        patches.push(TemporaryPatch::start(&instance.name, &settings));
        let items: Vec<Value> = patches
            .iter()
            .map(|patch| patch.manifest(&instance.namespace))
            .collect();
        Self {
            variables: present.variable_changes(&settings),
            obstacles: present.obstacles(instance, &patches, &replicas),
            notes: present.notes(instance, &settings, &replicas),
            manifests: json!({ "apiVersion": "v1", "kind": "List", "items": items }),
            replicas: replicas.into_iter().map(|(_, change)| change).collect(),
        }
    }
}

impl Present {
    fn replica_changes(
        &self,
        instance: &Instance,
        training_pods: u32,
    ) -> Vec<(Component, ReplicaChange)> {
        let target = |component: Component, workload: &Workload| {
            component.replicas(training_pods).max(workload.replicas)
        };
        let wanted: Vec<Wanted<'_>> = self
            .workloads
            .iter()
            .map(|(component, workload)| Wanted {
                pod: &workload.pod,
                count: target(*component, workload) - workload.replicas,
            })
            .collect();
        let placed = self
            .capacity
            .as_ref()
            .map(|capacity| capacity.place(&wanted));
        let change = |(at, (component, workload)): (usize, &(Component, Workload))| {
            let placed = placed.as_ref().and_then(|placed| placed.get(at));
            let change = ReplicaChange {
                deployment: workload.name.clone(),
                old: workload.replicas,
                new: target(*component, workload),
                patch: format!("{}-{}", instance.name, component.patched().patch),
                autoscaler: self.autoscalers.of_deployment(&workload.name),
                without_room: placed.map(|placed| wanted[at].count - placed),
            };
            (*component, change)
        };
        self.workloads.iter().enumerate().map(change).collect()
    }

    fn variable_changes(&self, settings: &Settings) -> Vec<VariableChange> {
        let change = |(name, new)| VariableChange {
            name,
            old: match self.store_admin.variable(name) {
                Variable::Value(value) => Some(value),
                Variable::Unset | Variable::Elsewhere => None,
            },
            new,
        };
        settings.variables().into_iter().map(change).collect()
    }

    fn obstacles(
        &self,
        instance: &Instance,
        ours: &[TemporaryPatch],
        replicas: &[(Component, ReplicaChange)],
    ) -> Vec<String> {
        let mut obstacles = Vec::new();
        for patch in self
            .patches
            .iter()
            .filter(|patch| patch.target.name == instance.name || is_named(ours, patch))
        {
            let name = &patch.name;
            let scaled = patch.scaled();
            let variables = patch.retraining_variables();
            if is_named(ours, patch) {
                obstacles.push(format!(
                    "there is a TemporaryPatch {name} already; it is not overwritten, since the operator does not notice a change of a patch"
                ));
            } else if !scaled.is_empty() {
                obstacles.push(format!(
                    "TemporaryPatch {name} sets the replicas of {}",
                    scaled.join(", ")
                ));
            } else if !variables.is_empty() {
                let names: Vec<String> = variables
                    .iter()
                    .map(|(name, value)| format!("{name}={value}"))
                    .collect();
                obstacles.push(format!("TemporaryPatch {name} sets {}", names.join(", ")));
            }
        }
        for (patched, active) in &self.active {
            for (annotation, key) in active.dangling(&self.patches) {
                obstacles.push(format!(
                    "the annotation {annotation} of {} {} lists the patch {key}, which does not exist: the operator cannot reconcile it (\"Patch not found\") until that key is removed",
                    patched.kind, instance.name
                ));
            }
        }
        for (_, change) in replicas {
            if let Some(autoscaler) = change
                .autoscaler
                .as_ref()
                .filter(|_| change.new != change.old)
            {
                obstacles.push(format!(
                    "HorizontalPodAutoscaler {autoscaler} governs {} and would set its replicas again",
                    change.deployment
                ));
            }
        }
        obstacles
    }

    fn notes(
        &self,
        instance: &Instance,
        settings: &Settings,
        replicas: &[(Component, ReplicaChange)],
    ) -> Vec<String> {
        let mut notes = Vec::new();
        for component in &self.missing {
            notes.push(format!(
                "there is no Deployment {}; no patch asks for its replicas",
                component.deployment(&instance.name)
            ));
        }
        if settings.clamped {
            notes.push(format!(
                "the wait between batches, 60 - {}, would be 0 s or less; it is set to 1 s",
                settings.batch_size
            ));
        }
        for (_, change) in replicas {
            if change.old > 0 && change.new == change.old {
                notes.push(format!("{} keeps its {}", change.deployment, change.old));
            }
            if let Some(count) = change.without_room.filter(|count| *count > 0) {
                notes.push(format!(
                    "the nodes have no room for {count} of the {} more pods of {}",
                    change.new - change.old,
                    change.deployment
                ));
            }
        }
        match &self.capacity {
            None => notes.push("you may not list nodes, so whether they have room is not known".to_owned()),
            Some(capacity) if !capacity.others_counted => notes.push(
                "you may not list the pods of all namespaces, so what they ask for is not taken off the nodes".to_owned(),
            ),
            Some(_) => {}
        }
        notes
    }
}

fn is_named(ours: &[TemporaryPatch], patch: &TemporaryPatch) -> bool {
    ours.iter().any(|one| one.name == patch.name)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::PodSpec;

    use super::*;

    fn workload(name: &str, replicas: u32) -> Workload {
        Workload {
            name: format!("wa-{name}"),
            replicas,
            pod: PodSpec::default(),
        }
    }

    fn present(replicas: [u32; 5]) -> Present {
        let workloads = Component::ALL.into_iter().zip(replicas);
        Present {
            workloads: workloads
                .map(|(component, replicas)| (component, workload(component.name(), replicas)))
                .collect(),
            missing: Vec::new(),
            store_admin: workload("store-admin", 1),
            patches: Vec::new(),
            active: Vec::new(),
            autoscalers: Autoscalers::default(),
            capacity: None,
        }
    }

    fn instance() -> Instance {
        Instance {
            name: "wa".to_owned(),
            namespace: "cpd".to_owned(),
            release: None,
        }
    }

    fn plan(present: &Present, training_pods: u32) -> Plan {
        let schedule = "0 40 19 11 3 ? 2027".parse().unwrap();
        Plan::new(&instance(), present, training_pods, schedule)
    }

    #[test]
    fn nothing_is_scaled_below_what_runs() {
        let plan = plan(&present([2, 9, 1, 3, 0]), 10);
        let new: Vec<u32> = plan.replicas.iter().map(|change| change.new).collect();
        assert_eq!(new, [10, 9, 3, 3, 2]);
        let batch = plan
            .variables
            .iter()
            .find(|one| one.name == "BATCH_RETRAIN_ALL_SIZE");
        assert_eq!(batch.unwrap().new, "20");
        let patch = &plan.manifests["items"][1]["spec"]["patch"];
        assert_eq!(patch["tfmm"]["deployment"]["spec"]["replicas"], 9);
    }

    #[test]
    fn more_training_pods_than_asked_for_make_larger_batches() {
        let plan = plan(&present([12, 1, 1, 1, 1]), 10);
        let batch = plan
            .variables
            .iter()
            .find(|one| one.name == "BATCH_RETRAIN_ALL_SIZE");
        assert_eq!(batch.unwrap().new, "24");
    }

    #[test]
    fn a_component_without_deployment_is_in_no_patch_and_reported() {
        let mut present = present([1; 5]);
        present
            .workloads
            .retain(|(component, _)| *component != Component::DragonflyMm);
        present.missing.push(Component::DragonflyMm);
        let plan = plan(&present, 10);
        let patch = &plan.manifests["items"][1]["spec"]["patch"];
        assert!(patch["dragonfly-clu-mm"].is_null() && patch["tfmm"].is_object());
        assert!(plan.notes[0].contains("no Deployment wa-dragonfly-clu-mm"));
    }

    #[test]
    fn patches_of_others_with_the_same_purpose_stand_in_the_way_and_unrelated_ones_do_not() {
        let schedule = "0 0 2 1 1 ? 2027".parse().unwrap();
        let named = |mut patch: TemporaryPatch, name: &str| {
            patch.name = name.to_owned();
            patch
        };
        let start = TemporaryPatch::start("wa", &Settings::for_pods(1, schedule));
        let scale = TemporaryPatch::replicas("wa", &[(Component::Tfmm, 4)]).remove(0);
        let unrelated = TemporaryPatch {
            patch: json!({ "store": { "deployment": {} } }),
            ..named(start.clone(), "wa-store-assistant-limits")
        };
        let of = |patch: TemporaryPatch| {
            let mut present = present([1; 5]);
            present.patches.push(patch);
            plan(&present, 5).obstacles
        };
        assert!(of(start.clone())[0].contains("wa-store-admin-env-vars already"));
        let auto_train = of(named(start.clone(), "wa-store-admin-auto-train"));
        assert!(
            auto_train[0].contains("AUTO_RETRAIN_ALL_ENABLED=true"),
            "{auto_train:?}"
        );
        assert!(of(named(scale, "somebody"))[0].contains("replicas of tfmm"));
        assert!(of(unrelated).is_empty());
        // Beside `wa` there may be `wo-wa`, whose patches are its own.
        let mut neighbour = named(start, "wo-wa-store-admin-env-vars");
        neighbour.target.name = "wo-wa".to_owned();
        assert!(of(neighbour).is_empty());
    }
}
