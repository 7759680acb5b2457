//! Whether the nodes can hold more pods: what those ask for against what is left of what nodes can allocate.
//!
//! This is no scheduler. It knows processors, memory, the number of pods, node selectors, taints and cordons; it leaves out
//! affinity, spread, volumes, priorities and quotas. So it can say that there is no room, and only that there seems to be.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::{Container, Node, Pod, PodSpec, Taint, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Written;
use kube::ResourceExt as _;
use wa_common::cluster::{Cluster, ClusterError, Quantity, pod_has_ended};

/// What a pod asks for, or a node has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Processors.
    pub cpu: Quantity,
    /// Bytes of memory.
    pub memory: Quantity,
}

/// The nodes, with what is left of each.
#[derive(Debug, Clone, Default)]
pub struct Capacity {
    nodes: Vec<Free>,
    /// Whether what runs on the nodes is known, and taken off.
    pub others_counted: bool,
}

/// One node that takes pods.
#[derive(Debug, Clone)]
struct Free {
    name: String,
    left: Amount,
    pods: u64,
    labels: BTreeMap<String, String>,
    taints: Vec<Taint>,
}

/// Pods of one kind that are to be placed.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// What they are made from.
    pub pod: &'a PodSpec,
    /// How many.
    pub count: u32,
}

impl Amount {
    /// What a pod asks for: its containers together, or the largest of those that run before them.
    pub fn of_pod(pod: &PodSpec) -> Self {
        let containers = pod.containers.iter().map(Self::of_container);
        let together = containers.fold(Self::default(), Self::plus);
        let before = pod.init_containers.iter().flatten().map(Self::of_container);
        let largest = before.fold(together, |most, one| Self {
            cpu: most.cpu.max(one.cpu),
            memory: most.memory.max(one.memory),
        });
        let overhead = pod
            .overhead
            .as_ref()
            .map(|map| Self::read(|name| map.get(name)));
        largest.plus(overhead.unwrap_or_default())
    }

    /// A limit counts as a request where there is none, as Kubernetes has it.
    fn of_container(container: &Container) -> Self {
        let resources = container.resources.as_ref();
        Self::read(|name| {
            let requests = resources.and_then(|one| one.requests.as_ref()?.get(name));
            requests.or_else(|| resources.and_then(|one| one.limits.as_ref()?.get(name)))
        })
    }

    fn read<'a>(of: impl Fn(&str) -> Option<&'a Written>) -> Self {
        // The API server takes no malformed one.
        let amount = |name| {
            of(name)
                .and_then(|text| text.0.parse().ok())
                .unwrap_or_default()
        };
        Self {
            cpu: amount("cpu"),
            memory: amount("memory"),
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.plus(other.cpu),
            memory: self.memory.plus(other.memory),
        }
    }

    /// So many of it.
    #[must_use]
    pub fn times(self, count: u32) -> Self {
        Self {
            cpu: self.cpu.times(count.into()),
            memory: self.memory.times(count.into()),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.minus(other.cpu),
            memory: self.memory.minus(other.memory),
        }
    }

    fn holds(self, other: Self) -> bool {
        self.cpu >= other.cpu && self.memory >= other.memory
    }
}

impl Capacity {
    /// Looks at the nodes and what runs on them; `None` where the user may not see the nodes.
    pub async fn read(cluster: &Cluster) -> Result<Option<Self>, ClusterError> {
        let nodes: Vec<Node> = match cluster.list_global().await {
            Ok(nodes) => nodes,
            Err(error) if error.code() == Some(403) => return Ok(None),
            Err(error) => return Err(error),
        };
        // A cluster has thousands of pods: of each, only the sums are kept.
        let used: RefCell<HashMap<String, (Amount, u64)>> = RefCell::default();
        let add = |pod: &Pod| {
            if let Some((node, amount)) = takes(pod) {
                let mut used = used.borrow_mut();
                let entry = used.entry(node.to_owned()).or_default();
                *entry = (entry.0.plus(amount), entry.1 + 1);
            }
            false
        };
        let others_counted = match cluster.list_everywhere(add).await {
            Ok(_) => true,
            Err(error) if error.code() == Some(403) => false,
            Err(error) => return Err(error),
        };
        Ok(Some(Self::from_nodes(
            nodes,
            &used.into_inner(),
            others_counted,
        )))
    }

