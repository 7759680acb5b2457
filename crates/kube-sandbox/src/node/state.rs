//! What the node knows about a pod it runs; `status` turns it into the pod's `.status`.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::{
    container::Container,
    logs::LogFile,
    registration::Machine,
    spec::{ContainerSpec, Pod},
};

/// A pod on the node, shared by its life cycle, exec and logs.
pub(super) struct PodRuntime {
    pub(super) pod: Pod,
    pub(super) ip: String,
    machine: OnceLock<&'static Machine>,
    state: Mutex<PodState>,
}

/// Everything that changes while a pod lives.
#[derive(Default)]
pub(super) struct PodState {
    /// When the kubelet took the pod on; RFC 3339.
    pub(super) started_at: Option<String>,
    /// Whether volumes and network are there.
    pub(super) sandbox_ready: bool,
    /// Set when the node ended the pod itself: reason and message.
    pub(super) ended_by_node: Option<(&'static str, String)>,
    pub(super) init: Vec<Record>,
    pub(super) main: Vec<Record>,
}

/// One container of a pod through all its restarts.
#[derive(Clone)]
pub(super) struct Record {
    pub(super) spec: ContainerSpec,
    pub(super) phase: ContainerPhase,
    pub(super) last: Option<Terminated>,
    pub(super) restart_count: u32,
    pub(super) ready: bool,
    pub(super) image_id: String,
    pub(super) container: Option<Arc<Container>>,
    pub(super) log: Option<LogFile>,
    pub(super) previous_log: Option<LogFile>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ContainerPhase {
    Waiting {
        reason: &'static str,
        message: Option<String>,
    },
    Running {
        started_at: String,
    },
    Terminated(Terminated),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terminated {
    pub(super) exit_code: i32,
    pub(super) reason: &'static str,
    pub(super) message: Option<String>,
    pub(super) started_at: String,
    pub(super) finished_at: String,
    pub(super) container_id: String,
}

/// Which container of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Init(usize),
    Main(usize),
}

impl PodRuntime {
    pub(super) fn new(pod: Pod, ip: String) -> Self {
        let record = |spec: &ContainerSpec, reason| Record {
            spec: spec.clone(),
            phase: ContainerPhase::Waiting {
                reason,
                message: None,
            },
            last: None,
            restart_count: 0,
            ready: false,
            image_id: String::new(),
            container: None,
            log: None,
            previous_log: None,
        };
        let waits_for = if pod.spec.init_containers.is_empty() {
            "ContainerCreating"
        } else {
            "PodInitializing"
        };
        let init = pod
            .spec
            .init_containers
            .iter()
            .map(|spec| record(spec, "PodInitializing"));
        let main = pod
            .spec
            .containers
            .iter()
            .map(|spec| record(spec, waits_for));
        let state = PodState {
            init: init.collect(),
            main: main.collect(),
            ..PodState::default()
        };
        Self {
            pod,
            ip,
            machine: OnceLock::new(),
            state: Mutex::new(state),
        }
    }

    /// Notes where the pod runs, which never changes.
    pub(super) fn place(&self, machine: &'static Machine) {
        self.machine.get_or_init(|| machine);
    }

    /// Where the pod runs, once that is decided.
    pub(super) fn machine(&self) -> Option<&'static Machine> {
        self.machine.get().copied()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, PodState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The container of that name, as it is now.
    pub(super) fn record(&self, name: &str) -> Option<Record> {
        let state = self.state();
        let mut records = state.main.iter().chain(&state.init);
        records.find(|record| record.spec.name == name).cloned()
    }
}

impl PodState {
    pub(super) fn slot(&mut self, slot: Slot) -> &mut Record {
        match slot {
            Slot::Init(index) => &mut self.init[index],
            Slot::Main(index) => &mut self.main[index],
        }
    }

    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.init.iter().chain(&self.main)
    }

    pub(super) fn records_mut(&mut self) -> impl Iterator<Item = &mut Record> {
        self.init.iter_mut().chain(&mut self.main)
    }
}

impl Record {
    /// The containerd name of the container that runs or ran last.
    pub(super) fn container_id(&self) -> Option<String> {
        let container = self.container.as_ref()?;
        Some(format!("containerd://{}", container.config().id))
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.phase, ContainerPhase::Running { .. })
    }

    /// Notes the end of the container that is running.
    pub(super) fn terminate(&mut self, exit_code: i32, finished_at: String) {
        let ContainerPhase::Running { started_at } = &self.phase else {
            return;
        };
        self.phase = ContainerPhase::Terminated(Terminated {
            exit_code,
            reason: if exit_code == 0 { "Completed" } else { "Error" },
            message: None,
            started_at: started_at.clone(),
            finished_at,
            container_id: self.container_id().unwrap_or_default(),
        });
        self.ready = false;
    }
}
