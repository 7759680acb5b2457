//! One container: a real process in its own root, made by bubblewrap.
//!
//! The container's command is process 1 of its own PID namespace, as in a real pod: it gets the kernel's special
//! treatment of signals, and its end kills everything else in the container. The user namespace maps the wanted uid to
//! whoever runs the sandbox, so this works as root and as an ordinary user alike.
//!
//! Left out: cgroups and resource limits, seccomp, capabilities, an own network (services live on loopback addresses),
//! image layers (the root is this machine's `/usr`), and a device file for an exec's terminal under `/dev/pts`.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, ChildStderr, Command},
    sync::watch,
};

use super::{launcher::Launcher, programs::Programs};

/// How often a starting container is looked at; it takes about ten milliseconds.
const START_POLL: Duration = Duration::from_millis(2);

/// What the standard output or standard error of a container is read from.
pub(crate) type Output = Box<dyn AsyncRead + Send + Unpin>;

/// A directory or file of this machine made visible in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Path on this machine.
    pub source: PathBuf,
    /// Absolute path in the container.
    pub target: PathBuf,
    /// Whether the container may only read it.
    pub read_only: bool,
}

/// Everything needed to start a container.
#[derive(Clone)]
pub(crate) struct ContainerConfig {
    /// 64 hexadecimal digits, as containerd's.
    pub(crate) id: String,
    /// A directory of this container alone, for the runtime's own files.
    pub(crate) state_directory: PathBuf,
    pub(crate) hostname: String,
    pub(crate) user: u32,
    pub(crate) group: u32,
    pub(crate) read_only_root: bool,
    pub(crate) mounts: Vec<Mount>,
    /// File systems in memory: where, and of how many bytes.
    pub(crate) in_memory: Vec<(PathBuf, u64)>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) argv: Vec<String>,
    pub(crate) working_directory: PathBuf,
}

/// Why a container did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// Bubblewrap could not be run at all.
    #[error("failed to run bubblewrap for the container")]
    Spawn(#[source] io::Error),
    /// Bubblewrap gave up, or the container's command is not there.
    #[error("{message}")]
    Refused { message: String },
}

/// A container that was started; it may have ended since.
pub(crate) struct Container {
    config: ContainerConfig,
    init: Pid,
    /// Refers to the process, not its number: a signal cannot hit a stranger that got the number later.
    init_handle: Option<OwnedFd>,
    exit_code: watch::Receiver<Option<i32>>,
}

/// A started container's output, to be read by whoever keeps its log.
pub(crate) struct ContainerOutput {
    pub(crate) stdout: Output,
    pub(crate) stderr: Output,
}

impl Container {
    /// Starts the container and returns once its command runs (or has run).
    pub(crate) async fn start(
        launcher: &Launcher,
        programs: &Programs,
        config: ContainerConfig,
    ) -> Result<(Self, ContainerOutput), StartError> {
        let info = config.state_directory.join("bwrap-info.json");
        let mut child = launcher
            .spawn(bubblewrap(programs, &config, &info))
            .await
            .map_err(StartError::Spawn)?;
        let (stdout, mut stderr) = (child.stdout.take(), child.stderr.take());

        let mut early_errors = Vec::new();
        let init = match await_command(&mut child, &info, programs)
            .await
            .map_err(StartError::Spawn)?
        {
            Begun::Running(init) => Some(init),
            Begun::Ended(status) => {
                early_errors = read_all(stderr.take()).await;
                if let Some(message) = bubblewrap_complaint(status, &early_errors) {
                    return Err(StartError::Refused { message });
                }
                None
            }
        };

        let (ended, exit_code) = watch::channel(None);
        tokio::spawn(async move {
            let code = child.wait().await.map_or(255, exit_code_of);
            ended.send_replace(Some(code));
        });
        let container = Self {
            config,
            init: init.unwrap_or(Pid::INIT),
            init_handle: init.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()),
            exit_code,
        };
        let output = ContainerOutput {
            stdout: boxed(stdout),
            stderr: Box::new(io::Cursor::new(early_errors).chain(boxed(stderr))),
        };
        Ok((container, output))
    }

    pub(crate) fn config(&self) -> &ContainerConfig {
        &self.config
    }

    /// Process 1 of the container as this machine numbers it; none once the container has ended.
    pub(crate) fn init(&self) -> Option<Pid> {
        let running = self.init_handle.is_some() && self.exit_code.borrow().is_none();
        running.then_some(self.init)
    }

    /// The root of the container's files as this machine sees it; none once the container has ended.
    pub(crate) fn root(&self) -> Option<PathBuf> {
        let init = self.init()?.as_raw_pid();
        Some(PathBuf::from(format!("/proc/{init}/root")))
    }

    /// Sends `signal` to process 1 of the container; nothing happens when it has ended.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(handle) = &self.init_handle {
            let _ = pidfd_send_signal(handle, signal);
        }
    }

    /// Waits for the end of the container: the exit code, or 128 plus the number of the signal that killed it.
    pub(crate) async fn wait(&self) -> i32 {
        let mut exit_code = self.exit_code.clone();
        let code = exit_code.wait_for(Option::is_some).await;
        code.ok().and_then(|code| *code).unwrap_or(255)
    }
}

enum Begun {
    Running(Pid),
    Ended(ExitStatus),
}

