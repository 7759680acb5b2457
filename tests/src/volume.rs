//! The backup volume, and `kubectl wa-pvc`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kube_sandbox::meta::{Resource, object, resources};
use serde_json::{Value, json};

use crate::{Outcome, World, binary, run, wait_until};

/// Labels that the plugin's objects carry.
const RUN_LABEL: &str = "kubectl-wa/run";
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "kubectl-wa-pvc");
/// Label of the pods and Jobs that a test puts on the volume.
const SLEEPER: &str = "end-to-end/sleeper";

impl World {
    /// `kubectl wa-pvc` with these arguments, in `directory`.
    pub fn pvc_command(&self, directory: &Path, arguments: &[&str]) -> Command {
        let mut command = self.command(binary("kubectl-wa-pvc"));
        command.args(arguments).current_dir(directory);
        command
    }

    /// The same, run.
    pub fn pvc(&self, directory: &Path, arguments: &[&str]) -> Outcome {
        run(&mut self.pvc_command(directory, arguments))
    }

    /// `kubectl wa-pvc pull --to sets` with more arguments.
    pub fn pull(&self, directory: &Path, arguments: &[&str]) -> Outcome {
        self.pvc(directory, &[&["pull", "--to", "sets"], arguments].concat())
    }

    /// The name of the persistent volume that the backups are on.
    pub fn volume_name(&self) -> String {
        let claim = &self.sandbox().names().backup_claim;
        self.kubectl(&["get", "pvc", claim, "-o", "jsonpath={.spec.volumeName}"])
    }

    /// The directory that is the content of that volume.
    pub fn volume_directory(&self) -> PathBuf {
        self.sandbox().disks().volume(&self.volume_name())
    }

    /// The names of the dumps on the volume, the newest first.
    pub fn dumps(&self) -> Vec<String> {
        let files = fs::read_dir(self.volume_directory()).unwrap();
        let mut dumps: Vec<String> = files
            .filter_map(|file| file.unwrap().file_name().into_string().ok())
            .filter(|name| name.starts_with("store.dump_"))
            .collect();
        dumps.sort_by(|a, b| b.cmp(a));
        dumps
    }

    /// The content of the newest dump.
    pub fn newest_dump(&self) -> Vec<u8> {
        fs::read(self.volume_directory().join(&self.dumps()[0])).unwrap()
    }

    /// The lease of the only run there is.
    #[track_caller]
    pub fn only_lease(&self) -> String {
        let objects = self.objects_of_runs();
        let mut leases = objects.iter().filter_map(|one| one.strip_prefix("leases/"));
        let lease = leases.next().unwrap().to_owned();
        assert_eq!(leases.next(), None);
        lease
    }

