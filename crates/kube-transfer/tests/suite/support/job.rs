//! Containers that run jobs, and a look at what a job leaves in its directory.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use kube_transfer::{
    TransferOptions,
    job::{EndedJob, JobDirectory, JobError, JobLog, JobState, LogPart, RunningJob},
};
use rustix::process::Pid;
use tempfile::TempDir;
use tokio::time::{Duration, sleep};

use super::{
    ApiServer, Behaviour, Choice, Pod, Subprotocol, Tools, end_of_session, handle, shells, tools,
};

/// What jobs need, and what the programs in the tests do.
const PROGRAMS: [&str; 18] = [
    "sh",
    "tee",
    "sleep",
    "sha256sum",
    "head",
    "mkdir",
    "mv",
    "rm",
    "rmdir",
    "setsid",
    "tail",
    "stat",
    "cat",
    "ls",
    "true",
    "printf",
    "touch",
    "env",
];

/// A container for each shell, whose `sh` it is throughout.
pub(crate) fn containers() -> Vec<Tools> {
    let containers = shells().into_iter().filter_map(|shell| {
        if shell[0] == "busybox" {
            return tools(&["busybox"]);
        }
        let tools = tools(&PROGRAMS)?;
        tools.link("sh", &shell[0]);
        Some(tools)
    });
    containers.collect()
}

/// A place for a job in a pod.
pub(crate) struct Place {
    parent: TempDir,
    server: ApiServer,
    pod: Pod,
}

impl Place {
    pub(crate) async fn new(pod: Pod) -> Self {
        Self::with(Behaviour::Run(Subprotocol::V5, pod.clone()), pod).await
    }

    /// One whose requests go wrong as `choice` says, beginning with the pod as it is.
    pub(crate) async fn choosing(pod: Pod, choice: Choice) -> Self {
        Self::with(Behaviour::Choose(Subprotocol::V5, choice), pod).await
    }

    async fn with(behaviour: Behaviour, pod: Pod) -> Self {
        Self {
            parent: TempDir::new().expect("a directory"),
            server: ApiServer::start(behaviour).await,
            pod,
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.parent.path().join("a job\n$(x) *")
    }

    pub(crate) fn parent(&self) -> &Path {
        self.parent.path()
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.server.requests()
    }

    pub(crate) fn directory(&self) -> JobDirectory {
        directory(&self.server, &self.path())
    }

    /// Over a line without faults.
    pub(crate) async fn state(&self) -> JobState {
        let server = ApiServer::start(Behaviour::Run(Subprotocol::V5, self.pod.clone())).await;
        let state = directory(&server, &self.path()).status().await;
        state.expect("a state")
    }

    /// Waits for the end of the job.
    pub(crate) async fn ended(&self) -> EndedJob {
        loop {
            match self.directory().status().await {
                Ok(JobState::Running(_) | JobState::Starting) => {
                    sleep(Duration::from_millis(50)).await;
                }
                Ok(JobState::Ended(job)) => return job,
                other => panic!("{other:?}"),
            }
        }
    }

    /// Waits for the end of what was begun over a line that broke.
    pub(crate) async fn settled(&self) {
        self.pod.node.is_clean().await;
    }

    /// Stops the job, over a line without faults.
    pub(crate) async fn stop(&self, job: RunningJob) {
        let state = job.stop(Duration::from_mins(1)).await.expect("stopped");
        assert!(matches!(state, JobState::Ended(_)), "{state:?}");
    }

    /// The content of a file in the job's directory.
    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path().join(name)).expect("a file")
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), content).expect("mine");
    }

    /// The words of the record: format, number, start, start of process 1, container.
    pub(crate) fn record(&self) -> Vec<String> {
        let record = String::from_utf8(self.file("state")).expect("UTF-8");
        record.split_whitespace().map(ToOwned::to_owned).collect()
    }

    pub(crate) fn wrapper(&self) -> Pid {
        let number = self.record()[1].parse().expect("a number");
        Pid::from_raw(number).expect("a process")
    }

    /// The wrapper has ended as it must, with all that was its own, and no exec has left anything.
    pub(crate) async fn is_clean(&self) {
        self.is_clean_after(self.wrapper()).await;
    }

    pub(crate) async fn is_clean_after(&self, wrapper: Pid) {
        assert_eq!(end_of_session(wrapper).await, 0, "process 1 is PostgreSQL");
        self.pod.node.is_clean().await;
    }
}

/// A file system of its own at `/mnt` of containers.
pub(crate) struct Disk(Child);

impl Disk {
    /// One of so many KiB, on which `prepare` was run; `None`, and a message, where this user may not have one.
    pub(crate) fn new(kibibytes: u32, prepare: &str) -> Option<Self> {
        let script = format!(
            "mount -t tmpfs -o size={kibibytes}k tmpfs /mnt && {{ {prepare}; echo ready; exec sleep 1000; }}"
        );
        let mut holder = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", &script])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut answer = String::new();
        let output = holder.stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut answer).expect("text");
        let disk = Self(holder);
        if answer != "ready\n" {
            println!("skipped: this user cannot mount a file system");
            return None;
        }
        Some(disk)
    }

    /// `pod`, with this disk.
    pub(crate) fn pod(&self, pod: &Pod) -> Pod {
        let holder = self.0.id().to_string();
        let enter = [
            "/usr/bin/nsenter",
            "--user",
            "--mount",
            "--preserve-credentials",
        ];
        let enter = enter.into_iter().chain(["--target", &holder, "--"]);
        Pod {
            shell: enter
                .map(ToOwned::to_owned)
                .chain(pod.shell.clone())
                .collect(),
            ..pod.clone()
        }
    }

    /// Where this process sees it.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/proc")
            .join(self.0.id().to_string())
            .join("root/mnt")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn directory(server: &ApiServer, path: &Path) -> JobDirectory {
    let path = path.to_str().expect("UTF-8");
    handle(&server.client(), &TransferOptions::default())
        .job(path)
        .expect("a path")
}

/// All of a log from where it is, and the state at its end; over a line that may break.
pub(crate) async fn rest(log: &mut JobLog) -> Result<(Vec<u8>, JobState), JobError> {
    let mut read = Vec::new();
    loop {
        match log.next().await {
            Ok(LogPart::Data(data)) => read.extend(data),
            Ok(LogPart::End(state)) => return Ok((read, state)),
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error),
        }
    }
}
