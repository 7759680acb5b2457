//! `wa-sandbox up`: starts a cluster.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::PathBuf;
use std::process::{ExitCode, Stdio};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process, setsid};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::signal::unix::{SignalKind, signal};
use wa_sandbox::world::{Profile, Seed, Storage};
use wa_sandbox::{Config, Sandbox};

use super::home::{self, Home, Lock, State};
use super::variant::VariantArgs;
use super::{Place, print, runtime};

/// Start a practice cluster and keep it until Ctrl-C
///
/// Only one cluster runs in a directory at a time. The kubeconfig is a file of its own; ~/.kube/config is not touched.
#[derive(Debug, clap::Args)]
pub(super) struct Up {
    /// Release whose object names the cluster uses: 4.0, 4.8.5, 4.8.8, 5.0.1, 5.1 or 5.2.1
    #[arg(long, default_value_t)]
    profile: Profile,

    /// Size of a dump of the store database: small (a few hundred kB), large (about 1 GiB) or a number of bytes
    #[arg(long, default_value_t)]
    seed: Seed,

    /// What its volumes are on: ceph, ceph-without-snapshots, ceph-once-pod, local or portworx
    #[arg(long, default_value_t)]
    storage: Storage,

    #[command(flatten)]
    variant: VariantArgs,

    /// Return when the cluster is ready and leave it running; `wa-sandbox down` stops it
    #[arg(long)]
    detach: bool,

    /// Write the kubeconfig here as well
    #[arg(long, value_name = "PATH")]
    kubeconfig: Option<PathBuf>,

    /// Port of the API server on 127.0.0.1 [default: a free one]
    #[arg(long)]
    port: Option<u16>,

    #[command(flatten)]
    place: Place,

    /// Run as the detached cluster: in a session of its own, reporting to the command that started it
    #[arg(long, hide = true, conflicts_with = "detach")]
    detached: bool,
}

impl Up {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        if let Some(path) = &self.kubeconfig {
            home::check_kubeconfig(path)?;
        }
        let home = self.place.home();
        if self.detach {
            if home.is_in_use()? {
                return Err(in_use(&home));
            }
            return runtime()?.block_on(self.start_detached(&home));
        }
        let Some(lock) = home.try_lock()? else {
            return Err(in_use(&home));
        };
        if self.detached {
            // Lives on when the terminal closes. Fails only for a leader of its session, which then has no terminal.
            let _ = setsid();
        }
        lock.begin()?;
        let done = runtime()?.block_on(self.serve(&home, &lock));
        lock.end().context("cannot remove the cluster's files")?;
        done
    }

    async fn serve(&self, home: &Home, lock: &Lock) -> anyhow::Result<ExitCode> {
        let config = Config {
            profile: self.profile,
            seed: self.seed,
            storage: self.storage,
            variant: self.variant.variant(),
            port: self.port,
            ..Config::new(home.cluster())
        };
        let mut stop = Box::pin(stop_requested()?);
        if !self.detached {
            note(&format!("starting a Watson Assistant {} …", self.profile))?;
        }
        let sandbox = tokio::select! {
            started = Sandbox::start(config) => started?,
            () = &mut stop => return Ok(interrupted()),
        };
        let kubeconfig = match &self.kubeconfig {
            Some(path) => {
                home::copy_kubeconfig(sandbox.kubeconfig(), path)?;
                std::path::absolute(path)?
            }
            None => sandbox.kubeconfig().to_owned(),
        };
        let state = State {
            pid: i32::try_from(std::process::id())?,
            profile: self.profile,
            postgres: sandbox.postgres_version(),
            seed: self.seed.to_string(),
            instance: sandbox.names().instance.clone(),
            namespace: sandbox.namespace().to_owned(),
            url: sandbox.url(),
            kubeconfig,
            started: jiff::Timestamp::now()
                .strftime("%Y-%m-%dT%H:%M:%SZ")
                .to_string(),
        };
        lock.announce(&state)?;
        if self.detached {
            print(&serde_json::to_string(&state)?)?;
        } else {
            print(&summary(&state, "Ctrl-C"))?;
        }
        stop.await;
        if !self.detached {
            note("stopping …")?;
        }
        sandbox.stop().await;
        Ok(ExitCode::SUCCESS)
    }

    /// Starts this program again as the cluster's own process and waits until it is ready.
    async fn start_detached(&self, home: &Home) -> anyhow::Result<ExitCode> {
        std::fs::create_dir_all(home.path())
            .with_context(|| format!("cannot use the directory {}", home.path().display()))?;
        let log = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(home.log());
        let log = log.with_context(|| format!("cannot write {}", home.log().display()))?;
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut command = tokio::process::Command::new(program);
        command
            .args([
                "up",
                "--detached",
                "--profile",
                self.profile.name(),
                "--seed",
                &self.seed.to_string(),
                "--storage",
                self.storage.name(),
                "--directory",
            ])
            .arg(home.path())
            .args(self.variant.repeated())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.try_clone()?);
        if let Some(path) = &self.kubeconfig {
            command.arg("--kubeconfig").arg(path);
        }
        if let Some(port) = self.port {
            command.args(["--port", &port.to_string()]);
        }
        let mut stop = Box::pin(stop_requested()?);
        let mut child = command
            .spawn()
            .context("cannot start the cluster's process")?;
        let mut line = String::new();
        let mut output = BufReader::new(
            child
                .stdout
                .take()
                .context("the cluster's process has no output")?,
        );
        tokio::select! {
            read = output.read_line(&mut line) => read.context("cannot read from the cluster's process")?,
            () = &mut stop => {
                if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
                    let _ = kill_process(pid, Signal::TERM);
                }
                child.wait().await?;
                return Ok(interrupted());
            }
        };
        if let Ok(state) = serde_json::from_str::<State>(&line) {
            print(&summary(&state, &down_command(&self.place)))?;
            return Ok(ExitCode::SUCCESS);
        }
        child.wait().await?;
        bail!("{}", last_words(log));
    }
}

