//! The stand-in for pgmig, run in the pod as IBM's page has it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use tempfile::TempDir;
use wa_sandbox::world::{Instances, Profile};

use crate::support::World;

const STAGE: &str = "/controller/tmp/bu";
const LIVE: &str =
    "from tenant where deleted is not true and lower(region) not in ('system', 'monitoring')";

/// A backup of the source's instances, taken on that release.
struct Backup {
    directory: TempDir,
    instances: Vec<String>,
}

impl Backup {
    async fn from_profile(profile: Profile) -> Self {
        let world = World::start(|config| config.profile = profile).await;
        let directory = tempfile::tempdir().unwrap();
        let dump = File::create(directory.path().join("store.dump")).unwrap();
        let taken = world
            .in_pod(
                "pg_dump -Fc -U postgres conversation_pprd_wa",
                Stdio::null(),
            )
            .stdout(dump)
            .status();
        assert!(taken.unwrap().success());
        let instances = world.rows(&format!("select tenant_id {LIVE} order by 1"));
        world.sandbox.stop().await;
        Self {
            directory,
            instances,
        }
    }

    fn dump(&self) -> PathBuf {
        self.directory.path().join("store.dump")
    }
}

impl World {
    async fn target(profile: Profile, instances: Instances) -> Self {
        Self::start(|config| {
            config.profile = profile;
            config.variant.instances = instances;
        })
        .await
    }

    fn in_pod(&self, script: &str, stdin: Stdio) -> Command {
        let mut command = Command::new("kubectl");
        command
            .env("KUBECONFIG", self.sandbox.kubeconfig())
            .env("HOME", self.directory.path())
            .args([
                "exec",
                "-i",
                &self.sandbox.names().primary_pod(),
                "-c",
                "postgres",
                "--",
                "sh",
                "-c",
                script,
            ])
            .stdin(stdin);
        command
    }

