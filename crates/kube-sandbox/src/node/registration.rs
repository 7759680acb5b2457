//! The nodes' own objects in the API. Each tells what this machine has, because pods of all of them really run on it.
//!
//! Left out: heartbeats (conditions stay as they were at the start, and there is no lease), the machine's identity (its
//! numbers are made up for each cluster), and reservations, so that everything is allocatable.

use std::{fs, io, path::Path, thread::available_parallelism};

use rustix::fs::statvfs;
use serde_json::{Value, json};

use crate::meta::{Status, object, resources};
use crate::store::Store;

/// The kubelet's default.
const MOST_PODS: &str = "110";

/// What stands for a machine of its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Machine {
    /// Name of its node in the API.
    pub(super) name: &'static str,
    pub(super) address: &'static str,
}

/// The machines, in the order in which pods are given to them.
pub(super) static MACHINES: [Machine; 2] = [
    Machine {
        name: "node1",
        address: "127.0.0.1",
    },
    Machine {
        name: "node2",
        address: "127.0.0.2",
    },
];

/// The machine of that node.
pub(super) fn machine(name: &str) -> Option<&'static Machine> {
    MACHINES.iter().find(|machine| machine.name == name)
}

/// Adds the nodes, whose files are in `directory`.
pub(super) fn register(store: &Store, directory: &Path) -> Result<(), Status> {
    let resources = machine_resources(directory);
    MACHINES
        .iter()
        .try_for_each(|machine| register_one(store, machine, &resources))
}

fn register_one(store: &Store, machine: &Machine, resources: &Value) -> Result<(), Status> {
    let node = json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": machine.name,
            "labels": {
                "kubernetes.io/hostname": machine.name, "kubernetes.io/os": "linux",
                "kubernetes.io/arch": architecture(), "node-role.kubernetes.io/worker": "",
            },
        },
        "spec": {},
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": conditions(),
            "addresses": [{"type": "InternalIP", "address": machine.address}, {"type": "Hostname", "address": machine.name}],
            "nodeInfo": {
                "machineID": uuid::Uuid::new_v4().simple().to_string(),
                "systemUUID": uuid::Uuid::new_v4().to_string(), "bootID": uuid::Uuid::new_v4().to_string(),
                "kernelVersion": kernel_version(), "osImage": "kube-sandbox", "operatingSystem": "linux",
                "architecture": architecture(), "containerRuntimeVersion": "bubblewrap",
                "kubeletVersion": "v1.36.0", "kubeProxyVersion": "",
            },
        },
    });
    store.create(&resources::NODES, node).map(|_| ())
}

/// Quantities of what this machine has. What it does not tell is missing, as on a node that has none of it.
fn machine_resources(directory: &Path) -> Value {
    let mut resources = json!({ "pods": MOST_PODS });
    if let Ok(processors) = available_parallelism() {
        resources["cpu"] = processors.to_string().into();
    }
    if let Ok(kibibytes) = memory_kibibytes() {
        resources["memory"] = format!("{kibibytes}Ki").into();
    }
    if let Ok(disk) = statvfs(directory) {
        let kibibytes = disk.f_blocks.saturating_mul(disk.f_frsize) / 1024;
        resources["ephemeral-storage"] = format!("{kibibytes}Ki").into();
    }
    resources
}

/// `MemTotal`, the first line of `/proc/meminfo`, which counts in kibibytes and calls them kB.
fn memory_kibibytes() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.strip_suffix("kB"))
        .and_then(|number| number.trim().parse().ok());
    total.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn kernel_version() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease")
        .map(|version| version.trim_end().to_owned())
        .unwrap_or_default()
}

/// This machine's architecture by its Go name, as Kubernetes has it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        other => other,
    }
}

fn conditions() -> Value {
    let now = object::now();
    [
        (
            "MemoryPressure",
            "False",
            "KubeletHasSufficientMemory",
            "kubelet has sufficient memory available",
        ),
        (
            "DiskPressure",
            "False",
            "KubeletHasNoDiskPressure",
            "kubelet has no disk pressure",
        ),
        (
            "PIDPressure",
            "False",
            "KubeletHasSufficientPID",
            "kubelet has sufficient PID available",
        ),
        (
            "Ready",
            "True",
            "KubeletReady",
            "kubelet is posting ready status",
        ),
    ]
    .iter()
    .map(|(kind, status, reason, message)| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": now, "lastTransitionTime": now,
        })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_tells_what_this_machine_has() {
        let store = Store::new();
        register(&store, Path::new("/")).unwrap();
        let node = store.get(&resources::NODES, "", "node1").unwrap();
        let status = &node["status"];
        assert_eq!(status["capacity"], status["allocatable"]);
        for (resource, unit) in [
            ("cpu", ""),
            ("memory", "Ki"),
            ("ephemeral-storage", "Ki"),
            ("pods", ""),
        ] {
            let quantity = status["capacity"][resource].as_str().unwrap();
            let number: u64 = quantity.strip_suffix(unit).unwrap().parse().unwrap();
            assert!(number > 0, "{resource}: {quantity}");
        }
        let info = status["nodeInfo"].as_object().unwrap();
        let missing: Vec<_> = info.iter().filter(|(_, value)| *value == "").collect();
        assert_eq!(missing, [(&"kubeProxyVersion".to_owned(), &json!(""))]);
    }
}
