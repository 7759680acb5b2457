//! A practice cluster that a backup of another one is restored onto.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use wa_sandbox::Config;
use wa_sandbox::world::{Instances, Profile};

use crate::{Outcome, World, binary, run, wait_until};

/// The rows of `tenant` that are service instances.
const LIVE: &str =
    "FROM tenant WHERE deleted IS NOT TRUE AND lower(region) NOT IN ('system', 'monitoring')";
const OPERATOR: &str = "ibm-watson-assistant-operator";

/// A target cluster, and beside it a directory with a backup of the source, a mapping and pgmig.
pub struct Restored {
    world: World,
    directory: tempfile::TempDir,
    /// What the source holds.
    workspaces: Vec<String>,
    /// The target's instances, in the order in which those of the source become them.
    targets: Vec<String>,
    /// What the target held.
    before: Vec<String>,
}

impl Restored {
    /// A target of that release, and a backup that was taken on it.
    pub fn prepare(profile: Profile) -> Self {
        Self::prepare_as(profile, |_| ())
    }

    /// The same, with a target that `adjust` changes.
    pub fn prepare_as(profile: Profile, adjust: impl FnOnce(&mut Config)) -> Self {
        Self::prepare_from(profile, |_| (), adjust)
    }

    /// The same, with a backup of a source that `change` has changed.
    pub fn prepare_from(
        profile: Profile,
        change: impl FnOnce(&World),
        adjust: impl FnOnce(&mut Config),
    ) -> Self {
        let source = World::start(profile);
        change(&source);
        let directory = tempfile::tempdir().unwrap();
        source
            .backup(directory.path(), &["create", "--to", "sets"])
            .expect_code(0);
        let workspaces = source.lines("SELECT workspace_id FROM workspace ORDER BY 1");
        let sources = source.lines(&format!("SELECT tenant_id {LIVE} ORDER BY 1"));
        drop(source);
        let world = World::start_as(|config| {
            config.profile = profile;
            config.variant.instances = Instances::Target;
            adjust(config);
        });
        let targets = world.lines(&format!("SELECT tenant_id {LIVE} ORDER BY 1 DESC"));
        let pairs = sources.iter().zip(&targets);
        let lines: Vec<String> = pairs
            .map(|(from, to)| format!("  {from}: {to}\n"))
            .collect();
        let mapping = format!("instance-mappings:\n{}", lines.concat());
        fs::write(directory.path().join("mapping.yaml"), mapping).unwrap();
        let before = world.lines("SELECT workspace_id FROM workspace ORDER BY 1");
        assert_ne!(before, workspaces);
        Self {
            world,
            directory,
            workspaces,
            targets,
            before,
        }
    }

    /// The target.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Where the commands run.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// `kubectl wa-restore` with these arguments.
    pub fn restore(&self, arguments: &[&str]) -> Outcome {
        self.world.restore(self.directory(), arguments)
    }