    fn rows(&self, query: &str) -> Vec<String> {
        let script = format!("psql -XAtU postgres -d conversation_pprd_wa -c \"{query}\"");
        let output = self.in_pod(&script, Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        let rows = String::from_utf8(output.stdout).unwrap();
        rows.lines().map(str::to_owned).collect()
    }

    fn upload(&self, file: &Path, name: &str) {
        let script = format!("cat >{STAGE}/{name} && chmod 700 {STAGE}/{name}");
        let stdin = File::open(file).unwrap().into();
        assert!(self.in_pod(&script, stdin).status().unwrap().success());
    }

    fn write(&self, name: &str, content: &str) {
        let file = self.directory.path().join(name);
        fs::write(&file, content).unwrap();
        self.upload(&file, name);
    }

    fn secret(&self, name: &str, key: &str) -> String {
        let secret = self.ask(&["get", "secret", name, "-o", "json"]);
        let secret: Value = serde_json::from_str(&secret).unwrap();
        let value = BASE64_STANDARD.decode(secret["data"][key].as_str().unwrap());
        String::from_utf8(value.unwrap()).unwrap()
    }

    fn credentials(&self) -> Value {
        let store = &self.sandbox.names().store_secret;
        let vcap: Value = serde_json::from_str(&self.secret(&store.name, store.key)).unwrap();
        vcap["user-provided"][1]["credentials"].clone()
    }

    fn tokens(&self) -> Vec<String> {
        if self.sandbox.names().service_token {
            return vec![self.secret("zen-service-broker-secret", "token")];
        }
        let users = ["wa-admin", "wa-developer"];
        users
            .map(|user| fs::read_to_string(self.sandbox.user_tokens().join(user)).unwrap())
            .map(|token| token.trim().to_owned())
            .to_vec()
    }

    /// Puts everything where IBM's page puts it.
    fn stage(&self, backup: &Backup) {
        let made = self
            .in_pod(&format!("mkdir -p {STAGE}"), Stdio::null())
            .status();
        assert!(made.unwrap().success());
        self.upload(Path::new(env!("CARGO_BIN_EXE_pgmig")), "pgmig");
        self.upload(&backup.dump(), "store.dump");
        self.write(
            "ca.crt",
            &self.secret(&self.sandbox.names().postgres_ca_secret(), "ca.crt"),
        );
        let found = self.credentials();
        let postgres = format!(
            "host: {}\nport: {}\ndatabase: {}\nusername: {}\nsu_username: {}\nsu_password: {}\n",
            found["host"],
            found["port"],
            found["database"],
            found["username"],
            found["username"],
            found["password"]
        );
        self.write("postgres.yaml", &postgres);
        self.write_tokens(&self.tokens());
    }

    fn write_tokens(&self, tokens: &[String]) {
        let names = self.sandbox.names();
        let list = tokens.iter().map(|token| format!("  - {token}\n"));
        let list = list.collect::<Vec<_>>().concat();
        let rest = if names.service_token {
            format!(
                "host: zen-core-api-svc.{}\nport: 4444\ntype: assistant\n",
                names.namespace
            )
        } else {
            format!(
                "host: {}.{}\nport: 5000\n",
                names.gateway(),
                names.namespace
            )
        };
        self.write(
            "resourceController.yaml",
            &format!("accessTokens:\n{list}{rest}"),
        );
    }

    /// Maps the instances of the backup to those of this cluster, the first to the last.
    fn write_mapping(&self, backup: &Backup) -> Vec<String> {
        let targets = self.rows(&format!("select tenant_id {LIVE} order by 1 desc"));
        let lines = mapping_lines(backup, &targets);
        self.write("mapping.yaml", &format!("instance-mappings:\n{lines}"));
        targets
    }

    fn pgmig(&self, arguments: &str, stdin: Stdio) -> Output {
        let icp = self.sandbox.names().postgres_version == Some(16);
        self.pgmig_in(if icp { "ENABLE_ICP=true" } else { "" }, arguments, stdin)
    }

    fn pgmig_in(&self, environment: &str, arguments: &str, stdin: Stdio) -> Output {
        let script = format!(
            "cd {STAGE} && export PG_CA_FILE={STAGE}/ca.crt {environment} && \
             ./pgmig -r resourceController.yaml -t postgres.yaml -s store.dump {arguments}"
        );
        self.in_pod(&script, stdin).output().unwrap()
    }

    fn expect_failure(&self, output: &Output, why: &str) {
        assert!(!output.status.success());
        assert!(text(output).contains(why), "{}", text(output));
        self.expect_no_secret(output);
    }

    fn expect_no_secret(&self, output: &Output) {
        let password = self.credentials()["password"].as_str().unwrap().to_owned();
        for secret in self.tokens().into_iter().chain([password]) {
            assert!(!text(output).contains(&secret), "a secret is shown");
        }
    }
}

fn mapping_lines(backup: &Backup, targets: &[String]) -> String {
    let pairs = backup.instances.iter().zip(targets);
    let lines = pairs.map(|(from, to)| format!("  {from}: {to}\n"));
    lines.collect::<Vec<_>>().concat()
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_restored_with_the_ids_of_the_target() {
    for (from, to) in [
        (Profile::V5_1, Profile::V5_2_1),
        (Profile::V4_0, Profile::V4_8_5),
    ] {
        let backup = Backup::from_profile(from).await;
        let world = World::target(to, Instances::Target).await;
        world.stage(&backup);
        let mut targets = world.write_mapping(&backup);
        let of_first = "select count(*) from workspace where tenant_id = ";
        let output = world.pgmig("--force --mapping mapping.yaml", Stdio::null());
        assert!(output.status.success(), "{to}: {}", text(&output));
        world.expect_no_secret(&output);
        // The first instance of the backup has the workspaces 6, 12, 18 and 24, and is the last of the target now.
        assert_eq!(
            world.rows(&format!("{of_first}'{}'", targets[0])),
            ["4"],
            "{to}"
        );
        targets.sort();
        assert_eq!(
            world.rows(&format!("select tenant_id {LIVE} order by 1")),
            targets,
            "{to}"
        );
        let workspaces = "select count(*), min(workspace_id::text) from workspace";
        assert_eq!(
            world.rows(workspaces),
            ["24|00000000-0000-4000-8000-000000000001"],
            "{to}"
        );
        let version = world.sandbox.names().schema_version.to_string();
        assert_eq!(
            world.rows("select max(version) from schema_version"),
            [version],
            "{to}"
        );
        let blobs = "select count(*) from attachment, lateral lo_get(content) bytes where length(bytes) = 3600";
        assert_eq!(world.rows(blobs), ["3"], "{to}");
        world.sandbox.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_connection_is_said_before_anything_is_cleared() {
    let backup = Backup::from_profile(Profile::V5_2_1).await;
    let world = World::target(Profile::V5_2_1, Instances::Target).await;
    world.stage(&backup);
    world.write_mapping(&backup);
    let untouched = world.rows("select min(workspace_id::text) from workspace");
    for test in ["--testPGConnection", "--testRCConnection"] {
        assert!(world.pgmig(test, Stdio::null()).status.success(), "{test}");
    }
    let restore = "--force --mapping mapping.yaml";
    for arguments in ["--testPGConnection", restore] {
        let output = world.pgmig_in("", arguments, Stdio::null());
        world.expect_failure(&output, "ENABLE_ICP=true is not set");
        let other = world.secret("wa-etcd-client-tls", "etcd-client-ca.crt");
        world.write("other.crt", &other);
        let environment = format!("ENABLE_ICP=true PG_CA_FILE={STAGE}/other.crt");
        let output = world.pgmig_in(&environment, arguments, Stdio::null());
        world.expect_failure(&output, "certificate verify failed");
    }
    world.write_tokens(&["expired".to_owned()]);
    for arguments in ["--testRCConnection", restore] {
        world.expect_failure(&world.pgmig(arguments, Stdio::null()), "401 Unauthorized");
    }
    let untouched_still = world.rows("select min(workspace_id::text) from workspace");
    assert_eq!(untouched_still, untouched);
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_instances_come_out_when_the_database_is_cleared() {
    let backup = Backup::from_profile(Profile::V5_2_1).await;
    let world = World::target(Profile::V5_2_1, Instances::Fewer).await;
    world.stage(&backup);
    world.write_mapping(&backup);
    let output = world.pgmig("--force --mapping mapping.yaml", Stdio::null());
    world.expect_failure(&output, "5 in the backup, 3 in this cluster");
    let tables = "select count(*) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace";
    assert_eq!(world.rows(tables), ["0"]);
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_mapping_it_asks_and_writes_the_answers_down() {
    let backup = Backup::from_profile(Profile::V5_2_1).await;
    let world = World::target(Profile::V5_2_1, Instances::Target).await;
    world.stage(&backup);
    let nobody = world.pgmig("", Stdio::null());
    world.expect_failure(&nobody, "nobody answers");
    let targets = world.rows(&format!("select tenant_id {LIVE} order by 1"));
    assert_eq!(targets.len(), 5, "nothing was cleared");

    let answers = format!("y\nnone of them\n{}\n", targets.join("\n"));
    let file = world.directory.path().join("answers");
    fs::write(&file, answers).unwrap();
    let output = world.pgmig("", File::open(&file).unwrap().into());
    assert!(output.status.success(), "{}", text(&output));
    let said = text(&output);
    assert!(said.contains("(5 of 5) Enter the instance for"), "{said}");
    let entered = world
        .in_pod(&format!("cat {STAGE}/enteredMapping.yaml"), Stdio::null())
        .output();
    let lines = mapping_lines(&backup, &targets);
    assert_eq!(
        text(&entered.unwrap()),
        format!("instance-mappings:\n{lines}")
    );
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_killed_leaves_pg_restore_at_work_and_the_ids_of_the_source() {
    let backup = Backup::from_profile(Profile::V5_2_1).await;
    let world = World::target(Profile::V5_2_1, Instances::Target).await;
    world.stage(&backup);
    world.write_mapping(&backup);
    let faults = "--fault crash-in-restore --fault slow-restore=60000";
    let arguments = format!("--force --mapping mapping.yaml {faults} >log 2>&1");
    let output = world.pgmig(&arguments, Stdio::null());
    assert!(!output.status.success());
    let at_work = "grep -lx pg_restore /proc/[0-9]*/comm";
    assert!(
        world
            .in_pod(at_work, Stdio::null())
            .output()
            .unwrap()
            .status
            .success()
    );
    let begin = Instant::now();
    while world
        .in_pod(at_work, Stdio::null())
        .output()
        .unwrap()
        .status
        .success()
    {
        assert!(
            begin.elapsed() < Duration::from_mins(2),
            "pg_restore does not end"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(
        world.rows(&format!("select tenant_id {LIVE} order by 1")),
        backup.instances
    );
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_wrong_as_a_file_in_the_pod_says() {
    let backup = Backup::from_profile(Profile::V5_2_1).await;
    let world = World::target(Profile::V5_2_1, Instances::Target).await;
    world.stage(&backup);
    let mut targets = world.write_mapping(&backup);
    targets.sort();
    let tables = "select count(*) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace";
    let tenants = format!("select tenant_id {LIVE} order by 1");
    let workspaces = "select count(*) from workspace";
    for (fault, succeeds, query, expected) in [
        ("crash-after-clearing", false, tables, &["0".to_owned()][..]),
        ("crash-before-mapping", false, &tenants, &backup.instances),
        ("keep-ids", true, &tenants, &backup.instances),
        ("lose-workspace", true, workspaces, &["23".to_owned()]),
        (
            "add-row",
            true,
            "select count(*) from schema_version where version = 0",
            &["1".to_owned()],
        ),
        ("silence=1", true, &tenants, &targets),
    ] {
        let set = format!("echo {fault} >/controller/pgmig-faults");
        assert!(
            world
                .in_pod(&set, Stdio::null())
                .status()
                .unwrap()
                .success()
        );
        let output = world.pgmig("--force --mapping mapping.yaml", Stdio::null());
        assert_eq!(
            output.status.success(),
            succeeds,
            "{fault}: {}",
            text(&output)
        );
        assert_eq!(world.rows(query), expected, "{fault}");
    }
    world.sandbox.stop().await;
}
