//! How long retraining takes with so many training pods, and what those need.

use jiff::Timestamp;
use serde::Serialize;
use wa_common::assistant::Instance;
use wa_common::cluster::{Cluster, Quantity};

use crate::capacity::{Amount, Capacity, Wanted};
use crate::component::Component;
use crate::error::RetrainError;
use crate::etcd::Etcd;
use crate::formula;
use crate::workload::Workload;

/// So many models are retrained by hand sooner than the job is set up.
const HANDFUL: u64 = 5;
/// What the training of one model by hand needs on one node.
const PROCESSORS_FOR_ONE: Quantity = Quantity::whole(4);
/// From so many training pods on, IBM's wait between batches would be 0 or less.
pub const PODS_WITHOUT_WAIT: u32 = 30;

/// An estimate.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// How many workspaces are trained.
    pub workspaces: u64,
    /// One for each number of training pods, the fewest first.
    pub rows: Vec<Row>,
    /// What a training pod asks for; absent without a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training_pod: Option<Request>,
    /// What the user should know.
    pub notes: Vec<String>,
}

/// The estimate for one number of training pods.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The training pods.
    pub training_pods: u32,
    /// Whether that is how many there are now.
    pub current: bool,
    /// How long the job takes; absent without training pods.
    pub duration_seconds: Option<u64>,
    /// When it would be done if it started now.
    pub done: Option<Timestamp>,
    /// The replicas of each component.
    pub replicas: Vec<Replicas>,
    /// What the training pods ask for together; absent without a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests: Option<Request>,
    /// Whether the nodes have room for the training pods; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub has_room: Option<bool>,
}

/// The replicas of one component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Replicas {
    /// The component.
    pub component: Component,
    /// Its replicas.
    pub replicas: u32,
}

/// What pods ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Thousandths of a processor.
    pub cpu_millis: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

impl From<Amount> for Request {
    fn from(amount: Amount) -> Self {
        Self {
            cpu_millis: amount.cpu.thousandths(),
            memory_bytes: amount.memory.bytes(),
        }
    }
}

/// How many workspaces an instance has, and which pod says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The number.
    pub workspaces: u64,
    /// The pod.
    pub pod: String,
    /// Where they are in etcd.
    pub prefix: String,
}

impl Counted {
    /// Counts them.
    pub async fn read(cluster: &Cluster, instance: &Instance) -> Result<Self, RetrainError> {
        let etcd = Etcd::find(cluster, instance).await?;
        Ok(Self {
            workspaces: etcd.count_workspaces(cluster).await?,
            pod: etcd.pod().to_owned(),
            prefix: etcd.prefix().to_owned(),
        })
    }
}

/// What an estimate takes from the cluster beside the number of workspaces.
#[derive(Debug, Clone)]
pub struct Present {
    training: Workload,
    /// `None` where the user may not see the nodes.
    capacity: Option<Capacity>,
}

impl Present {
    /// Looks at the training pods and the nodes.
    pub async fn read(cluster: &Cluster, instance: &Instance) -> Result<Self, RetrainError> {
        Ok(Self {
            training: Workload::read(cluster, instance, Component::Training).await?,
            capacity: Capacity::read(cluster).await?,
        })
    }
}

impl Estimate {
    /// For each of `pods`, seen from `now`; with a cluster, for its present training pods too.
    pub fn new(workspaces: u64, pods: &[u32], present: Option<&Present>, now: Timestamp) -> Self {
        let mut estimate = Self {
            workspaces,
            rows: Vec::new(),
            training_pod: present.map(|present| Amount::of_pod(&present.training.pod).into()),
            notes: Vec::new(),
        };
        if workspaces == 0 {
            return estimate;
        }
        let current = present.map(|present| present.training.replicas);
        let mut pods: Vec<u32> = pods.iter().copied().chain(current).collect();
        pods.sort_unstable();
        pods.dedup();
        let row = |pods| Row::new(workspaces, pods, present, now);
        estimate.rows = pods.iter().copied().map(row).collect();
        estimate.notes = notes(workspaces, &pods, present);
        estimate
    }
}

impl Row {
    fn new(workspaces: u64, pods: u32, present: Option<&Present>, now: Timestamp) -> Self {
        let duration = formula::duration(workspaces, pods);
        let current = present.map(|present| present.training.replicas);
        Self {
            training_pods: pods,
            current: current == Some(pods),
            duration_seconds: duration.map(|duration| duration.as_secs()),
            done: duration.and_then(|duration| now.checked_add(duration).ok()),
            replicas: Component::ALL
                .map(|component| Replicas {
                    component,
                    replicas: component.replicas(pods),
                })
                .into(),
            requests: present
                .map(|present| Amount::of_pod(&present.training.pod).times(pods).into()),
            has_room: present.and_then(|present| present.has_room_for(pods)),
        }
    }
}

impl Present {
    /// Whether the nodes have room for those training pods that are not there yet.
    fn has_room_for(&self, pods: u32) -> Option<bool> {
        let count = pods.saturating_sub(self.training.replicas);
        let wanted = Wanted {
            pod: &self.training.pod,
            count,
        };
        let placed = self.capacity.as_ref()?.place(&[wanted]);
        Some(placed == [count])
    }
}

