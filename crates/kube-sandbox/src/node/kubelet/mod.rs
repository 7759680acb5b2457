//! The life of one pod on the node, from scheduling to removal: what a kubelet's pod worker does.
//!
//! Left out: probes other than an exec readiness probe (a container without one is ready when it runs), life-cycle
//! hooks, sidecar and ephemeral containers, pressure on the node: a pod is evicted when a volume of it has outgrown its limit,
//! and when it is given the annotation [`EVICT`]. Back-offs are shorter than a real kubelet's, so that a
//! rehearsal does not wait minutes, and a readiness probe is repeated quickly until it first succeeds.

mod containers;
mod volumes;

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures::future;
use rustix::process::Signal;
use tokio::sync::watch;

use super::{
    Inner,
    events::{self, Severity},
    pace::Pace,
    registration::{self, Machine},
    scheduler,
    spec::Pod,
    state::{ContainerPhase, PodRuntime, Record, Slot},
    status,
    volumes::{Volumes, used_bytes},
};
use crate::meta::{Object, object, resources};

/// Between two tries of something another object must make possible.
const RETRY: Duration = Duration::from_millis(250);

/// Between two looks at how much volumes with a limit hold; a real kubelet lets ten seconds pass.
const LOOK_AT_VOLUMES: Duration = Duration::from_secs(1);

/// Has the node evict the pod, as one that is short of memory does.
const EVICT: &str = "kube-sandbox/evict";

/// The stored pod as it changes; `None` once it is gone.
pub(super) type PodChanges = watch::Receiver<Option<Object>>;

/// Runs a pod until it is gone.
pub(super) async fn run(node: Arc<Inner>, pod: Pod, changes: PodChanges) {
    let ip = node.next_pod_ip();
    let runtime = Arc::new(PodRuntime::new(pod, ip));
    node.register(&runtime);
    let worker = Worker {
        node,
        runtime,
        changes,
    };
    if worker.has_ended() {
        worker.deletion().await;
        worker.remove();
    } else {
        worker.run().await;
    }
    worker.node.forget(&worker.runtime);
}

struct Worker {
    node: Arc<Inner>,
    runtime: Arc<PodRuntime>,
    changes: PodChanges,
}

/// Why a pod's life came to an end.
enum End {
    ByItself,
    /// The node has ended it: reason and message.
    ByNode(&'static str, String),
    Deleted,
}

impl Worker {
    async fn run(&self) {
        let end = tokio::select! {
            () = self.live() => End::ByItself,
            () = self.deadline() => End::ByNode(
                "DeadlineExceeded",
                "Pod was active on the node longer than the specified deadline".to_owned(),
            ),
            message = self.outgrown() => End::ByNode("Evicted", message),
            () = self.eviction() => End::ByNode(
                "Evicted",
                "The node was low on resource: memory. Threshold quantity: 100Mi, available: 60Mi. ".to_owned(),
            ),
            () = self.deletion() => End::Deleted,
        };
        let is_deleted = matches!(end, End::Deleted);
        if let End::ByNode(reason, message) = end {
            let severity = match reason {
                "Evicted" => Severity::Warning,
                _ => Severity::Normal,
            };
            self.event(None, severity, reason, &message);
            self.runtime.state().ended_by_node = Some((reason, message));
            self.stop(Duration::from_secs(1)).await;
            self.publish();
        }
        if !is_deleted {
            self.release_volumes();
        }
        self.deletion().await;
        self.linger().await;
        self.stop(self.grace_period()).await;
        self.release_volumes();
        self.publish();
        self.remove();
    }

    /// Whether the pod came with an end in its status: it is not run again, as after a restart of a kubelet.
    fn has_ended(&self) -> bool {
        let object = self.changes.borrow();
        let phase = object
            .as_ref()
            .and_then(|pod| pod["status"]["phase"].as_str());
        matches!(phase, Some("Succeeded" | "Failed"))
    }

    fn pod(&self) -> &Pod {
        &self.runtime.pod
    }

    async fn live(&self) {
        let machine = match &self.pod().spec.node_name {
            None => scheduler::place(&self.node.store, &self.node.scheduling, self.pod()).await,
            // Without a kubelet of that name the pod stays as it is.
            Some(name) => match registration::machine(name) {
                Some(machine) => machine,
                None => future::pending().await,
            },
        };
        self.runtime.place(machine);
        self.runtime.state().started_at = Some(object::now());
        self.publish();
        self.prepare_volumes().await;
        tokio::time::sleep(self.pace().start).await;
        self.runtime.state().sandbox_ready = true;
        self.publish();
        for index in 0..self.pod().spec.init_containers.len() {
            if !self.initialize(Slot::Init(index)).await {
                self.publish();
                return;
            }
        }
        if !self.pod().spec.init_containers.is_empty() {
            for record in &mut self.runtime.state().main {
                record.phase = waiting("ContainerCreating", None);
            }
        }
        let containers =
            (0..self.pod().spec.containers.len()).map(|index| self.supervise(Slot::Main(index)));
        future::join_all(containers).await;
    }

    fn pace(&self) -> Pace {
        self.node.paces.pace(&self.pod().metadata.labels)
    }

    /// Lets a pod that stops slowly run on, within its grace period.
    async fn linger(&self) {
        let mut changes = self.changes.clone();
        let is_forced = |object: &Option<Object>| {
            let grace = |object: &Object| {
                object["metadata"]["deletionGracePeriodSeconds"]
                    .as_u64()
                    .unwrap_or_default()
            };
            object.as_ref().is_none_or(|object| grace(object) == 0)
        };
        tokio::select! {
            () = tokio::time::sleep(self.pace().stop.min(self.grace_period())) => {}
            _ = changes.wait_for(is_forced) => {}
        }
    }

