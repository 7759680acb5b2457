//! A practice cluster for a file of tests.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use kube_sandbox::faults::{Effect, Fault, Matcher};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use wa_sandbox::world::{Profile, Storage};
use wa_sandbox::{Config, Sandbox};

use crate::{Outcome, binary, run, signals};

/// A running practice cluster and the plugins installed beside kubectl.
pub struct World {
    sandbox: Option<Sandbox>,
    runtime: Runtime,
    home: TempDir,
    /// When the CronJob takes backups unless a test wants another time: not while tests run, whenever that is.
    pub(crate) quiet_schedule: String,
}

/// The requests that run pg_dump, and not the ones that ask for versions.
pub fn dump_requests() -> Matcher {
    Matcher {
        path: Some("--format%3Dcustom".to_owned()),
        ..Matcher::default()
    }
}

impl World {
    /// A cluster of that release.
    pub fn start(profile: Profile) -> Self {
        Self::start_on(Storage::default(), profile)
    }

    /// A cluster of that release whose volumes are on that storage.
    pub fn start_on(storage: Storage, profile: Profile) -> Self {
        Self::start_as(|config| {
            config.storage = storage;
            config.profile = profile;
        })
    }

    /// A cluster of the newest release, but for what `adjust` changes.
    pub fn start_as(adjust: impl FnOnce(&mut Config)) -> Self {
        signals::let_children_hear();
        let home = home();
        let plugins = home.path().join("plugins");
        fs::create_dir(&plugins).unwrap();
        for plugin in ["backup", "pvc", "restore", "retrain"] {
            let program = binary(&format!("kubectl-wa-{plugin}"));
            // `kubectl wa-backup` and `kubectl wa backup`.
            for name in [
                format!("kubectl-wa_{plugin}"),
                format!("kubectl-wa-{plugin}"),
            ] {
                symlink(&program, plugins.join(name)).unwrap();
            }
        }
        // Its threads live as long as the cluster: the cluster's processes die with the thread that started them.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut config = Config::new(home.path().join("cluster"));
        // Patches that a test creates take effect only where it wants that.
        config.variant.operator_period = Duration::from_hours(1);
        adjust(&mut config);
        let sandbox =
            runtime.block_on(async { tokio::spawn(Sandbox::start(config)).await.unwrap() });
        let in_half_a_day = ["-u", "-d", "12 hours", "+0 %H * * *"];
        let date = run(Command::new("date").args(in_half_a_day)).expect_code(0);
        let world = Self {
            sandbox: Some(sandbox.unwrap()),
            runtime,
            home,
            quiet_schedule: date.stdout.trim().to_owned(),
        };
        world.set_schedule(&world.quiet_schedule);
        world
    }

