//! The life of one pod on the node, from scheduling to removal: what a kubelet's pod worker does.
//!
//! Left out: probes other than an exec readiness probe (a container without one is ready when it runs), life-cycle
//! hooks, sidecar and ephemeral containers, eviction. Back-offs are shorter than a real kubelet's, so that a
//! rehearsal does not wait minutes, and a readiness probe is repeated quickly until it first succeeds.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures::future;
use rustix::process::Signal;
use tokio::sync::watch;

use super::{
    Inner,
    container::{Container, ContainerConfig, StartError},
    environment,
    events::{self, Severity},
    exec::{self, ExecRequest},
    logs::LogFile,
    scheduler,
    spec::{ContainerSpec, Pod, Probe, RestartPolicy},
    state::{ContainerPhase, PodRuntime, Record, Slot},
    status,
    volumes::{self, Volumes},
};
use crate::{
    api::resources,
    store::{Object, object},
};

const FIRST_BACK_OFF: Duration = Duration::from_millis(250);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);
/// Between two tries of something another object must make possible.
const RETRY: Duration = Duration::from_millis(250);
/// Between two readiness probes before the first success.
const FIRST_PROBES: Duration = Duration::from_millis(100);
const DEFAULT_PROBE_PERIOD: Duration = Duration::from_secs(10);

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
    worker.run().await;
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
    DeadlineExceeded,
    Deleted,
}

/// A container that ended, and whether there is another run to come.
enum Run {
    Ended(i32),
    /// It could not be started; the reason is in its status already.
    NotStarted,
}

impl Worker {
    async fn run(&self) {
        let end = tokio::select! {
            () = self.live() => End::ByItself,
            () = self.deadline() => End::DeadlineExceeded,
            () = self.deletion() => End::Deleted,
        };
        if matches!(end, End::DeadlineExceeded) {
            let message = "Pod was active on the node longer than the specified deadline";
            self.event(None, Severity::Normal, "DeadlineExceeded", message);
            self.runtime.state().ended_by_node = Some(("DeadlineExceeded", message));
            self.stop(Duration::from_secs(1)).await;
            self.publish();
        }
        self.deletion().await;
        self.stop(self.grace_period()).await;
        self.publish();
        self.remove();
    }

    fn pod(&self) -> &Pod {
        &self.runtime.pod
    }

