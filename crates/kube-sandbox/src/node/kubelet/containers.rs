//! Running one container of a pod: pull, configure, start, probe, and start again.

use std::{convert::Infallible, path::PathBuf, sync::Arc, time::Duration};

use futures::future;

use super::{
    super::{
        Image, Mount,
        container::{Container, ContainerConfig, StartError},
        environment,
        events::Severity,
        exec::{self, ExecRequest},
        logs::LogFile,
        spec::{ContainerSpec, Probe, RestartPolicy},
        state::{ContainerPhase, Slot},
        volumes,
    },
    RETRY, Worker, waiting,
};
use crate::meta::object;

const FIRST_BACK_OFF: Duration = Duration::from_millis(250);
const LONGEST_BACK_OFF: Duration = Duration::from_secs(5);
/// Between two readiness probes before the first success.
const FIRST_PROBES: Duration = Duration::from_millis(100);
const DEFAULT_PROBE_PERIOD: Duration = Duration::from_secs(10);

/// How one run of a container went.
enum Run {
    Ended(i32),
    /// It could not be started; the reason is in its status already.
    NotStarted,
}

impl Worker {
    /// Runs an init container until it succeeds; false when it failed for good.
    pub(super) async fn initialize(&self, slot: Slot) -> bool {
        let policy = match self.pod().spec.restart_policy {
            RestartPolicy::Always => RestartPolicy::OnFailure,
            policy => policy,
        };
        self.run_until_done(slot, policy).await == 0
    }

    pub(super) async fn supervise(&self, slot: Slot) {
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
        let path = config.state_directory.join("0.log");
        let largest_bytes = Arc::clone(&self.node.log_file_bytes);
        let log = match LogFile::record(path, output, largest_bytes).await {
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
    async fn pull(&self, slot: Slot, spec: &ContainerSpec) -> Image {
        let reference = &spec.image;
        let mut back_off = FIRST_BACK_OFF;
        loop {
            if let Some(image) = self.node.image(reference) {
                let message = format!("Container image {reference:?} already present on machine");
                self.event(Some(&spec.name), Severity::Normal, "Pulled", &message);
                self.runtime.state().slot(slot).image_id = image.digest();
                return image;
            }
            if let Some((event, reason, message)) = hopeless(spec) {
                let name = Some(spec.name.as_str());
                self.event(name, Severity::Warning, event, &message);
                let error = format!("Error: {reason}");
                self.event(name, Severity::Warning, "Failed", &error);
                self.wait_in(slot, reason, message);
                tokio::time::sleep(LONGEST_BACK_OFF).await;
                continue;
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
    async fn configure(&self, slot: Slot, spec: &ContainerSpec, image: &Image) -> ContainerConfig {
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
        image: &Image,
    ) -> Result<ContainerConfig, Box<dyn std::error::Error + Send + Sync>> {
        let (node, pod) = (&self.node, self.pod());
        let environment = environment::environment(
            &node.store,
            (pod, self.machine()),
            &self.runtime.ip,
            spec,
            image,
        )?;
        let (user, group) = (pod.user(spec, image.user), pod.group(spec, image.user));
        let restarts = self.runtime.state().slot(slot).restart_count;
        let state_directory = self.directory().join(&spec.name).join(restarts.to_string());
        let etc = state_directory.join("etc");
        volumes::write_etc(
            &etc,
            &node.store,
            pod,
            &self.runtime.ip,
            image,
            (user, group),
        )?;
        let read_only_root = spec
            .security_context
            .read_only_root_filesystem
            .unwrap_or(false);

        let mut mounts = self.volumes().mounts(pod, spec)?;
        mounts.extend(image.mounts.iter().cloned());
        mounts.extend(volumes::shared_etc());
        volumes::make_mount_points(&etc, &mounts)?;
        mounts.push(Mount {
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
            in_memory: volumes::in_memory(pod, spec),
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
    async fn probe(&self, slot: Slot, container: &Container, probe: Option<&Probe>) -> Infallible {
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

/// Why it is not even tried to pull an image: reason of the event, of the container's state, and the message of both.
fn hopeless(spec: &ContainerSpec) -> Option<(&'static str, &'static str, String)> {
    let reference = &spec.image;
    let (_, name, _) = split_reference(reference);
    if name.chars().any(|character| character.is_ascii_uppercase()) {
        let message = format!(
            "Failed to apply default image tag {reference:?}: couldn't parse image name {reference:?}: invalid reference \
             format: repository name must be lowercase"
        );
        return Some(("InspectFailed", "InvalidImageName", message));
    }
    (spec.image_pull_policy.as_deref() == Some("Never")).then(|| {
        let message =
            format!("Container image {reference:?} is not present with pull policy of Never");
        ("ErrImageNeverPull", "ErrImageNeverPull", message)
    })
}

/// Registry, name and tag of an image reference, as its pull request would name them.
fn split_reference(reference: &str) -> (&str, &str, &str) {
    let (registry, rest) = reference
        .split_once('/')
        .unwrap_or(("registry-1.docker.io", reference));
    let (name, tag) = rest.rsplit_once([':', '@']).unwrap_or((rest, "latest"));
    (registry, name, tag)
}