    fn from_nodes(
        nodes: Vec<Node>,
        used: &HashMap<String, (Amount, u64)>,
        others_counted: bool,
    ) -> Self {
        let nodes = nodes.into_iter().filter(takes_pods).map(|node| {
            let (taken, pods) = used.get(&node.name_any()).copied().unwrap_or_default();
            let allocatable = node
                .status
                .iter()
                .find_map(|status| status.allocatable.as_ref());
            let all = Amount::read(|name| allocatable?.get(name));
            let most_pods = allocatable.and_then(|map| map.get("pods")?.0.parse::<Quantity>().ok());
            Free {
                name: node.name_any(),
                left: all.minus(taken),
                pods: most_pods.map_or(0, Quantity::bytes).saturating_sub(pods),
                labels: node.labels().clone(),
                taints: node.spec.and_then(|spec| spec.taints).unwrap_or_default(),
            }
        });
        Self {
            nodes: nodes.collect(),
            others_counted,
        }
    }

    /// How many of each kind of pod find a place, all of them together, the largest first.
    pub fn place(&self, wanted: &[Wanted<'_>]) -> Vec<u32> {
        let mut nodes = self.nodes.clone();
        let mut placed = vec![0; wanted.len()];
        let mut order: Vec<usize> = (0..wanted.len()).collect();
        let amounts: Vec<Amount> = wanted.iter().map(|one| Amount::of_pod(one.pod)).collect();
        order.sort_by_key(|at| Reverse((amounts[*at].cpu, amounts[*at].memory)));
        for at in order {
            let (pod, amount) = (wanted[at].pod, amounts[at]);
            for _ in 0..wanted[at].count {
                let fitting = nodes.iter_mut().filter(|node| node.takes(pod, amount));
                let Some(node) = fitting.max_by_key(|node| node.left.cpu) else {
                    break;
                };
                node.left = node.left.minus(amount);
                node.pods -= 1;
                placed[at] += 1;
            }
        }
        placed
    }

    /// The node with the most processors left, and how much that is.
    pub fn freest_node(&self) -> Option<(&str, Quantity)> {
        let freest = self.nodes.iter().max_by_key(|node| node.left.cpu)?;
        Some((&freest.name, freest.left.cpu))
    }
}

impl Free {
    fn takes(&self, pod: &PodSpec, amount: Amount) -> bool {
        let selected = |(key, value): (&String, &String)| self.labels.get(key) == Some(value);
        let tolerations = pod.tolerations.as_deref().unwrap_or_default();
        self.pods > 0
            && self.left.holds(amount)
            && pod.node_selector.iter().flatten().all(selected)
            && self
                .taints
                .iter()
                .all(|taint| tolerates(tolerations, taint))
    }
}

/// Whether new pods come to a node at all.
fn takes_pods(node: &Node) -> bool {
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable) == Some(true);
    let conditions = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    ready && !cordoned
}

/// Whether a taint keeps nobody out, or not this pod.
fn tolerates(tolerations: &[Toleration], taint: &Taint) -> bool {
    // `PreferNoSchedule` is a wish.
    if !["NoSchedule", "NoExecute"].contains(&taint.effect.as_str()) {
        return true;
    }
    tolerations.iter().any(|one| {
        let effect = one
            .effect
            .as_deref()
            .is_none_or(|effect| effect.is_empty() || effect == taint.effect);
        let key = one.key.as_deref().unwrap_or_default();
        let exists = one.operator.as_deref() == Some("Exists");
        let value = exists
            || one.value.as_deref().unwrap_or_default()
                == taint.value.as_deref().unwrap_or_default();
        effect && value && (key == taint.key || key.is_empty() && exists)
    })
}

