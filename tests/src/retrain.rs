//! `kubectl wa-retrain`, and the etcd that it counts in.

use std::collections::BTreeMap;
use std::process::Command;

use kube_sandbox::meta::{object, resources};
use serde_json::Value;
use wa_sandbox::world::kinds;

use crate::{Outcome, World, binary, run};

/// The Deployments that are scaled, in the order of the plan.
const SCALED: [&str; 5] = [
    "wa-clu-training",
    "wa-tfmm",
    "wa-dragonfly-clu-mm",
    "wa-clu-embedding",
    "wa-clu-triton-serving",
];
/// The annotations by which the operator knows what patches are active.
const ANNOTATIONS: [&str; 2] = [
    "oper8.org/temporary-patches",
    "oppy.ibm.com/temporary-patches",
];

/// Every object of the instance's namespace that retraining could change, as it is at one moment: but for the journal, which
/// stays as a record, and its lock, which a process that is killed cannot delete.
#[derive(Debug, PartialEq)]
pub struct Objects(BTreeMap<String, Value>);

impl Objects {
    /// What there is now.
    pub fn from_world(world: &World) -> Self {
        let store = world.sandbox().store();
        let own = [
            &resources::DEPLOYMENTS,
            &resources::CONFIG_MAPS,
            &resources::SECRETS,
            &resources::SERVICES,
            &resources::LEASES,
        ];
        let kinds = own.into_iter().chain(kinds::ALL.iter().copied());
        let objects = kinds.flat_map(|kind| {
            let items = store.list(kind, Some(world.sandbox().namespace())).items;
            items.into_iter().map(move |one| {
                (
                    format!("{}/{}", kind.plural, object::name(&one)),
                    plain(Value::clone(&one)),
                )
            })
        });
        let own = ["configmaps/wa-retrain-wa", "leases/wa-retrain-wa"];
        let others = objects.filter(|(name, _)| !own.contains(&name.as_str()));
        Self(others.collect())
    }

    /// The same without those whose kind and name, such as `secrets/a`, are picked.
    pub fn without(mut self, is_picked: impl Fn(&str) -> bool) -> Self {
        self.0.retain(|name, _| !is_picked(name));
        self
    }

    /// Fails the test with what is otherwise.
    #[track_caller]
    pub fn assert_same_as(&self, after: &Self) {
        for (name, before) in &self.0 {
            assert_eq!(Some(before), after.0.get(name), "{name}");
        }
        let new: Vec<_> = after
            .0
            .keys()
            .filter(|name| !self.0.contains_key(*name))
            .collect();
        assert!(new.is_empty(), "left behind: {new:?}");
    }
}

/// An object without what changes by itself, or with every write. An empty annotation is one that is not there.
fn plain(mut object: Value) -> Value {
    object.as_object_mut().unwrap().remove("status");
    let metadata = object["metadata"].as_object_mut().unwrap();
    for field in ["resourceVersion", "generation", "managedFields"] {
        metadata.remove(field);
    }
    let mut annotations = metadata.remove("annotations").unwrap_or_default();
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.remove("deployment.kubernetes.io/revision");
        annotations.retain(|name, text| !ANNOTATIONS.contains(&name.as_str()) || text != "{}");
    }
    if annotations.as_object().is_some_and(|all| !all.is_empty()) {
        metadata.insert("annotations".to_owned(), annotations);
    }
    object
}

impl World {
    /// `kubectl wa-retrain` with these arguments.
    pub fn retrain_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(binary("kubectl-wa-retrain"));
        command.args(arguments);
        command
    }

    /// The same, run.
    pub fn retrain(&self, arguments: &[&str]) -> Outcome {
        run(&mut self.retrain_command(arguments))
    }

    /// The replicas of the Deployments that are scaled.
    pub fn replicas(&self) -> [u64; 5] {
        SCALED.map(|name| {
            let store = self.sandbox().store();
            let found = store.get(&resources::DEPLOYMENTS, self.sandbox().namespace(), name);
            found.unwrap()["spec"]["replicas"].as_u64().unwrap()
        })
    }

    /// Runs a shell script in the etcd pod, where `etcdctl` is a client that is let in as root.
    #[track_caller]
    pub fn in_etcd_pod(&self, script: &str) -> String {
        const CLIENT: &str = r#"
tls=/etc/etcdtls/operator/etcd-tls
password=$(cat /var/run/credentials/pass.key)
etcdctl() {
    command etcdctl --cert=$tls/etcd-client.crt --key=$tls/etcd-client.key --cacert=$tls/etcd-client-ca.crt \
        --endpoints="https://$CLUSTER_NAME:2379" --user="root:$password" --command-timeout=60s "$@"
}
"#;
        let pod = self.sandbox().names().etcd_pod();
        let script = format!("{CLIENT}\n{script}");
        self.kubectl(&["exec", &pod, "-c", "etcd", "--", "bash", "-ec", &script])
    }
}