    /// Every object in the cluster that is the plugin's, such as `pods/wa-pvc-3f9a1c07-helper`.
    pub fn objects_of_runs(&self) -> Vec<String> {
        let store = self.sandbox().store();
        let ours = |object: &Value| {
            let labels = &object["metadata"]["labels"];
            labels.get(RUN_LABEL).is_some() || labels[MANAGED_BY.0] == MANAGED_BY.1
        };
        let of_kind = |kind: &&'static Resource| {
            let objects = store.list(kind, None).items;
            let ours = objects.into_iter().filter(|object| ours(object));
            ours.map(|object| format!("{}/{}", kind.plural, object::name(&object)))
                .collect::<Vec<_>>()
        };
        resources::ALL.iter().flat_map(of_kind).collect()
    }

    /// Fails the test unless the cluster is as if the plugin had never run in it.
    #[track_caller]
    pub fn expect_nothing_left(&self) {
        self.expect_no_strangers();
        assert_eq!(self.objects_of_runs(), Vec::<String>::new());
        assert_eq!(self.sandbox().portworx().in_use(&self.volume_name()), None);
        let selector = ["-n", "kube-system", "-l", "name=portworx"];
        let pods = self.kubectl(&[&["get", "pods", "-o", "name"], &selector[..]].concat());
        for pod in pods.lines() {
            let list = ["ls", "-A", "/var/lib/osd/mounts"];
            let exec = ["exec", "-n", "kube-system", pod, "-c", "portworx", "--"];
            assert_eq!(self.kubectl(&[&exec[..], &list].concat()), "", "{pod}");
        }
    }

    /// A pod's spec with the CronJob's image that has the backup volume mounted at `/data` and sleeps.
    fn sleeper_on_volume(&self) -> Value {
        let cron_job = self.sandbox().names().cron_job();
        let image = "jsonpath={.spec.jobTemplate.spec.template.spec.containers[0].image}";
        let image = self.kubectl(&["get", "cronjob", &cron_job, "-o", image]);
        let claim = &self.sandbox().names().backup_claim;
        json!({
            "containers": [{
                "name": "sleeper", "image": image, "command": ["sleep", "100000"],
                "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
            }],
            "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": claim } }],
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
        })
    }

    /// Undoes what tests that failed have left: the plugin's changes, pods and Jobs on the volume, a schedule.
    pub(crate) fn reset_volume(&self) {
        if !self.objects_of_runs().is_empty() {
            let scratch = self.scratch();
            self.pvc(scratch.path(), &["cleanup"]);
        }
        self.delete_sleepers();
        if self.schedule() != self.quiet_schedule {
            self.set_schedule(&self.quiet_schedule);
        }
    }

    /// When the CronJob takes backups.
    pub fn schedule(&self) -> String {
        let names = self.sandbox().names();
        let kind = &resources::CRON_JOBS;
        let cron_job =
            self.sandbox()
                .store()
                .get(kind, self.sandbox().namespace(), &names.cron_job());
        cron_job.unwrap()["spec"]["schedule"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Has the CronJob take backups at other times.
    #[track_caller]
    pub fn set_schedule(&self, schedule: &str) {
        let patch = json!({ "spec": { "schedule": schedule } }).to_string();
        let cron_job = self.sandbox().names().cron_job();
        self.kubectl(&["patch", "cronjob", &cron_job, "--type=merge", "-p", &patch]);
    }

    fn delete_sleepers(&self) {
        let store = self.sandbox().store();
        let is_sleeper =
            |object: &object::Object| object["metadata"]["labels"].get(SLEEPER).is_some();
        let kinds = [&resources::PODS, &resources::JOBS];
        if kinds
            .iter()
            .any(|kind| store.list(kind, None).items.iter().any(is_sleeper))
        {
            self.kubectl(&[
                "delete",
                "jobs,pods",
                "-l",
                SLEEPER,
                "--wait",
                "--timeout=60s",
            ]);
        }
    }

    /// Starts a pod that has the backup volume mounted at `/data`, and returns when it runs.
    #[track_caller]
    pub fn start_pod_on_volume(&self, name: &str) {
        self.create(&json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { SLEEPER: "" } },
            "spec": self.sleeper_on_volume(),
        }));
        self.kubectl(&[
            "wait",
            "pod",
            name,
            "--for=condition=Ready",
            "--timeout=60s",
        ]);
    }

    /// Starts a Job that has it mounted and does not end, and returns when its pod runs.
    #[track_caller]
    pub fn start_job_on_volume(&self, name: &str) {
        self.create(&json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name, "labels": { SLEEPER: "" } },
            "spec": { "template": { "spec": self.sleeper_on_volume() } },
        }));
        let selector = format!("job-name={name}");
        let running = "jsonpath={.items[*].status.phase}";
        wait_until("the pod of the job runs", || {
            self.kubectl(&["get", "pods", "-l", &selector, "-o", running]) == "Running"
        });
    }

    /// Deletes a pod and returns when it is gone.
    #[track_caller]
    pub fn delete_pod(&self, name: &str) {
        self.kubectl(&["delete", "pod", name, "--wait", "--timeout=60s"]);
    }
}

/// The backup sets that [`World::pull`] made in `directory`, complete or not.
pub fn sets(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory.join("sets")) else {
        return Vec::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// The files on the volume that `pull -o json` tells of, in the order of its output.
pub fn fetched(outcome: &Outcome) -> Vec<String> {
    let outcome = outcome.json();
    let sets = outcome["sets"].as_array().unwrap().iter();
    sets.map(|set| set["volume"]["file"].as_str().unwrap().to_owned())
        .collect()
}