    async fn live(&self) {
        if self.pod().spec.node_name.is_none() {
            scheduler::place(&self.node.store, self.pod()).await;
        }
        self.runtime.state().started_at = Some(object::now());
        self.publish();
        self.prepare_volumes().await;
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

    async fn prepare_volumes(&self) {
        let mut reported = String::new();
        loop {
            let Err(error) = self.volumes().make(self.pod()) else {
                return;
            };
            let message = error.to_string();
            if message != reported {
                self.event(None, Severity::Warning, "FailedMount", &message);
                reported = message;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Runs an init container until it succeeds; false when it failed for good.
    async fn initialize(&self, slot: Slot) -> bool {
        let policy = match self.pod().spec.restart_policy {
            RestartPolicy::Always => RestartPolicy::OnFailure,
            policy => policy,
        };
        self.run_until_done(slot, policy).await == 0
    }

    async fn supervise(&self, slot: Slot) {
        self.run_until_done(slot, self.pod().spec.restart_policy)
            .await;
    }

    /// Runs a container again and again as the policy says; the last exit code.
    async fn run_until_done(&self, slot: Slot, policy: RestartPolicy) -> i32 {
        let mut back_off = FIRST_BACK_OFF;
        loop {
            let exit_code = match self.run_once(slot).await {
                Run::Ended(code) => code,
                Run::NotStarted => 128,
            };
            self.publish();
            if !policy.restarts_after(exit_code) {
                return exit_code;
            }
            tokio::time::sleep(FIRST_BACK_OFF).await;
            self.announce_back_off(slot, back_off);
            tokio::time::sleep(back_off).await;
            back_off = (back_off * 2).min(LONGEST_BACK_OFF);
            self.runtime.state().slot(slot).restart_count += 1;
        }
    }

    fn announce_back_off(&self, slot: Slot, back_off: Duration) {
        let metadata = &self.pod().metadata;
        let mut state = self.runtime.state();
        let record = state.slot(slot);
        let name = record.spec.name.clone();
        let pod = format!("{}_{}({})", metadata.name, metadata.namespace, metadata.uid);
        if let ContainerPhase::Terminated(end) = &record.phase {
            record.last = Some(end.clone());
        }
        let message = format!("back-off {back_off:?} restarting failed container={name} pod={pod}");
        record.phase = waiting("CrashLoopBackOff", Some(message));
        drop(state);
        self.publish();
        let message = format!("Back-off restarting failed container {name} in pod {pod}");
        self.event(Some(&name), Severity::Warning, "BackOff", &message);
    }

    async fn run_once(&self, slot: Slot) -> Run {
        let spec = self.runtime.state().slot(slot).spec.clone();
        let image = self.pull(slot, &spec).await;
        let config = self.configure(slot, &spec, &image).await;
        self.event(
            Some(&spec.name),
            Severity::Normal,
            "Created",
            &format!("Created container: {}", spec.name),
        );

        let container = match Container::start(
            &self.node.launcher,
            &self.node.programs,
            config.clone(),
        )
        .await
        {
            Ok(started) => started,
            Err(error) => {
                self.note_start_failure(slot, &config, &error);
                return Run::NotStarted;
            }
        };
        let (container, output) = (Arc::new(container.0), container.1);
        let log = match LogFile::record(config.state_directory.join("0.log"), output).await {
            Ok(log) => Some(log),
            Err(error) => {
                tracing::warn!(%error, container = spec.name, "a container has no log");
                None
            }
        };
        self.note_start(slot, &container, log.clone());
        self.event(
            Some(&spec.name),
            Severity::Normal,
            "Started",
            &format!("Started container {}", spec.name),
        );

        let exit_code = tokio::select! {
            exit_code = container.wait() => exit_code,
            never = self.probe(slot, &container, spec.readiness_probe.as_ref()) => match never {},
        };
        if let Some(log) = log {
            log.complete().await;
        }
        self.runtime
            .state()
            .slot(slot)
            .terminate(exit_code, object::now());
        Run::Ended(exit_code)
    }

    /// "Pulls" the image: waits, as long as it takes, until there is one of that name.
    async fn pull(&self, slot: Slot, spec: &ContainerSpec) -> super::Image {
        let reference = &spec.image;
        let mut back_off = FIRST_BACK_OFF;
        loop {
            if let Some(image) = self.node.image(reference) {
                let message = format!("Container image {reference:?} already present on machine");
                self.event(Some(&spec.name), Severity::Normal, "Pulled", &message);
                self.runtime.state().slot(slot).image_id = image.digest();
                return image;
            }
            let (registry, name, tag) = split_reference(reference);
            let cause = format!(
                "failed to pull and unpack image {reference:?}: failed to resolve image: failed to do request: Head \
                 \"https://{registry}/v2/{name}/manifests/{tag}\": dial tcp: lookup {registry} on 10.96.0.10:53: no such host"
            );
            let name = Some(spec.name.as_str());
            self.event(
                name,
                Severity::Normal,
                "Pulling",
                &format!("Pulling image {reference:?}"),
            );
            self.event(
                name,
                Severity::Warning,
                "Failed",
                &format!("Failed to pull image {reference:?}: {cause}"),
            );
            self.event(name, Severity::Warning, "Failed", "Error: ErrImagePull");
            self.wait_in(slot, "ErrImagePull", cause.clone());
            tokio::time::sleep(back_off).await;
            self.event(
                name,
                Severity::Normal,
                "BackOff",
                &format!("Back-off pulling image {reference:?}"),
            );
            self.event(name, Severity::Warning, "Failed", "Error: ImagePullBackOff");
            let message = format!("Back-off pulling image {reference:?}: ErrImagePull: {cause}");
            self.wait_in(slot, "ImagePullBackOff", message);
            back_off = (back_off * 2).min(LONGEST_BACK_OFF);
            tokio::time::sleep(back_off).await;
        }
    }

    /// Puts the container's configuration together; waits while something it refers to is missing.
    async fn configure(
        &self,
        slot: Slot,
        spec: &ContainerSpec,
        image: &super::Image,
    ) -> ContainerConfig {
        let mut reported = String::new();
        loop {
            let message = match self.try_configure(slot, spec, image) {
                Ok(config) => return config,
                Err(error) => error.to_string(),
            };
            if message != reported {
                self.event(
                    Some(&spec.name),
                    Severity::Warning,
                    "Failed",
                    &format!("Error: {message}"),
                );
                self.wait_in(slot, "CreateContainerConfigError", message.clone());
                reported = message;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    fn try_configure(
        &self,
        slot: Slot,
        spec: &ContainerSpec,
        image: &super::Image,
    ) -> Result<ContainerConfig, Box<dyn std::error::Error + Send + Sync>> {
        let (node, pod) = (&self.node, self.pod());
        let environment =
            environment::environment(&node.store, pod, &self.runtime.ip, spec, image)?;
        let (user, group) = (pod.user(spec, image.user), pod.group(spec, image.user));
        let restarts = self.runtime.state().slot(slot).restart_count;
        let state_directory = self.directory().join(&spec.name).join(restarts.to_string());
        let etc = state_directory.join("etc");
        volumes::write_etc(&etc, &node.store, pod, &self.runtime.ip, user, group)?;
        let read_only_root = spec
            .security_context
            .read_only_root_filesystem
            .unwrap_or(false);

        let mut mounts = self.volumes().mounts(pod, spec)?;
        mounts.extend(image.mounts.iter().cloned());
        mounts.extend(volumes::shared_etc());
        mounts.push(super::Mount {
            source: etc,
            target: PathBuf::from("/etc"),
            read_only: read_only_root,
        });
        Ok(ContainerConfig {
            id: random_id(),
            state_directory,
            hostname: pod.hostname().to_owned(),
            user,
            group,
            read_only_root,
            mounts,
            argv: environment::command_line(spec, image, &environment),
            environment,
            working_directory: spec
                .working_dir
                .clone()
                .unwrap_or_else(|| PathBuf::from("/")),
        })
    }

    fn note_start(&self, slot: Slot, container: &Arc<Container>, log: Option<LogFile>) {
        let mut state = self.runtime.state();
        let record = state.slot(slot);
        if let ContainerPhase::Terminated(end) = &record.phase {
            record.last = Some(end.clone());
        }
        record.phase = ContainerPhase::Running {
            started_at: object::now(),
        };
        record.ready = matches!(slot, Slot::Main(_))
            && exec_of(record.spec.readiness_probe.as_ref()).is_none();
        record.container = Some(Arc::clone(container));
        record.previous_log = record.log.take();
        record.log = log;
        drop(state);
        self.publish();
    }

    fn note_start_failure(&self, slot: Slot, config: &ContainerConfig, error: &StartError) {
        let program = config.argv.first().map_or("", String::as_str);
        let message = format!(
            "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: \
             unable to start container process: error during container init: exec: {program:?}: {error}"
        );
        let now = object::now();
        let mut state = self.runtime.state();
        let record = state.slot(slot);
        record.phase = ContainerPhase::Running {
            started_at: "1970-01-01T00:00:00Z".to_owned(),
        };
        record.terminate(128, now);
        if let ContainerPhase::Terminated(end) = &mut record.phase {
            end.reason = "StartError";
            end.message = Some(message.clone());
            end.container_id = format!("containerd://{}", config.id);
        }
        let name = record.spec.name.clone();
        drop(state);
        self.event(
            Some(&name),
            Severity::Warning,
            "Failed",
            &format!("Error: {message}"),
        );
    }

    /// Keeps a container's readiness up to date; without a probe there is nothing to do.
    async fn probe(
        &self,
        slot: Slot,
        container: &Container,
        probe: Option<&Probe>,
    ) -> std::convert::Infallible {
        let Some((probe, command)) = exec_of(probe) else {
            return future::pending().await;
        };
        let request = ExecRequest {
            argv: command.to_vec(),
            ..ExecRequest::default()
        };
        let period = probe
            .period_seconds
            .map_or(DEFAULT_PROBE_PERIOD, Duration::from_secs);
        tokio::time::sleep(Duration::from_secs(probe.initial_delay_seconds)).await;
        let mut was_ready = false;
        loop {
            let ready = match exec::start(
                &self.node.launcher,
                &self.node.programs,
                container,
                &request,
            )
            .await
            {
                Ok(mut process) => process.wait().await.is_ok_and(|code| code == 0),
                Err(_) => false,
            };
            if self.runtime.state().slot(slot).ready != ready {
                self.runtime.state().slot(slot).ready = ready;
                self.publish();
            }
            was_ready |= ready;
            tokio::time::sleep(if was_ready {
                period
            } else {
                FIRST_PROBES.min(period)
            })
            .await;
        }
    }

    fn wait_in(&self, slot: Slot, reason: &'static str, message: String) {
        self.runtime.state().slot(slot).phase = waiting(reason, Some(message));
        self.publish();
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

    async fn deadline(&self) {
        match self.pod().spec.active_deadline_seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => future::pending().await,
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

    fn directory(&self) -> PathBuf {
        self.node.pod_directory(self.pod())
    }

    fn volumes(&self) -> Volumes<'_> {
        Volumes {
            store: &self.node.store,
            pod_directory: self.directory(),
            persistent: &self.node.volumes,
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
                    object["status"] = status::of(&self.runtime, object);
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
            self.pod(),
            container,
            severity,
            reason,
            message,
        );
    }
}

fn waiting(reason: &'static str, message: Option<String>) -> ContainerPhase {
    ContainerPhase::Waiting { reason, message }
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

fn exec_of(probe: Option<&Probe>) -> Option<(&Probe, &[String])> {
    let probe = probe?;
    Some((probe, &probe.exec.as_ref()?.command))
}

fn random_id() -> String {
    format!(
        "{:032x}{:032x}",
        rand::random::<u128>(),
        rand::random::<u128>()
    )
}

/// Registry, name and tag of an image reference, as its pull request would name them.
fn split_reference(reference: &str) -> (&str, &str, &str) {
    let (registry, rest) = reference
        .split_once('/')
        .unwrap_or(("registry-1.docker.io", reference));
    let (name, tag) = rest.rsplit_once([':', '@']).unwrap_or((rest, "latest"));
    (registry, name, tag)
}