/// What the detached cluster said before it ended, without the prefix that is put before it again. It has removed its
/// files by then; the open one can still be read.
fn last_words(mut log: File) -> String {
    let mut text = String::new();
    let read = log.rewind().and_then(|()| log.read_to_string(&mut text));
    let text = text.trim();
    let text = text.strip_prefix("error: ").unwrap_or(text);
    if read.is_err() || text.is_empty() {
        "the cluster's process ended without a word".to_owned()
    } else {
        text.to_owned()
    }
}

fn in_use(home: &Home) -> anyhow::Error {
    let running = match home.state() {
        Ok(state) => format!(
            "a practice cluster already runs (process {}, Watson Assistant {}, {})",
            state.pid, state.profile, state.url
        ),
        Err(_) => "a practice cluster is just starting or stopping".to_owned(),
    };
    anyhow::anyhow!(
        "{running} in {}; stop it with `wa-sandbox down`, or name another --directory",
        home.path().display()
    )
}

/// Completes when the user or the system asks for the end. A detached cluster has no terminal that could hang up.
fn stop_requested() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    })
}

fn interrupted() -> ExitCode {
    ExitCode::from(130)
}

fn note(text: &str) -> io::Result<()> {
    writeln!(io::stderr(), "{text}")
}

fn down_command(place: &Place) -> String {
    match &place.directory {
        Some(directory) => format!("wa-sandbox down --directory {}", directory.display()),
        None => "wa-sandbox down".to_owned(),
    }
}

fn summary(state: &State, stop: &str) -> String {
    let State {
        profile,
        instance,
        namespace,
        url,
        kubeconfig,
        ..
    } = state;
    format!(
        "Watson Assistant {profile} is ready: instance {instance} in namespace {namespace} at {url}\n\
         {}\n\n\
         Try:\n  \
         export KUBECONFIG={}\n  \
         kubectl get pods\n  \
         kubectl wa-backup check\n  \
         kubectl wa-backup create\n\n\
         Stop it with: {stop}",
        postgres(state),
        kubeconfig.display()
    )
}

/// Which PostgreSQL runs, and which one the release has where that is another.
pub(super) fn postgres(state: &State) -> String {
    let runs = state.postgres;
    let names = state.profile.names(&state.instance, &state.namespace);
    match names.postgres_version {
        Some(version) if version != runs => format!(
            "It runs PostgreSQL {runs}; the release has {version}, which `cargo xtask setup` brings"
        ),
        _ => format!("It runs PostgreSQL {runs}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(profile: Profile, postgres: u32) -> State {
        State {
            pid: 1,
            profile,
            postgres,
            seed: Seed::default().to_string(),
            instance: "wa".to_owned(),
            namespace: "cpd".to_owned(),
            url: String::new(),
            kubeconfig: PathBuf::new(),
            started: String::new(),
        }
    }

    #[test]
    fn another_postgresql_than_that_of_the_release_is_reported() {
        let said = postgres(&state(Profile::V5_2_1, 15));
        assert!(
            said.contains("PostgreSQL 15") && said.contains("the release has 16"),
            "{said}"
        );
        for (profile, version) in [(Profile::V5_2_1, 16), (Profile::V4_8_5, 15)] {
            let said = postgres(&state(profile, version));
            assert_eq!(said, format!("It runs PostgreSQL {version}"));
        }
    }
}
