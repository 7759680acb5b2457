//! The Portworx daemon of each node: answers the calls of `pxctl` and mounts volumes in its pod.
//!
//! A call is a directory with the arguments; its name comes through a named pipe, the door. Mounting by hand is a real
//! bind mount in the mount namespace of the Portworx container, so that files, `cp` and a busy unmount are as on a node.
//! A container that was started anew gets the mounts of the one before, which a real one finds on its node.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kube_sandbox::meta::{object, resources};
use kube_sandbox::node::{Node, Target};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::pipe;
use tokio::task::JoinSet;

use super::pxctl::{self, Answer, Command};
use super::volumes::Refusal;
use super::{CONTAINER, NAMESPACE, Portworx, inspect};
use crate::world::{WorldError, pods::Shell};

const PXCTL: &str = include_str!("../scripts/pxctl.sh");
/// Where the daemon is found, on the node and in its pod.
const DRIVER: &str = "var/lib/osd/driver";
/// More arguments than this no call has.
const LONGEST_CALL_BYTES: u64 = 64 * 1024;

/// The running daemons; dropping this stops them.
#[derive(Debug)]
pub(crate) struct Daemons {
    _tasks: JoinSet<()>,
}

impl Daemons {
    /// Installs `pxctl` on every node and starts to answer it.
    pub(super) fn start(portworx: &Portworx, node: &Node) -> Result<Self, WorldError> {
        let mut tasks = JoinSet::new();
        for (name, _) in portworx.members() {
            let host = node.host_directory(&name);
            let door = install(&host).map_err(|source| WorldError::Io {
                what: "install Portworx on a node",
                source,
            })?;
            let daemon = Daemon {
                portworx: portworx.clone(),
                node: node.clone(),
                name,
                host,
                container: None,
            };
            tasks.spawn(daemon.serve(door));
        }
        Ok(Self { _tasks: tasks })
    }
}