    /// Ends what still runs: asks, waits for the grace period, kills. A forced deletion meanwhile shortens it.
    async fn stop(&self, grace: Duration) {
        let running: Vec<_> = self
            .runtime
            .state()
            .records()
            .filter(|record| record.is_running())
            .cloned()
            .collect();
        if running.is_empty() {
            return;
        }
        for record in &running {
            let message = format!("Stopping container {}", record.spec.name);
            self.event(
                Some(&record.spec.name),
                Severity::Normal,
                "Killing",
                &message,
            );
            signal(record, Signal::TERM);
        }
        let ends = || future::join_all(running.iter().map(wait));
        tokio::select! {
            _ = ends() => {}
            () = tokio::time::sleep(grace) => {}
            () = self.forced() => {}
        }
        for record in &running {
            signal(record, Signal::KILL);
        }
        let exit_codes = ends().await;
        let mut state = self.runtime.state();
        let records = state.records_mut().filter(|record| record.is_running());
        for (record, exit_code) in records.zip(exit_codes) {
            record.terminate(exit_code, object::now());
        }
    }

    /// Ends when somebody has asked for the pod's deletion, or it is gone already.
    async fn deletion(&self) {
        let mut changes = self.changes.clone();
        let deleted =
            |object: &Option<Object>| object.as_deref().is_none_or(object::is_terminating);
        // An error means the node is stopping, which is the end as well.
        let _ = changes.wait_for(deleted).await;
    }

    /// Ends when the pod is gone from the API although its containers run.
    async fn forced(&self) {
        let _ = self.changes.clone().wait_for(Option::is_none).await;
    }

    async fn eviction(&self) {
        let evicted = |object: &Option<Object>| {
            object
                .as_ref()
                .is_some_and(|object| object["metadata"]["annotations"].get(EVICT).is_some())
        };
        if self.changes.clone().wait_for(evicted).await.is_err() {
            future::pending::<()>().await;
        }
    }

    async fn deadline(&self) {
        let Some(seconds) = self.pod().spec.active_deadline_seconds else {
            return future::pending().await;
        };
        let has_started = |object: &Option<Object>| {
            object
                .as_deref()
                .is_some_and(|object| object["status"]["startTime"].is_string())
        };
        if self.changes.clone().wait_for(has_started).await.is_err() {
            return future::pending().await;
        }
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    /// Ends when a volume holds more than it may, with what the kubelet says of it.
    async fn outgrown(&self) -> String {
        let limited = self.volumes().limited(self.pod());
        if limited.is_empty() {
            return future::pending().await;
        }
        loop {
            tokio::time::sleep(LOOK_AT_VOLUMES).await;
            for (volume, directory, bytes, limit) in &limited {
                if used_bytes(directory) > *bytes {
                    return format!(
                        "Usage of EmptyDir volume {volume:?} exceeds the limit {limit:?}. "
                    );
                }
            }
        }
    }

    fn grace_period(&self) -> Duration {
        let seconds = match &*self.changes.borrow() {
            Some(object) => object["metadata"]["deletionGracePeriodSeconds"]
                .as_u64()
                .unwrap_or(30),
            None => 0,
        };
        Duration::from_secs(seconds)
    }

    /// The machine that runs the pod.
    fn machine(&self) -> &'static Machine {
        // Nothing of a pod that has not been placed depends on it.
        self.runtime.machine().unwrap_or(&registration::MACHINES[0])
    }

    fn directory(&self) -> PathBuf {
        self.node.pod_directory(self.pod())
    }

    fn volumes(&self) -> Volumes<'_> {
        Volumes {
            store: &self.node.store,
            pod_directory: self.directory(),
            disks: &self.node.disks,
            host: self.node.host_directory(self.machine().name),
        }
    }

    /// Writes the pod's status to the API, unless another pod has its name by now.
    fn publish(&self) {
        let metadata = &self.pod().metadata;
        let result = self.node.store.modify(
            &resources::PODS,
            &metadata.namespace,
            &metadata.name,
            |object| {
                if object::uid(object) == metadata.uid {
                    object["status"] = status::pod_status(&self.runtime, object);
                }
            },
        );
        if let Err(gone) = result {
            tracing::debug!(pod = metadata.name, %gone, "no pod to report the status of");
        }
    }

    fn remove(&self) {
        let metadata = &self.pod().metadata;
        let is_this = |object: &Object| object::uid(object) == metadata.uid;
        let store = &self.node.store;
        if store
            .get(&resources::PODS, &metadata.namespace, &metadata.name)
            .is_ok_and(|object| is_this(&object))
        {
            // Somebody else may have removed it in between; gone is gone.
            let _ = store.remove(&resources::PODS, &metadata.namespace, &metadata.name);
        }
        if let Err(error) = std::fs::remove_dir_all(self.directory()) {
            tracing::debug!(%error, pod = metadata.name, "nothing of the pod to remove");
        }
    }

    fn event(&self, container: Option<&str>, severity: Severity, reason: &str, message: &str) {
        events::from_kubelet(
            &self.node.store,
            (self.pod(), self.machine()),
            container,
            severity,
            reason,
            message,
        );
    }
}

fn signal(record: &Record, signal: Signal) {
    if let Some(container) = &record.container {
        container.signal(signal);
    }
}

async fn wait(record: &Record) -> i32 {
    match &record.container {
        Some(container) => container.wait().await,
        None => 0,
    }
}

fn waiting(reason: &'static str, message: Option<String>) -> ContainerPhase {
    ContainerPhase::Waiting { reason, message }
}
