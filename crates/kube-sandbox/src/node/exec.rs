//! Processes started in a running container: what `exec` does.
//!
//! `nsenter` joins the namespaces of the container's process 1, so an exec sees the same files and processes as the
//! container's own command and dies with it. `setsid` then makes it what a container runtime makes it: the leader of a
//! session and of a process group, whose numbers exist inside the container, and whose parent does not. What it leaves
//! behind when it ends goes to the container's process 1.

use std::{fs::File, io, path::Path, process::Stdio};

use rustix::{
    fs::{FileType, Mode, OFlags, ResolveFlags, fstat, openat2},
    io::Errno,
    process::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    process::{Child, Command},
};

use super::{
    container::{Container, Output, exit_code_of},
    launcher::Launcher,
    programs::Programs,
    terminal::Terminal,
};

/// What to run in a container, and which of its standard streams to connect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "these are PodExecOptions, field by field"
)]
pub struct ExecRequest {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Connect standard input; otherwise it is empty.
    pub stdin: bool,
    /// Connect standard output; otherwise it is discarded.
    pub stdout: bool,
    /// Connect standard error; otherwise it is discarded. Never connected with `tty`.
    pub stderr: bool,
    /// Run on a terminal, which joins standard output and error.
    pub tty: bool,
}

/// Why a process could not be started in a container.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The container ended before the process started.
    #[error("container is not running")]
    NotRunning,
    /// The program is not there or may not be executed; in the words of runc.
    #[error("{0}")]
    Program(String),
    /// This machine could not start the process.
    #[error("failed to start a process in the container")]
    Spawn(#[source] io::Error),
}

/// A process in a container. Dropping a stream closes it.
pub struct Process {
    /// Standard input, when asked for.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// Standard output, or the terminal's, when asked for.
    pub stdout: Option<Output>,
    /// Standard error, when asked for.
    pub stderr: Option<Output>,
    terminal: Option<Terminal>,
    child: Child,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process")
            .field("id", &self.child.id())
            .finish_non_exhaustive()
    }
}

/// Changes the size of a process's terminal.
#[derive(Clone, Debug)]
pub struct Resizer(Option<Terminal>);

impl Resizer {
    /// Sets the size in characters; nothing happens to a process without a terminal.
    pub fn resize(&self, columns: u16, rows: u16) {
        if let Some(terminal) = &self.0 {
            // The process may have ended; there is nobody to tell.
            let _ = terminal.resize(columns, rows);
        }
    }
}

impl Process {
    /// A handle to change the size of the process's terminal. It keeps the terminal open: drop it to hang up.
    pub fn resizer(&self) -> Resizer {
        Resizer(self.terminal.clone())
    }

    /// Waits for the process to end: its exit code, or 128 plus the number of the signal that killed it.
    pub async fn wait(&mut self) -> io::Result<i32> {
        self.terminal = None;
        self.child.wait().await.map(exit_code_of)
    }
}

/// Starts `request` in `container`.
pub(crate) async fn start(
    launcher: &Launcher,
    programs: &Programs,
    container: &Container,
    request: &ExecRequest,
) -> Result<Process, ExecError> {
    let init = container.init().ok_or(ExecError::NotRunning)?;
    let config = container.config();
    let root = container.root().ok_or(ExecError::NotRunning)?;
    let program = request.argv.first().map_or("", String::as_str);
    check_program(&root, program, &config.environment)?;

    let mut command = enter(programs, init, &root, &config.working_directory);
    // The group of the process that nsenter forked was made outside. As it does not lead that one, setsid stays the
    // same process.
    command.arg(&programs.setsid);
    if request.tty {
        command.arg("--ctty").env("TERM", "xterm");
    }
    command
        .args(&request.argv)
        .envs(config.environment.iter().map(|(name, value)| (name, value)));

    if request.tty {
        start_on_terminal(launcher, command, request).await
    } else {
        start_on_pipes(launcher, command, request).await
    }
    .map_err(ExecError::Spawn)
}

async fn start_on_pipes(
    launcher: &Launcher,
    mut command: Command,
    request: &ExecRequest,
) -> io::Result<Process> {
    let pipe_if = |wanted: bool| {
        if wanted {
            Stdio::piped()
        } else {
            Stdio::null()
        }
    };
    command
        .stdin(pipe_if(request.stdin))
        .stdout(pipe_if(request.stdout))
        .stderr(pipe_if(request.stderr));
    let mut child = launcher.spawn(command).await?;
    Ok(Process {
        stdin: child.stdin.take().map(|stream| Box::new(stream) as _),
        stdout: child.stdout.take().map(output),
        stderr: child.stderr.take().map(output),
        terminal: None,
        child,
    })
}

async fn start_on_terminal(
    launcher: &Launcher,
    mut command: Command,
    request: &ExecRequest,
) -> io::Result<Process> {
    let (terminal, [stdin, stdout, stderr]) = Terminal::open()?;
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    let child = launcher.spawn(command).await?;
    Ok(Process {
        stdin: request.stdin.then(|| Box::new(terminal.clone()) as _),
        stdout: request.stdout.then(|| output(terminal.clone())),
        stderr: None,
        terminal: Some(terminal),
        child,
    })
}

fn output(stream: impl AsyncRead + Send + Unpin + 'static) -> Output {
    Box::new(stream)
}

fn enter(programs: &Programs, init: Pid, root: &Path, working_directory: &Path) -> Command {
    let inside = working_directory
        .strip_prefix("/")
        .unwrap_or(working_directory);
    let mut directory = std::ffi::OsString::from("--wd=");
    directory.push(root.join(inside));
    let mut command = Command::new(&programs.nsenter);
    command
        .args([
            "--preserve-credentials",
            "--user",
            "--mount",
            "--pid",
            "--ipc",
            "--uts",
            "--target",
        ])
        .arg(init.as_raw_pid().to_string())
        .arg(directory)
        .arg("--")
        .env_clear()
        .process_group(0);
    command
}

/// Looks for the program as runc does, and fails with its words: `nsenter`'s exit code 127 could be the program's own.
fn check_program(
    root: &Path,
    program: &str,
    environment: &[(String, String)],
) -> Result<(), ExecError> {
    let root = File::open(root).map_err(|_| ExecError::NotRunning)?;
    if program.contains('/') {
        return match executable(&root, Path::new(program)) {
            Ok(true) => Ok(()),
            Ok(false) | Err(Errno::ACCESS) => Err(ExecError::Program(format!(
                "exec: {program:?}: permission denied"
            ))),
            Err(_) => Err(ExecError::Program(format!(
                "exec: {program:?}: stat {program}: no such file or directory"
            ))),
        };
    }
    let path = environment
        .iter()
        .find_map(|(name, value)| (name == "PATH").then_some(value.as_str()))
        .unwrap_or_default();
    let found = std::env::split_paths(path)
        .any(|directory| executable(&root, &directory.join(program)) == Ok(true));
    if found && !program.is_empty() {
        return Ok(());
    }
    Err(ExecError::Program(format!(
        "exec: {program:?}: executable file not found in $PATH"
    )))
}

/// Whether `path` inside `root` is a file that may be executed; symbolic links are followed inside the root.
fn executable(root: &File, path: &Path) -> Result<bool, Errno> {
    let file = openat2(
        root,
        path,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT,
    )?;
    let stat = fstat(&file)?;
    Ok(FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile && stat.st_mode & 0o111 != 0)
}