/// Puts the program and the door where the pods of the node look for them.
fn install(host: &Path) -> io::Result<pipe::Receiver> {
    let driver = host.join(DRIVER);
    for directory in ["opt/pwx/bin", "var/lib/osd/mounts"] {
        fs::create_dir_all(host.join(directory))?;
    }
    fs::create_dir_all(driver.join("calls"))?;
    let program = host.join("opt/pwx/bin/pxctl");
    fs::write(&program, PXCTL)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let door = driver.join("door");
    mknodat(CWD, &door, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    // Open for both ways: it does not end when a caller closes it.
    pipe::OpenOptions::new()
        .read_write(true)
        .open_receiver(door)
}

struct Daemon {
    portworx: Portworx,
    node: Node,
    name: String,
    /// Stands for the root of the node.
    host: PathBuf,
    /// The container whose mounts are as they should be.
    container: Option<String>,
}

impl Daemon {
    /// Answers one call after the other, as long as the task is not stopped.
    async fn serve(mut self, door: pipe::Receiver) {
        let mut calls = BufReader::new(door).lines();
        while let Ok(Some(call)) = calls.next_line().await {
            if let Err(error) = self.answer(&call).await {
                // The caller is gone, with its directory.
                tracing::debug!(%error, call, "a call of pxctl was not answered");
            }
        }
    }

    async fn answer(&mut self, call: &str) -> io::Result<()> {
        if !call.bytes().all(|letter| letter.is_ascii_alphanumeric()) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let call = self.host.join(DRIVER).join("calls").join(call);
        let mut arguments = String::new();
        tokio::fs::File::open(call.join("arguments"))
            .await?
            .take(LONGEST_CALL_BYTES)
            .read_to_string(&mut arguments)
            .await?;
        let words: Vec<String> = arguments
            .split_terminator('\0')
            .map(str::to_owned)
            .collect();
        let answer = self.run(&words).await;
        tokio::fs::write(call.join("stdout"), answer.stdout).await?;
        tokio::fs::write(call.join("stderr"), answer.stderr).await?;
        let mut answered = pipe::OpenOptions::new().open_sender(call.join("answered"))?;
        answered
            .write_all(format!("{}\n", answer.code).as_bytes())
            .await
    }

    async fn run(&mut self, words: &[String]) -> Answer {
        if self.portworx.state().member(&self.name).is_down {
            return Answer {
                code: 1,
                stderr: "PX is not running on this host: Could not reach 'HealthMonitor'\n"
                    .to_owned(),
                ..Answer::default()
            };
        }
        if let Err(refusal) = self.restore_mounts().await {
            return Answer::failed("mount", &refusal);
        }
        let command = match pxctl::parse(words) {
            Ok(command) => command,
            Err(usage) => return usage,
        };
        let (name, outcome) = match &command {
            Command::Inspect { volumes, json } => {
                ("volume inspect", self.portworx.inspect(volumes, *json))
            }
            Command::List { json } => ("volume list", Ok(self.portworx.list(*json))),
            Command::Status => ("status", Ok(self.portworx.status(&self.name))),
            Command::Attach { volume } => ("attach", self.attach(volume)),
            Command::Detach { volume } => ("detach", self.detach(volume)),
            Command::Mount { volume, path } => ("mount", self.mount(volume, path).await),
            Command::Unmount { volume, path } => ("unmount", self.unmount(volume, path).await),
        };
        match outcome {
            Ok(text) => Answer::done(text),
            Err(refusal) => Answer::failed(name, &refusal),
        }
    }

    fn attach(&self, volume: &str) -> Result<String, Refusal> {
        let volume = self.portworx.volume(volume)?;
        let mut state = self.portworx.state();
        state.attach(&volume, &self.name)?;
        let device = if state.is_encrypted(&volume) {
            inspect::secure_device(&volume)
        } else {
            volume.device()
        };
        Ok(format!("Volume successfully attached at: {device}\n"))
    }

    fn detach(&self, volume: &str) -> Result<String, Refusal> {
        let volume = self.portworx.volume(volume)?;
        self.portworx.state().detach(&volume, &self.name)?;
        Ok("Volume successfully detached\n".to_owned())
    }

    async fn mount(&self, name: &str, path: &str) -> Result<String, Refusal> {
        let volume = self.portworx.volume(name)?;
        let before = self.portworx.in_use(&volume.name);
        self.portworx.state().mount(&volume, &self.name, path)?;
        let is_mounted = before.is_some_and(|before| before.paths.iter().any(|used| used == path));
        if !is_mounted && let Err(refusal) = self.bind(&volume.name, path).await {
            self.portworx.state().unmounted(&volume, path);
            return Err(refusal);
        }
        Ok(format!("Volume {name} successfully mounted at {path}\n"))
    }

    async fn unmount(&self, name: &str, path: &str) -> Result<String, Refusal> {
        let volume = self.portworx.volume(name)?;
        self.portworx
            .state()
            .check_unmount(&volume, &self.name, path)?;
        self.in_pod(&["umount", path]).await.map_err(|error| {
            if error.contains("busy") {
                Refusal::Busy
            } else {
                Refusal::System(error)
            }
        })?;
        self.portworx.state().unmounted(&volume, path);
        Ok(format!("Volume {name} successfully unmounted at {path}\n"))
    }

    async fn bind(&self, volume: &str, path: &str) -> Result<(), Refusal> {
        let on_host = self.host.join(path.trim_start_matches('/'));
        if !fs::symlink_metadata(on_host).is_ok_and(|found| found.is_dir()) {
            return Err(Refusal::NoDirectory(path.to_owned()));
        }
        let files = format!("/dev/pxd/{volume}");
        self.in_pod(&["mount", "--rbind", &files, path])
            .await
            .map_err(Refusal::System)
    }

    /// Mounts once more what was mounted in a container that is gone. The readiness probe is a call too, so this is done
    /// before the new one is ready.
    async fn restore_mounts(&mut self) -> Result<(), Refusal> {
        let container = self.container();
        if container.is_some() && container != self.container {
            let mounted = self.portworx.state().mounted_by_hand(&self.name);
            for (volume, path) in mounted {
                self.bind(&volume, &path).await?;
            }
            self.container = container;
        }
        Ok(())
    }

    /// The container the daemon runs in, as the container runtime names it.
    fn container(&self) -> Option<String> {
        let pod = self.pod()?;
        let statuses = pod["status"]["containerStatuses"].as_array()?;
        let own = statuses.iter().find(|status| status["name"] == CONTAINER)?;
        own["containerID"].as_str().map(str::to_owned)
    }

    fn pod(&self) -> Option<kube_sandbox::meta::Object> {
        let store = self.node.store();
        let pods = store.list(&resources::PODS, Some(NAMESPACE)).items;
        pods.into_iter().find(|pod| {
            pod["metadata"]["labels"]["name"] == CONTAINER
                && pod["spec"]["nodeName"] == self.name.as_str()
                && !object::is_terminating(pod)
        })
    }

    /// Runs a program in the daemon's own container; the error is what it said.
    async fn in_pod(&self, argv: &[&str]) -> Result<(), String> {
        let pod = self.pod().ok_or("no Portworx pod on this node")?;
        let target = Target {
            namespace: NAMESPACE.to_owned(),
            pod: object::name(&pod).to_owned(),
            container: CONTAINER.to_owned(),
            is_scheduled: true,
        };
        let shell = Shell {
            node: &self.node,
            target,
        };
        shell.run(argv, []).await.map_err(|error| match error {
            WorldError::Command { stderr, .. } => stderr,
            other => other.to_string(),
        })
    }
}