/// Waits until bubblewrap has set up the root and become the command: before that an exec would enter a half-built root.
async fn await_command(child: &mut Child, info: &Path, programs: &Programs) -> io::Result<Begun> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Begun::Ended(status));
        }
        if let Some(pid) = announced_pid(info) {
            let running = std::fs::read_link(format!("/proc/{}/exe", pid.as_raw_pid()));
            if running.is_ok_and(|program| program != programs.bwrap) {
                return Ok(Begun::Running(pid));
            }
        }
        tokio::time::sleep(START_POLL).await;
    }
}

fn announced_pid(info: &Path) -> Option<Pid> {
    let text = std::fs::read(info).ok()?;
    let info: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let pid = i32::try_from(info.get("child-pid")?.as_i64()?).ok()?;
    Pid::from_raw(pid)
}

/// Bubblewrap's own error, when it is that which ended and not the command.
fn bubblewrap_complaint(status: ExitStatus, stderr: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(stderr);
    let complaint = text.strip_prefix("bwrap: ")?;
    (status.code() == Some(1)).then(|| complaint.trim_end().to_owned())
}

async fn read_all(stderr: Option<ChildStderr>) -> Vec<u8> {
    let mut text = Vec::new();
    if let Some(mut stderr) = stderr {
        // Whatever could be read is still worth showing.
        let _ = stderr.read_to_end(&mut text).await;
    }
    text
}

fn boxed(stream: Option<impl AsyncRead + Send + Unpin + 'static>) -> Output {
    match stream {
        Some(stream) => Box::new(stream),
        None => Box::new(tokio::io::empty()),
    }
}

/// The exit code as a shell, and Kubernetes, count it.
pub(crate) fn exit_code_of(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(255)
}

/// The command that builds the root and becomes the container.
///
/// The shell only opens the file that bubblewrap announces the process number on: without unsafe code a descriptor
/// other than the three standard ones cannot be handed to one child alone.
fn bubblewrap(programs: &Programs, config: &ContainerConfig, info: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg(r#"exec "$@" 3>"$0""#)
        .arg(info)
        .arg(&programs.bwrap)
        .args(arguments(config))
        .arg("--")
        .args(&config.argv)
        .env_clear()
        .envs(config.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Ctrl-C in the terminal is for the sandbox, which then stops its pods in order.
        .process_group(0)
        .kill_on_drop(true);
    command
}

fn arguments(config: &ContainerConfig) -> Vec<OsString> {
    let mut arguments = Arguments::default();
    arguments
        .flags("--unshare-user --unshare-pid --unshare-ipc --unshare-uts --die-with-parent --as-pid-1 --new-session --info-fd 3")
        .option("--uid", &[config.user.to_string()])
        .option("--gid", &[config.group.to_string()])
        .option("--hostname", &[&config.hostname]);
    arguments.host_software().flags("--proc /proc").devices();
    for directory in [
        "/tmp", "/var/tmp", "/run", "/root", "/home", "/opt", "/srv", "/mnt",
    ] {
        arguments.option("--dir", &[directory]);
    }
    // Relative: while the root is built, an absolute link would lead out of it.
    arguments.option("--symlink", &["../run", "/var/run"]);

    // Outer directories first, so that a mount inside another one is not covered by it.
    let mut mounts: Vec<_> = config.mounts.iter().collect();
    mounts.sort_by_key(|mount| mount.target.components().count());
    for mount in mounts {
        let bind = if mount.read_only {
            "--ro-bind"
        } else {
            "--bind"
        };
        arguments.option(bind, &[mount.source.as_os_str(), mount.target.as_os_str()]);
    }
    for (target, bytes) in &config.in_memory {
        arguments
            .option("--size", &[bytes.to_string()])
            .option("--tmpfs", &[target]);
    }
    if !config.working_directory.starts_with("/usr") {
        arguments.option("--dir", &[&config.working_directory]);
    }
    arguments.option("--chdir", &[&config.working_directory]);
    if config.read_only_root {
        arguments.flags("--remount-ro /");
    }
    arguments.0
}

#[derive(Default)]
struct Arguments(Vec<OsString>);

impl Arguments {
    fn flags(&mut self, flags: &str) -> &mut Self {
        self.0.extend(flags.split_whitespace().map(OsString::from));
        self
    }

    fn option<S: AsRef<OsStr>>(&mut self, option: &str, values: &[S]) -> &mut Self {
        self.0.push(option.into());
        self.0
            .extend(values.iter().map(|value| value.as_ref().to_owned()));
        self
    }

    /// This machine's programs and libraries, with the links into `/usr` that most distributions have at the top.
    fn host_software(&mut self) -> &mut Self {
        self.flags("--ro-bind /usr /usr");
        for name in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
            let path = Path::new("/").join(name);
            match std::fs::read_link(&path) {
                Ok(link) => self.option("--symlink", &[link.as_os_str(), path.as_os_str()]),
                Err(_) if path.is_dir() => self.option("--ro-bind", &[&path, &path]),
                Err(_) => self,
            };
        }
        self
    }

    /// The devices a container has. Not bubblewrap's `--dev`: its devpts needs a second user namespace, which an
    /// ordinary user's exec could not enter from outside.
    fn devices(&mut self) -> &mut Self {
        self.flags("--dir /dev");
        for device in ["null", "zero", "full", "random", "urandom", "tty"] {
            let path = Path::new("/dev").join(device);
            self.option("--dev-bind", &[&path, &path]);
        }
        self.flags(
            "--tmpfs /dev/shm --symlink /proc/self/fd /dev/fd --symlink /proc/self/fd/0 /dev/stdin",
        )
        .flags("--symlink /proc/self/fd/1 /dev/stdout --symlink /proc/self/fd/2 /dev/stderr")
    }
}