    /// The one cluster of a file of tests, for one test at a time: a fault meets only the test that injected it.
    pub fn shared() -> MutexGuard<'static, Self> {
        Self::shared_on(Storage::default())
    }

    /// The same for files that need storage of several kinds: one cluster each.
    pub fn shared_on(storage: Storage) -> MutexGuard<'static, Self> {
        static WORLDS: [OnceLock<Mutex<World>>; Storage::ALL.len()] =
            [const { OnceLock::new() }; Storage::ALL.len()];
        let world = WORLDS[storage as usize]
            .get_or_init(|| Mutex::new(Self::start_on(storage, Profile::default())));
        let world = world.lock().unwrap_or_else(PoisonError::into_inner);
        // What a test that failed left behind.
        world.sandbox().faults().clear();
        world.reset_volume();
        world
    }

    /// The cluster itself.
    pub fn sandbox(&self) -> &Sandbox {
        self.sandbox.as_ref().unwrap()
    }

    /// A directory for this test alone.
    pub fn scratch(&self) -> TempDir {
        tempfile::tempdir_in(self.home.path()).unwrap()
    }

    /// A program that sees the cluster, and the plugins through kubectl.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let paths =
            std::iter::once(self.home.path().join("plugins")).chain(std::env::split_paths(&path));
        let mut command = Command::new(program);
        command
            .env("KUBECONFIG", self.sandbox().kubeconfig())
            .env("PATH", std::env::join_paths(paths).unwrap())
            .env_remove("RUST_BACKTRACE");
        command
    }

    /// The same for a user who, unlike root, may not write where the modes of files forbid it.
    pub fn command_of_a_user(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut bwrap = self.command("bwrap");
        bwrap
            .args(["--dev-bind", "/", "/", "--cap-drop", "ALL"])
            .arg(program);
        bwrap
    }

    /// A program with its arguments, words of a shell, on a terminal of its own: what it shows is on standard output, what is
    /// written to standard input are keys, and it ends as the program does.
    pub fn on_terminal(&self, words: &str) -> Command {
        let mut script = self.command("script");
        // A shell that stayed beside the program would get Ctrl-C too and end by it, whatever the program does.
        script
            .args(["--quiet", "--return", "--command", &format!("exec {words}")])
            .arg("/dev/null")
            .env("SHELL", "/bin/sh")
            // Where it is not set, programs take a terminal for one that can do nothing.
            .env("TERM", "xterm")
            .env_remove("NO_COLOR");
        script
    }

    /// A shell script that gets `program` as `$0`, in a file system of so many bytes that is its own.
    pub fn on_small_disk(&self, bytes: u64, script: &str, program: &Path) -> Command {
        let mut bwrap = self.command("bwrap");
        bwrap
            .args(["--dev-bind", "/", "/", "--size", &bytes.to_string()])
            .args(["--tmpfs", "/mnt", "--chdir", "/mnt", "sh", "-c", script])
            .arg(program);
        bwrap
    }

    /// `kubectl wa-backup` with these arguments, in `directory`.
    pub fn backup_command(&self, directory: &Path, arguments: &[&str]) -> Command {
        let mut command = self.command(binary("kubectl-wa-backup"));
        command.args(arguments).current_dir(directory);
        command
    }

    /// The same, run.
    pub fn backup(&self, directory: &Path, arguments: &[&str]) -> Outcome {
        run(&mut self.backup_command(directory, arguments))
    }

    /// kubectl with these arguments; it must succeed.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        run(self.command("kubectl").args(arguments))
            .expect_code(0)
            .stdout
    }

    /// Creates objects in the cluster.
    #[track_caller]
    pub fn create(&self, objects: &Value) {
        use std::io::Write as _;
        let mut kubectl = self
            .command("kubectl")
            .args(["create", "--validate=false", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        kubectl
            .stdin
            .take()
            .unwrap()
            .write_all(objects.to_string().as_bytes())
            .unwrap();
        assert!(
            kubectl.wait().unwrap().success(),
            "kubectl create: {objects}"
        );
    }

    /// Makes something go wrong until the test ends, or `times` have passed.
    pub fn fault(&self, on: Matcher, times: Option<u32>, effect: Effect) {
        self.sandbox().faults().inject(Fault { on, times, effect });
    }

    /// The one backup set in `directory`.
    #[track_caller]
    pub fn only_set(&self, directory: &Path) -> PathBuf {
        let sets: Vec<PathBuf> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(sets.len(), 1, "{sets:?}");
        sets[0].clone()
    }

    /// What the store secret says of the database, as libpq's environment.
    pub fn store_environment(&self) -> Vec<(String, String)> {
        let secret = &self.sandbox().names().store_secret;
        let template = format!(
            "go-template={{{{index .data {:?} | base64decode}}}}",
            secret.key
        );
        let services = self.kubectl(&["get", "secret", &secret.name, "-o", &template]);
        let services: Value = serde_json::from_str(&services).unwrap();
        let credentials = services["user-provided"]
            .as_array()
            .unwrap()
            .iter()
            .find(|service| service["name"] == "pgservice")
            .map(|service| &service["credentials"])
            .unwrap();
        [
            ("PGHOST", "host"),
            ("PGPORT", "port"),
            ("PGDATABASE", "database"),
            ("PGUSER", "username"),
            ("PGPASSWORD", "password"),
        ]
        .map(|(variable, field)| {
            let value = &credentials[field];
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            (variable.to_owned(), text)
        })
        .to_vec()
    }

    /// The password of the store database.
    pub fn password(&self) -> String {
        let environment = self.store_environment();
        environment
            .into_iter()
            .find(|(name, _)| name == "PGPASSWORD")
            .unwrap()
            .1
    }

    /// Runs a shell script in the primary PostgreSQL pod, as the database's superuser, with `input` on standard input.
    #[track_caller]
    pub fn in_postgres_pod(&self, script: &str, input: Stdio) -> String {
        let pod = self.sandbox().names().primary_pod();
        let output = self
            .command("kubectl")
            .args([
                "exec", "-i", &pod, "-c", "postgres", "--", "sh", "-ec", script,
            ])
            .stdin(input)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{script}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A directory that is removed with its [`World`], or, since shared ones live until their process ends, by a later one.
fn home() -> TempDir {
    const PREFIX: &str = "wa-end-to-end-";
    for entry in fs::read_dir(std::env::temp_dir()).unwrap().flatten() {
        let name = entry.file_name();
        let process = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.split_once('-'))
            .and_then(|(process, _)| Pid::from_raw(process.parse().ok()?));
        if process.is_some_and(|process| test_kill_process(process) == Err(Errno::SRCH)) {
            // Somebody else's stays, and what another test removes at the same time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let prefix = format!("{PREFIX}{}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir().unwrap()
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(sandbox) = self.sandbox.take() {
            self.runtime.block_on(sandbox.stop());
        }
    }
}