/// The node that a pod is on, and what it takes there, unless it has ended.
fn takes(pod: &Pod) -> Option<(&str, Amount)> {
    if pod_has_ended(pod) {
        return None;
    }
    let spec = pod.spec.as_ref()?;
    Some((spec.node_name.as_deref()?, Amount::of_pod(spec)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(name: &str, cpu: &str, memory: &str, spec: &Value) -> Node {
        let node = json!({
            "metadata": { "name": name, "labels": { "zone": name } }, "spec": spec,
            "status": {
                "allocatable": { "cpu": cpu, "memory": memory, "pods": "4" },
                "conditions": [{ "type": "Ready", "status": "True" }],
            },
        });
        serde_json::from_value(node).unwrap()
    }

    fn pod(cpu: &str, memory: &str) -> PodSpec {
        let requests = json!({ "requests": { "cpu": cpu, "memory": memory } });
        serde_json::from_value(json!({ "containers": [{ "name": "a", "resources": requests }] }))
            .unwrap()
    }

    fn capacity(nodes: Vec<Node>) -> Capacity {
        Capacity::from_nodes(nodes, &HashMap::new(), true)
    }

    fn placed(capacity: &Capacity, pod: &PodSpec, count: u32) -> u32 {
        capacity.place(&[Wanted { pod, count }])[0]
    }

    #[test]
    fn pods_are_placed_whole_on_one_node_each() {
        // Five processors are left in all, but no node has three.
        let two = capacity(vec![
            node("a", "2500m", "8Gi", &json!({})),
            node("b", "2500m", "8Gi", &json!({})),
        ]);
        assert_eq!(placed(&two, &pod("3", "1Gi"), 1), 0);
        assert_eq!(placed(&two, &pod("2", "1Gi"), 9), 2);
        assert_eq!(placed(&two, &pod("100m", "5Gi"), 9), 2, "memory");
        assert_eq!(placed(&two, &pod("0", "0"), 9), 8, "pods a node");
    }

    #[test]
    fn large_pods_are_placed_before_small_ones_fill_the_gaps() {
        let one = capacity(vec![node("a", "4", "8Gi", &json!({}))]);
        let (small, large) = (pod("1", "1Gi"), pod("3", "1Gi"));
        let wanted = [
            Wanted {
                pod: &small,
                count: 3,
            },
            Wanted {
                pod: &large,
                count: 1,
            },
        ];
        assert_eq!(one.place(&wanted), [1, 1]);
    }

    #[test]
    fn what_runs_already_is_taken_off_and_what_has_ended_is_not() {
        let running = |phase: &str| -> Pod {
            let pod = json!({ "spec": pod("1", "1Gi"), "status": { "phase": phase } });
            let mut pod: Pod = serde_json::from_value(pod).unwrap();
            pod.spec.as_mut().unwrap().node_name = Some("a".to_owned());
            pod
        };
        assert!(takes(&running("Succeeded")).is_none());
        let pod_that_runs = running("Running");
        let (name, amount) = takes(&pod_that_runs).unwrap();
        let used = HashMap::from([(name.to_owned(), (amount, 1))]);
        let capacity = Capacity::from_nodes(vec![node("a", "2", "8Gi", &json!({}))], &used, true);
        assert_eq!(placed(&capacity, &pod("1", "1Gi"), 9), 1);
        assert_eq!(capacity.freest_node(), Some(("a", Quantity::whole(1))));
    }

    #[test]
    fn cordoned_tainted_and_unready_nodes_take_no_pods_that_do_not_ask_for_them() {
        let taint = json!({ "taints": [{ "key": "infra", "effect": "NoSchedule" }] });
        let wish = json!({ "taints": [{ "key": "infra", "effect": "PreferNoSchedule" }] });
        let mut unready = node("d", "4", "8Gi", &json!({}));
        unready.status = None;
        let one = |node| placed(&capacity(vec![node]), &pod("1", "1Gi"), 1);
        assert_eq!(
            one(node("a", "4", "8Gi", &json!({ "unschedulable": true }))),
            0
        );
        assert_eq!(one(node("b", "4", "8Gi", &taint)), 0);
        assert_eq!(one(node("c", "4", "8Gi", &wish)), 1);
        assert_eq!(one(unready), 0);
        let mut tolerant = pod("1", "1Gi");
        let toleration = json!([{ "key": "infra", "operator": "Exists" }]);
        tolerant.tolerations = serde_json::from_value(toleration).unwrap();
        let tainted = capacity(vec![node("b", "4", "8Gi", &taint)]);
        assert_eq!(placed(&tainted, &tolerant, 1), 1);
        tolerant.node_selector = Some([("zone".to_owned(), "elsewhere".to_owned())].into());
        assert_eq!(placed(&tainted, &tolerant, 1), 0);
    }

    #[test]
    fn a_pod_asks_for_its_containers_together_or_the_largest_before_them() {
        let of = |value: Value| Amount::of_pod(&serde_json::from_value(value).unwrap());
        let resources = |kind: &str, cpu: &str| json!({ kind: { "cpu": cpu, "memory": "1Gi" } });
        let amount = of(json!({
            "containers": [
                { "name": "a", "resources": resources("requests", "250m") },
                { "name": "b", "resources": resources("limits", "1") },
                { "name": "c" },
            ],
            "initContainers": [{ "name": "i", "resources": resources("requests", "2") }],
        }));
        assert_eq!(amount.cpu, Quantity::whole(2));
        assert_eq!(amount.memory, "2Gi".parse().unwrap());
        assert_eq!(amount.times(3).cpu, Quantity::whole(6));
    }
}
