//! The whole cluster with its real PostgreSQL and etcd, asked by a real kubectl.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use wa_sandbox::world::{Profile, Seed};

use crate::support::World;

impl World {
    /// Runs a script in a pod with the store's password in the environment of that process.
    fn with_password(&self, pod: &str, script: &str) -> Output {
        let names = self.sandbox.names();
        let secret = self.ask(&["get", "secret", &names.store_secret.name, "-o", "json"]);
        let secret: Value = serde_json::from_str(&secret).unwrap();
        let vcap = secret["data"][names.store_secret.key].as_str().unwrap();
        let vcap: Value = serde_json::from_slice(&base64_decode(vcap)).unwrap();
        let credentials = &vcap["user-provided"][1]["credentials"];
        let script = format!(
            "IFS= read -r PGPASSWORD; export PGPASSWORD PGHOST={} PGUSER={} PGDATABASE={}; {script}",
            credentials["host"].as_str().unwrap(),
            credentials["username"].as_str().unwrap(),
            credentials["database"].as_str().unwrap(),
        );
        let password = self.directory.path().join("password");
        fs::write(
            &password,
            format!("{}\n", credentials["password"].as_str().unwrap()),
        )
        .unwrap();
        Command::new("kubectl")
            .env("KUBECONFIG", self.sandbox.kubeconfig())
            .env("HOME", self.directory.path())
            .args([
                "exec", "-i", pod, "-c", "postgres", "--", "sh", "-c", &script,
            ])
            .stdin(fs::File::open(password).unwrap())
            .output()
            .unwrap()
    }

    /// The files on the backup volume, seen by a helper pod.
    fn store_backups(&self) -> Vec<String> {
        let container = "jsonpath={.spec.jobTemplate.spec.template.spec.containers[0].image}";
        let image = self.ask(&["get", "cronjob", "wa-store-cronjob", "-o", container]);
        let overrides = json!({ "apiVersion": "v1", "spec": {
            "volumes": [{ "name": "b", "persistentVolumeClaim": { "claimName": self.sandbox.names().backup_claim } }],
            "containers": [{
                "name": "reader", "image": image, "command": ["ls", "/store-backups"],
                "volumeMounts": [{ "name": "b", "mountPath": "/store-backups" }],
            }],
        } });
        let overrides = overrides.to_string();
        self.ask(&[
            "run",
            "reader",
            "--image",
            &image,
            "--restart=Never",
            "--overrides",
            &overrides,
        ]);
        self.ask(&[
            "wait",
            "pod/reader",
            "--for=jsonpath={.status.phase}=Succeeded",
            "--timeout=30s",
        ]);
        let files = self.ask(&["logs", "reader"]);
        self.ask(&["delete", "pod", "reader"]);
        files.lines().map(str::to_owned).collect()
    }

    /// Processes of this machine that have the cluster's directory in their command line.
    fn processes(directory: &Path) -> Vec<String> {
        let needle = directory.to_str().unwrap();
        fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| line.contains(needle))
            .collect()
    }
}

fn base64_decode(text: &str) -> Vec<u8> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    BASE64_STANDARD.decode(text).unwrap()
}