    /// The command that restores without asking, with more arguments.
    pub fn run_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.command(binary("kubectl-wa-restore"));
        command
            .args([
                "run",
                "sets/latest",
                "--mapping",
                "mapping.yaml",
                "--yes=wa",
            ])
            .args(["--timeout", "2m", "--pgmig"])
            .arg(binary("pgmig"))
            .args(self.token_arguments())
            .args(arguments)
            .current_dir(self.directory());
        command
    }

    /// Runs it.
    pub fn run(&self, arguments: &[&str]) -> Outcome {
        run(&mut self.run_command(arguments))
    }

    /// Starts it, and sends it a signal when `condition` holds; returns what it left.
    #[track_caller]
    pub fn signal_when(
        &self,
        what: &str,
        signal: Signal,
        condition: impl Fn(&Self) -> bool,
    ) -> Outcome {
        let said = tempfile::NamedTempFile::new().unwrap();
        let mut child = self.start(&["--no-safety-backup"], &said);
        wait_until(what, || {
            let holds = condition(self);
            let ended = child.try_wait().unwrap();
            assert!(
                holds || ended.is_none(),
                "it ended before {what}: {}",
                fs::read_to_string(said.path()).unwrap()
            );
            holds
        });
        if child.try_wait().unwrap().is_none() {
            let id = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(id, signal).unwrap();
        }
        let mut outcome: Outcome = child.wait_with_output().unwrap().into();
        outcome.stderr = fs::read_to_string(said.path()).unwrap();
        outcome
    }

    /// Options with the tokens that the older form of `resourceController.yaml` needs.
    pub fn token_arguments(&self) -> Vec<String> {
        if self.world.sandbox().names().service_token {
            return Vec::new();
        }
        let tokens = self.world.sandbox().user_tokens();
        let arguments = ["wa-admin", "wa-developer"].map(|user| {
            let file: PathBuf = tokens.join(user);
            ["--token-file".to_owned(), file.display().to_string()]
        });
        arguments.concat()
    }

    /// Starts it, with its standard error in the file.
    pub fn start(&self, arguments: &[&str], said: &tempfile::NamedTempFile) -> std::process::Child {
        self.run_command(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said.reopen().unwrap())
            .spawn()
            .unwrap()
    }

    /// Keeps the database as it is now, for [`Self::reset`].
    pub fn keep_original(&self) {
        self.in_maintenance("CREATE DATABASE original TEMPLATE :store OWNER :owner");
    }

    /// Gives the database back what it held at [`Self::keep_original`].
    pub fn reset(&self) {
        self.in_maintenance("DROP DATABASE :store WITH (FORCE)");
        self.in_maintenance("CREATE DATABASE :store TEMPLATE original OWNER :owner");
    }

    fn in_maintenance(&self, sql: &str) {
        let environment = self.world.store_environment();
        let owner = environment.iter().find(|(name, _)| name == "PGUSER");
        let quoted = |name: &str| format!("\"{name}\"");
        let sql = sql
            .replace(":store", &quoted(&self.world.sandbox().names().database()))
            .replace(":owner", &quoted(&owner.unwrap().1));
        let script = format!("psql -XAtq -v ON_ERROR_STOP=1 -d postgres <<'END'\n{sql}\nEND");
        self.world.in_postgres_pod(&script, Stdio::null());
    }

    /// How far a step of the journal is; `None` where there is no such step, or no journal.
    pub fn state_of(&self, kind: &str) -> Option<String> {
        let journal = self.journal()?;
        let steps: Value = serde_json::from_str(journal["data"]["steps"].as_str()?).unwrap();
        let mut steps = steps.as_array()?.iter();
        let step = steps.find(|step| step["step"]["kind"] == kind)?;
        step["state"].as_str().map(str::to_owned)
    }

    /// How often a plugin has written the journal.
    pub fn journal_writes(&self) -> usize {
        let requests = self.world.sandbox().requests();
        let writes = requests.iter().filter(|request| {
            ["PUT", "POST"].contains(&request.method.as_str())
                && request.uri.contains("/configmaps")
                && request.status < 300
                && request.status > 0
        });
        writes.count()
    }

    /// Whether pgmig is at work in a pod.
    pub fn pgmig_is_started(&self) -> bool {
        let requests = self.world.sandbox().requests();
        requests
            .iter()
            .any(|request| request.uri.contains("--mapping"))
    }

    /// Has pgmig go wrong as these words say.
    pub fn pgmig_faults(&self, faults: &str) {
        for pod in self.postgres_pods() {
            let script = format!("echo '{faults}' >/controller/pgmig-faults");
            let exec = ["exec", &pod, "-c", "postgres", "--", "sh", "-c", &script];
            self.world.kubectl(&exec);
        }
    }

    fn postgres_pods(&self) -> Vec<String> {
        let primary = self.world.sandbox().names().primary_pod();
        let pods = self.world.kubectl(&["get", "pods", "-o", "name"]);
        let stem = primary.rsplit_once('-').unwrap().0.to_owned() + "-";
        let pods = pods.lines().filter_map(|line| line.strip_prefix("pod/"));
        pods.filter(|pod| {
            pod.strip_prefix(&stem)
                .is_some_and(|rest| rest.parse::<u32>().is_ok())
        })
        .map(str::to_owned)
        .collect()
    }

    /// The database holds what the backup does, with the ids of the target.
    #[track_caller]
    pub fn assert_new(&self) {
        let workspaces = self
            .world
            .lines("SELECT workspace_id FROM workspace ORDER BY 1");
        assert_eq!(workspaces, self.workspaces);
        // The first instance of the source has the workspaces 6, 12, 18 and 24.
        let of_first = format!(
            "SELECT count(*) FROM workspace WHERE tenant_id = '{}'",
            self.targets[0]
        );
        assert_eq!(self.world.lines(&of_first), ["4"]);
        self.assert_targets();
    }

    /// The database holds what it held before.
    #[track_caller]
    pub fn assert_old(&self) {
        let workspaces = self
            .world
            .lines("SELECT workspace_id FROM workspace ORDER BY 1");
        assert_eq!(workspaces, self.before);
        self.assert_targets();
    }

    fn assert_targets(&self) {
        let mut targets = self.targets.clone();
        targets.sort();
        let found = self
            .world
            .lines(&format!("SELECT tenant_id {LIVE} ORDER BY 1"));
        assert_eq!(found, targets);
    }

    /// Everything is at these counts.
    #[track_caller]
    pub fn assert_counts(&self, stores: &[u32], operators: u32) {
        let counts = |namespace: &[&str], names: &[&str]| -> Vec<u32> {
            let get = [
                "get",
                "deployment",
                "-o",
                "jsonpath={.items[*].spec.replicas}",
            ];
            let one = ["get", "deployment", "-o", "jsonpath={.spec.replicas}"];
            let get = if names.len() == 1 { one } else { get };
            let found = self.world.kubectl(&[namespace, &get, names].concat());
            found
                .split_whitespace()
                .map(|n| n.parse().unwrap())
                .collect()
        };
        assert_eq!(
            counts(&["-n", "cpd-operators"], &[OPERATOR]),
            [operators],
            "operator"
        );
        let names: Vec<String> = (1..=stores.len())
            .map(|n| {
                if n == 1 {
                    "wa-store".to_owned()
                } else {
                    format!("wa-store-{n}")
                }
            })
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        assert_eq!(counts(&[], &names), stores, "stores");
    }

    /// No run's file is in a pod, no database beside the store's in the server, no lock, and the nightly backup runs.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        for pod in self.postgres_pods() {
            let exec = ["exec", &pod, "-c", "postgres", "--", "find", "/controller"];
            let found = self.world.kubectl(&exec);
            assert!(!found.contains("wa-restore-"), "{pod}: {found}");
        }
        let databases = self
            .world
            .lines("SELECT datname FROM pg_database WHERE datname LIKE 'wa-restore%'");
        assert!(databases.is_empty(), "{databases:?}");
        for namespace in ["cpd", "cpd-operators"] {
            let leases = self
                .world
                .kubectl(&["-n", namespace, "get", "leases", "-o", "name"]);
            assert_eq!(leases, "", "{namespace}");
        }
        let cron_job = self.world.sandbox().names().cron_job();
        let found = self
            .world
            .kubectl(&["get", "cronjob", &cron_job, "-o", "json"]);
        let found: Value = serde_json::from_str(&found).unwrap();
        assert_ne!(found["spec"]["suspend"], true);
    }

    /// No command of this plugin has changed anything since there were `before` requests, also in no pod.
    #[track_caller]
    pub fn assert_nothing_changed(&self, before: usize) {
        let reads = ["GET", "HEAD"];
        for request in self.world.sandbox().requests().split_off(before) {
            let is_own = request.agent.starts_with("kubectl-wa-restore");
            let is_review = request.uri.contains("/selfsubjectaccessreviews");
            assert!(
                !is_own || is_review || reads.contains(&request.method.as_str()),
                "{request:?}"
            );
        }
        self.assert_old();
        self.assert_nothing_left();
        assert!(self.journal().is_none());
    }

    /// Has the store's secret name another password.
    pub fn set_password(&self, password: &str) {
        let secret = &self.world.sandbox().names().store_secret;
        let services = self.world.kubectl(&[
            "get",
            "secret",
            &secret.name,
            "-o",
            &format!(
                "go-template={{{{index .data {:?} | base64decode}}}}",
                secret.key
            ),
        ]);
        let quoted = |text: &str| serde_json::to_string(text).unwrap();
        let services = services.replace(&quoted(&self.world.password()), &quoted(password));
        let patch = serde_json::json!({"stringData": {(secret.key): services}});
        self.world.kubectl(&[
            "patch",
            "secret",
            &secret.name,
            "--type=merge",
            "-p",
            &patch.to_string(),
        ]);
    }

    /// The journal of the last run.
    pub fn journal(&self) -> Option<Value> {
        let store = self.world.sandbox().store();
        let maps = store.list(&kube_sandbox::meta::resources::CONFIG_MAPS, Some("cpd"));
        maps.items
            .into_iter()
            .find(|map| map["metadata"]["name"] == "wa-restore-wa")
            .map(|map| (*map).clone())
    }
}

impl World {
    /// The rows that a query has, a line each.
    #[track_caller]
    pub fn lines(&self, query: &str) -> Vec<String> {
        self.sql(query).lines().map(str::to_owned).collect()
    }
}
