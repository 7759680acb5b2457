//! StatefulSets: pods with names that stay, started and replaced one after the other.
//!
//! Left out: ControllerRevision objects, and with them `kubectl rollout undo`, partitions and pods that come back from an
//! older template; `minReadySeconds`, `maxUnavailable`, the start ordinal, and claims that are deleted with their set.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::events::Recorder;
use super::{Concerns, Controller, controlled, controlled_by, pods, replica_sets};
use crate::meta::{Object, Resource, Status, object, resources};
use crate::store::{DeleteOptions, Store};

/// The label with the name of the template that a pod was made from.
const REVISION: &str = "controller-revision-hash";

/// Creates, replaces and deletes the pods of StatefulSets and counts them.
#[derive(Debug)]
pub(super) struct StatefulSets;

impl Controller for StatefulSets {
    fn kind(&self) -> &'static Resource {
        &resources::STATEFUL_SETS
    }

    fn watches(&self) -> &'static [(&'static Resource, Concerns)] {
        const WATCHED: &[(&Resource, Concerns)] =
            &[(&resources::PODS, |_, pod| controlled_by(pod, "StatefulSet"))];
        WATCHED
    }

    fn reconcile(&self, store: &Store, set: &Object) -> Result<Option<Duration>, Status> {
        let hash = pods::template_hash(&set["spec"]["template"]);
        let update = Update {
            store,
            set,
            revision: format!("{}-{hash}", object::name(set)),
            pods: by_ordinal(store, set),
        };
        if !object::is_terminating(set) {
            update.advance()?;
        }
        let (pods, revision) = (by_ordinal(store, set), update.revision);
        let (namespace, name) = (object::namespace(set), object::name(set));
        store.modify(self.kind(), namespace, name, |set| {
            report(set, &pods, &revision);
        })?;
        Ok(None)
    }
}

/// One look at a set.
struct Update<'a> {
    store: &'a Store,
    set: &'a Object,
    /// The name of its present template.
    revision: String,
    pods: BTreeMap<usize, Object>,
}