fn succeeded(output: &Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_answers_over_tls_with_the_secret_s_password_from_both_pods() {
    let world = World::start(|config| config.profile = Profile::V5_2_1).await;
    for pod in ["wa-postgres-16-1", "wa-postgres-16-2"] {
        let query = "select ssl, (select count(*) from tenant), (select count(*) from workspace) \
                     from pg_stat_ssl where pid = pg_backend_pid()";
        let answer = world.with_password(pod, &format!("PGSSLMODE=require psql -XAtc '{query}'"));
        assert_eq!(succeeded(&answer).trim(), "t|10|24", "{pod}");
    }
    let plain = world.with_password(
        "wa-postgres-16-1",
        "PGSSLMODE=disable psql -XAtc 'select 1'",
    );
    assert!(!plain.status.success());
    let complaint = String::from_utf8_lossy(&plain.stderr).into_owned();
    assert!(complaint.contains("no pg_hba.conf entry"), "{complaint}");
    let wrong = world.with_password("wa-postgres-16-1", "PGPASSWORD=wrong psql -XAtc 'select 1'");
    let complaint = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        complaint.contains("password authentication failed"),
        "{complaint}"
    );
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_of_the_store_is_signed_by_the_ca_secret() {
    let world = World::start(|config| config.profile = Profile::V4_8_5).await;
    let ca = world.ask(&[
        "get",
        "secret",
        "wa-postgres-ca",
        "-o",
        "jsonpath={.data.ca\\.crt}",
    ]);
    let script = format!(
        "mkdir -p /controller/tmp && echo {ca} | base64 -d >/controller/tmp/ca.crt && \
         PGSSLMODE=verify-full PGSSLROOTCERT=/controller/tmp/ca.crt psql -XAtc 'select 1'"
    );
    assert_eq!(
        succeeded(&world.with_password("wa-postgres-1", &script)).trim(),
        "1"
    );
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_has_about_the_size_asked_for_and_everything_a_dump_can_hold() {
    const BYTES: u64 = 3_000_000;
    let world = World::start(|config| {
        config.profile = Profile::V5_1;
        config.seed = Seed::Bytes(BYTES);
    })
    .await;
    let script = "pg_dump -Fc >/controller/tmp.dump && wc -c </controller/tmp.dump && pg_restore --list /controller/tmp.dump";
    let answer = succeeded(&world.with_password("wa-postgres-16-1", script));
    let (size, list) = answer.split_once('\n').unwrap();
    let size: u64 = size.trim().parse().unwrap();
    assert!(size.abs_diff(BYTES) < BYTES / 20, "{size} bytes");
    for entry in [
        "TABLE DATA public tenant",
        "TABLE DATA public workspace",
        "TABLE DATA public log_event",
        "VIEW public active_tenant",
        "SEQUENCE SET public snapshot_number",
        "FK CONSTRAINT public workspace",
        "INDEX public workspace_training",
        "BLOBS",
    ] {
        assert!(list.contains(entry), "no {entry} in {list}");
    }
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_counts_the_workspaces_for_root_and_refuses_others() {
    let world = World::start(|config| config.profile = Profile::V5_0_1).await;
    let etcdctl = "tls=/etc/etcdtls/operator/etcd-tls; ETCDCTL_API=3 etcdctl --command-timeout 60s --cert $tls/etcd-client.crt \
                   --key $tls/etcd-client.key --cacert $tls/etcd-client-ca.crt \
                   --endpoints https://$(hostname).$CLUSTER_NAME.cpd.svc.cluster.local:2379";
    let get = "get --prefix /bluegoat/voyager-nlu/voyager-nlu-slot-wa/workspaces/ --keys-only --limit=1 -w json";
    let as_root = format!("{etcdctl} --user root:$(cat /var/run/credentials/pass.key) {get}");
    let answer = world.ask(&["exec", "wa-etcd-0", "--", "bash", "-c", &as_root]);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["count"], 24);
    let as_nobody = world.kubectl(&[
        "exec",
        "wa-etcd-0",
        "--",
        "bash",
        "-c",
        &format!("{etcdctl} {get}"),
    ]);
    assert!(!as_nobody.status.success());
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_made_by_hand_backs_up_and_prunes_one_old_dump() {
    let world = World::start(|config| config.profile = Profile::V5_2_1).await;
    let before = world.store_backups();
    // The cluster took its latest one when it started. One of the same second would have the same name.
    let is_of_now = || {
        let now = jiff::Zoned::now().strftime("store.dump_%Y%m%d-%H%M%S");
        before.contains(&now.to_string())
    };
    while is_of_now() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    world.ask(&[
        "create",
        "job",
        "--from=cronjob/wa-store-cronjob",
        "by-hand",
    ]);
    world.ask(&[
        "wait",
        "job/by-hand",
        "--for=condition=complete",
        "--timeout=30s",
    ]);
    let after = world.store_backups();
    let gone: Vec<_> = before.iter().filter(|file| !after.contains(file)).collect();
    let new: Vec<_> = after.iter().filter(|file| !before.contains(file)).collect();
    // Two when the day changed meanwhile.
    let dumps = gone
        .iter()
        .filter(|file| file.starts_with("store.dump_"))
        .count();
    assert!(
        (1..=2).contains(&dumps),
        "{before:?}
{after:?}"
    );
    assert!(
        new.iter().any(|file| file.starts_with("store.dump_")),
        "{new:?}"
    );
    assert!(
        new.iter()
            .any(|file| file.starts_with("auth-encryption-wa_")),
        "{new:?}"
    );
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_job_that_the_history_keeps_has_its_completed_pod() {
    let world = World::start(|config| config.profile = Profile::V5_2_1).await;
    let of_cron_job = ["-l", "component=store-cronjob", "--no-headers"];
    let jobs = world.ask(&[&["get", "jobs"][..], &of_cron_job].concat());
    assert_eq!(jobs.lines().count(), 30, "{jobs}");
    assert!(jobs.lines().all(|job| job.contains("1/1")), "{jobs}");
    let pods = world.ask(&[&["get", "pods"][..], &of_cron_job].concat());
    assert_eq!(pods.lines().count(), 30, "{pods}");
    assert!(pods.lines().all(|pod| pod.contains("Completed")), "{pods}");
    // 29 nights ago is 28 days and some hours ago in the first hours of a day.
    let oldest = pods
        .lines()
        .find(|pod| pod.trim_end().ends_with("28d") || pod.trim_end().ends_with("29d"))
        .and_then(|pod| pod.split_whitespace().next())
        .unwrap();
    let pod = world.ask(&["get", "pod", oldest, "-o", "json"]);
    let pod: Value = serde_json::from_str(&pod).unwrap();
    let owner = &pod["metadata"]["ownerReferences"][0];
    assert_eq!(owner["kind"], "Job");
    assert_eq!(pod["metadata"]["labels"]["job-name"], owner["name"]);
    assert_eq!(pod["metadata"]["labels"]["controller-uid"], owner["uid"]);
    assert!(pod["spec"]["nodeName"].is_string());
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    assert_eq!(
        volumes[0]["persistentVolumeClaim"]["claimName"],
        world.sandbox.names().backup_claim.as_str()
    );
    let owner = owner["name"].as_str().unwrap();
    world.ask(&["delete", "job", owner]);
    world.ask(&["wait", "pod", oldest, "--for=delete", "--timeout=30s"]);
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_deleted_comes_back_with_its_data() {
    let world = World::start(|config| config.profile = Profile::V5_2_1).await;
    world.ask(&[
        "delete",
        "pod",
        "wa-postgres-16-1",
        "--grace-period=0",
        "--force",
    ]);
    world.ask(&[
        "wait",
        "pod/wa-postgres-16-1",
        "--for=condition=ready",
        "--timeout=30s",
    ]);
    let answer = world.with_password(
        "wa-postgres-16-2",
        "psql -XAtc 'select count(*) from workspace'",
    );
    assert_eq!(succeeded(&answer).trim(), "24");
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_profile_starts_and_two_clusters_live_side_by_side() {
    for pair in [
        [Profile::V4_0, Profile::V4_8_5],
        [Profile::V4_8_8, Profile::V5_0_1],
    ] {
        let (one, two) = tokio::join!(
            World::start(|config| config.profile = pair[0]),
            World::start(|config| config.profile = pair[1])
        );
        for world in [&one, &two] {
            let claim = &world.sandbox.names().backup_claim;
            assert_eq!(
                world.ask(&["get", "pvc", claim, "-o", "jsonpath={.status.phase}"]),
                "Bound"
            );
            let pods = world.ask(&["get", "pods", "--no-headers"]);
            assert!(
                !pods.contains("Error") && !pods.contains("BackOff"),
                "{pods}"
            );
        }
        tokio::join!(one.sandbox.stop(), two.sandbox.stop());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_after_a_stop_or_a_drop() {
    for stopped in [true, false] {
        let world = World::start(|config| config.profile = Profile::V5_2_1).await;
        let cluster = world.directory.path().join("cluster");
        assert!(
            !World::processes(&cluster).is_empty(),
            "the test sees no process at all"
        );
        if stopped {
            world.sandbox.stop().await;
            assert_eq!(World::processes(&cluster), Vec::<String>::new());
        } else {
            drop(world.sandbox);
            while !World::processes(&cluster).is_empty() {
                tokio::task::yield_now().await;
            }
        }
        assert!(!cluster.exists(), "files are left, stopped: {stopped}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_namespace_publishes_the_certificate_and_pods_find_it() {
    let world = World::start(|config| config.profile = Profile::V5_2_1).await;
    world.ask(&["create", "namespace", "later"]);
    let ca = "{.data.ca\\.crt}";
    for namespace in ["cpd", "later"] {
        let certificate = format!("--for=jsonpath={ca}");
        let config_map = "configmap/kube-root-ca.crt";
        world.ask(&[
            "wait",
            config_map,
            "-n",
            namespace,
            &certificate,
            "--timeout=30s",
        ]);
    }
    let in_pod = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
    let image = "jsonpath={.spec.jobTemplate.spec.template.spec.containers[0].image}";
    let image = world.ask(&["get", "cronjob", "wa-store-cronjob", "-o", image]);
    let image = format!("--image={image}");
    world.ask(&[
        "run",
        "reader",
        &image,
        "--restart=Never",
        "--command",
        "--",
        "cat",
        in_pod,
    ]);
    let ended = "--for=jsonpath={.status.phase}=Succeeded";
    world.ask(&["wait", "pod/reader", ended, "--timeout=30s"]);
    let seen = world.ask(&["logs", "reader"]);
    assert!(seen.starts_with("-----BEGIN CERTIFICATE-----"), "{seen}");
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_let_in_has_nothing_until_a_role_is_bound() {
    let world = World::start(|config| config.profile = Profile::V5_2_1).await;
    let kubeconfig = world.sandbox.user_kubeconfig("carol").unwrap();
    let as_carol = ["get", "pods", "--kubeconfig", kubeconfig.to_str().unwrap()];
    let refused = world.kubectl(&as_carol);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("User \"carol\" cannot list"), "{said}");
    world.ask(&["create", "role", "reader", "--verb=list", "--resource=pods"]);
    world.ask(&[
        "create",
        "rolebinding",
        "reader",
        "--role=reader",
        "--user=carol",
    ]);
    assert!(world.ask(&as_carol).contains("wa-etcd-0"));
    world.sandbox.stop().await;
}