fn notes(workspaces: u64, pods: &[u32], present: Option<&Present>) -> Vec<String> {
    let mut notes = Vec::new();
    if workspaces <= HANDFUL {
        notes.push(by_hand(present));
    }
    if pods.contains(&0) {
        notes.push("no training pod is to run now: with 0 replicas nothing is trained".to_owned());
    }
    if pods.iter().any(|pods| *pods >= PODS_WITHOUT_WAIT) {
        notes.push(format!(
            "from {PODS_WITHOUT_WAIT} training pods on, the wait between batches, 60 - 2 x pods, would be 0 s or less; it is set to 1 s"
        ));
    }
    match present.map(|present| &present.capacity) {
        Some(None) => notes.push(
            "you may not list nodes, so whether they have room is not known".to_owned(),
        ),
        Some(Some(capacity)) if !capacity.others_counted => notes.push(
            "you may not list the pods of all namespaces, so what they ask for is not taken off the nodes".to_owned(),
        ),
        _ => {}
    }
    notes
}

/// IBM's page: under ten minutes a model, one after the other, and one node with four processors to spare.
fn by_hand(present: Option<&Present>) -> String {
    let advice = "for a handful of models the manual way is simpler: in quiet hours, open each skill once, one at a time; \
                  each trains in under ten minutes. An unresponsive one is woken by adding an intent and removing it again. \
                  Needed is one node with 4 free CPUs";
    let capacity = present.and_then(|present| present.capacity.as_ref());
    let Some(capacity) = capacity else {
        return advice.to_owned();
    };
    match capacity.freest_node() {
        Some((node, free)) if free >= PROCESSORS_FOR_ONE => {
            format!("{advice}: {node} has {}", processors(free.thousandths()))
        }
        Some((node, free)) => format!(
            "{advice}, and none has: the freest is {node} with {}",
            processors(free.thousandths())
        ),
        None => format!("{advice}, and no node takes pods"),
    }
}

/// Processors as people write them: `4`, `2.5`.
pub fn processors(thousandths: u64) -> String {
    let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        "2026-12-01T22:00:00Z".parse().unwrap()
    }

    fn present(replicas: u32) -> Present {
        Present {
            training: Workload {
                name: "wa-clu-training".to_owned(),
                replicas,
                pod: serde_json::from_value(serde_json::json!({ "containers": [
                    { "name": "a", "resources": { "requests": { "cpu": "1500m", "memory": "2Gi" } } },
                ] }))
                .unwrap(),
            },
            capacity: Some(Capacity::default()),
        }
    }

    #[test]
    fn each_number_of_pods_has_a_row_and_the_present_one_is_marked() {
        let estimate = Estimate::new(1000, &[10, 5], Some(&present(3)), now());
        let rows: Vec<_> = estimate
            .rows
            .iter()
            .map(|row| (row.training_pods, row.current, row.duration_seconds))
            .collect();
        assert_eq!(
            rows,
            [
                (3, true, Some(12_000)),
                (5, false, Some(8_000)),
                (10, false, Some(5_000))
            ]
        );
        assert_eq!(estimate.rows[0].done, "2026-12-02T01:20:00Z".parse().ok());
        let requests = estimate.rows[2].requests.unwrap();
        assert_eq!(
            (requests.cpu_millis, requests.memory_bytes),
            (15_000, 20 << 30)
        );
        // There is no node at all: what runs needs none, one more does.
        let room: Vec<_> = estimate.rows.iter().map(|row| row.has_room).collect();
        assert_eq!(room, [Some(true), Some(false), Some(false)]);
    }

    #[test]
    fn a_number_that_is_asked_for_and_present_has_one_row() {
        let estimate = Estimate::new(1000, &[5, 5], Some(&present(5)), now());
        assert_eq!(estimate.rows.len(), 1);
        assert!(estimate.rows[0].current);
    }

    #[test]
    fn without_training_pods_the_present_row_has_no_duration() {
        let estimate = Estimate::new(1000, &[5], Some(&present(0)), now());
        assert_eq!(estimate.rows[0].duration_seconds, None);
        assert!(estimate.notes[0].contains("nothing is trained"));
    }

    #[test]
    fn zero_workspaces_have_no_rows_and_no_advice() {
        let estimate = Estimate::new(0, &[5], Some(&present(1)), now());
        assert!(estimate.rows.is_empty() && estimate.notes.is_empty());
    }

    #[test]
    fn a_handful_is_advised_to_be_trained_by_hand_and_more_are_not() {
        let notes = |workspaces| Estimate::new(workspaces, &[5], None, now()).notes;
        assert!(notes(5)[0].contains("manual way is simpler"));
        assert!(notes(6).is_empty());
        let with_nodes = Estimate::new(2, &[5], Some(&present(1)), now()).notes;
        assert!(
            with_nodes[0].ends_with("no node takes pods"),
            "{with_nodes:?}"
        );
    }

    #[test]
    fn processors_have_no_needless_zeros() {
        assert_eq!(
            [0, 4000, 2500, 125].map(processors),
            ["0", "4", "2.5", "0.125"]
        );
    }
}