impl Update<'_> {
    /// Takes every step that need not wait for one before it.
    fn advance(&self) -> Result<(), Status> {
        let wanted = replica_sets::wanted(self.set);
        let in_order = self.set["spec"]["podManagementPolicy"] != "Parallel";
        for ordinal in 0..wanted {
            match self.pods.get(&ordinal) {
                None => self.create(ordinal)?,
                Some(pod) if pods::has_ended(pod) && !object::is_terminating(pod) => {
                    self.delete(pod)?;
                }
                Some(pod) if is_healthy(pod) => continue,
                Some(_) => {}
            }
            if in_order {
                return Ok(());
            }
        }
        for pod in self.pods.range(wanted..).rev().map(|(_, pod)| pod) {
            if !object::is_terminating(pod) {
                self.delete(pod)?;
            }
            if in_order {
                return Ok(());
            }
        }
        if self.set["spec"]["updateStrategy"]["type"] == "OnDelete" {
            return Ok(());
        }
        for pod in self.pods.range(..wanted).rev().map(|(_, pod)| pod) {
            let is_old = pod["metadata"]["labels"][REVISION] != self.revision.as_str();
            if is_old && !object::is_terminating(pod) {
                return self.delete(pod);
            }
            if !is_healthy(pod) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn create(&self, ordinal: usize) -> Result<(), Status> {
        let set_name = object::name(self.set);
        let name = format!("{set_name}-{ordinal}");
        let mut pod = pods::from_template(&resources::STATEFUL_SETS, self.set);
        let metadata = object::metadata_mut(&mut pod);
        metadata.remove("generateName");
        metadata.insert("name".into(), name.as_str().into());
        let labels = object::map_mut(&mut pod["metadata"]["labels"]);
        labels.insert(REVISION.into(), self.revision.as_str().into());
        labels.insert(
            "statefulset.kubernetes.io/pod-name".into(),
            name.as_str().into(),
        );
        labels.insert(
            "apps.kubernetes.io/pod-index".into(),
            ordinal.to_string().into(),
        );
        pod["spec"]["hostname"] = name.as_str().into();
        if let Some(service) = self.set["spec"]["serviceName"].as_str() {
            pod["spec"]["subdomain"] = service.into();
        }
        let templates = self.set["spec"]["volumeClaimTemplates"].as_array();
        for template in templates.into_iter().flatten() {
            self.claim(template, &name, &mut pod)?;
        }
        self.store.create(&resources::PODS, pod)?;
        let message = format!("create Pod {name} in StatefulSet {set_name} successful");
        self.recorder()
            .normal(self.set, "SuccessfulCreate", &message);
        Ok(())
    }

    /// Gives a pod the claim that a template asks for, which it finds again when the pod is made once more.
    fn claim(&self, template: &Value, pod_name: &str, pod: &mut Value) -> Result<(), Status> {
        let (namespace, set_name) = (object::namespace(self.set), object::name(self.set));
        let volume = object::name(template);
        let name = format!("{volume}-{pod_name}");
        if self
            .store
            .get(&resources::CLAIMS, namespace, &name)
            .is_err()
        {
            let mut labels = template["metadata"]["labels"].clone();
            let selector = self.set["spec"]["selector"]["matchLabels"].as_object();
            object::map_mut(&mut labels).extend(selector.cloned().unwrap_or_default());
            let claim = json!({
                "apiVersion": "v1", "kind": "PersistentVolumeClaim",
                "metadata": {
                    "name": name, "namespace": namespace, "labels": labels,
                    "annotations": template["metadata"]["annotations"],
                },
                "spec": template["spec"],
            });
            self.store.create(&resources::CLAIMS, claim)?;
            let message =
                format!("create Claim {name} Pod {pod_name} in StatefulSet {set_name} success");
            self.recorder()
                .normal(self.set, "SuccessfulCreate", &message);
        }
        let source = json!({ "name": volume, "persistentVolumeClaim": { "claimName": name } });
        let mut volumes = pod["spec"]["volumes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        volumes.retain(|one| one["name"] != volume);
        volumes.push(source);
        pod["spec"]["volumes"] = volumes.into();
        Ok(())
    }

    fn delete(&self, pod: &Object) -> Result<(), Status> {
        let (name, set_name) = (object::name(pod), object::name(self.set));
        self.store.delete(
            &resources::PODS,
            object::namespace(pod),
            name,
            &DeleteOptions::default(),
        )?;
        let message = format!("delete Pod {name} in StatefulSet {set_name} successful");
        self.recorder()
            .normal(self.set, "SuccessfulDelete", &message);
        Ok(())
    }

    fn recorder(&self) -> Recorder<'_> {
        Recorder {
            store: self.store,
            component: "statefulset-controller",
        }
    }
}

/// The pods of a set by the number that ends their name.
fn by_ordinal(store: &Store, set: &Object) -> BTreeMap<usize, Object> {
    let prefix = format!("{}-", object::name(set));
    let pods = controlled(store, &resources::PODS, set).into_iter();
    pods.filter_map(|pod| {
        let ordinal = object::name(&pod).strip_prefix(&prefix)?.parse().ok()?;
        Some((ordinal, pod))
    })
    .collect()
}

fn is_healthy(pod: &Value) -> bool {
    pods::is_active(pod) && pods::is_ready(pod)
}

/// Writes the status. The present template becomes the current one once every pod is made from it and ready.
fn report(set: &mut Value, pods: &BTreeMap<usize, Object>, update: &str) {
    let count = |wanted: &dyn Fn(&Value) -> bool| pods.values().filter(|pod| wanted(pod)).count();
    let of = |revision: &str| {
        count(&|pod| {
            !object::is_terminating(pod) && pod["metadata"]["labels"][REVISION] == revision
        })
    };
    let (replicas, updated) = (pods.len(), of(update));
    let ready = count(&|pod| !pods::has_ended(pod) && pods::is_ready(pod));
    let is_complete = updated == replicas && ready == replicas;
    let current = match set["status"]["currentRevision"].as_str() {
        Some(current) if !is_complete => current.to_owned(),
        _ => update.to_owned(),
    };
    let mut status = json!({
        "observedGeneration": set["metadata"]["generation"], "replicas": replicas,
        "currentRevision": current, "updateRevision": update, "collisionCount": 0,
        "availableReplicas": ready,
    });
    // Go leaves these out when they are 0.
    for (field, number) in [
        ("readyReplicas", ready),
        ("currentReplicas", of(&current)),
        ("updatedReplicas", updated),
    ] {
        if number > 0 {
            status[field] = number.into();
        }
    }
    set["status"] = status;
}
