//! The steps from the stop of production on.

use std::fmt::Write as _;

use store_backup::sql;
use wa_common::assistant::OPERATOR;
use wa_common::report::count;

use super::{LOCAL, MAPPING_FILE, Plan, Step, WAIT, word};
use crate::config::{POSTGRES_FILE, RESOURCE_CONTROLLER_FILE};
use crate::target::Scaled;

impl Plan<'_> {
    pub(super) fn quiesce(&self) -> Step {
        let mut commands = Vec::new();
        let mut about = String::new();
        if let Some(cron_job) = &self.facts.cron_job {
            let name = word(&cron_job.name());
            let patch = word(r#"{"spec":{"suspend":true}}"#);
            if cron_job.is_suspended() {
                about.push_str("The nightly backup is suspended already, and stays so. ");
            } else {
                commands.push(self.oc(&format!("patch cronjob {name} --type=merge -p {patch}")));
            }
            for job in &self.facts.backups_at_work {
                let job = word(job);
                // `oc wait` waits for one condition, and for ever where the Job fails instead.
                let conditions =
                    format!("get job/{job} -o 'jsonpath={{.status.conditions[*].type}}'");
                commands.push(format!(
                    "until {} 2>&1 | grep -E 'Complete|Failed|NotFound'; do sleep 5; done",
                    self.oc(&conditions)
                ));
            }
        }
        let (namespace, replicas) = self.operator();
        let namespace = word(&namespace);
        commands.push(format!(
            "oc -n {namespace} scale deployment/{OPERATOR} --replicas=0"
        ));
        // Before the stores: one that is told to end goes on acting until it has ended, and would bring them back.
        let selector = self.facts.operator.as_ref();
        let selector = selector.and_then(|operator| operator.selector.as_deref());
        commands.push(format!(
            "oc -n {namespace} {}",
            pods_gone(OPERATOR, selector)
        ));
        for store in self.stores() {
            let name = word(&store.name);
            commands.push(self.oc(&format!("scale deployment/{name} --replicas=0")));
        }
        for store in self.stores() {
            let gone = pods_gone(&store.name, store.selector.as_deref());
            commands.push(self.oc(&gone));
        }
        let stores: Vec<String> = self.stores().iter().map(Scaled::in_words).collect();
        let _ = write!(
            about,
            "Production is down from here until \"resume service\". Counts to come back to: operator {}, {}. Go on only when no pod of the operator is left, and then when none of these stores is.",
            replicas,
            stores.join(", ")
        );
        if let Some(redis) = self.redis() {
            about.push_str(" Then Redis, which keeps what the store has read, is restarted.");
            commands.push(self.oc(&format!("rollout restart statefulset/{redis}")));
        }
        Step {
            name: "quiesce",
            about,
            commands,
        }
    }

    /// The StatefulSet of Redis, where there is one.
    fn redis(&self) -> Option<String> {
        let instance = self.facts.instance.as_ref().filter(|_| self.facts.redis);
        instance.map(|instance| word(&instance.redis_server()))
    }

    pub(super) fn copy_name(&self) -> String {
        format!("{}_before_restore", self.database)
    }

    pub(super) fn copy(&self) -> Step {
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {} AND pid <> pg_backend_pid()",
            sql::text(&self.database)
        );
        let copy = format!(
            "CREATE DATABASE {} TEMPLATE {}",
            sql::name(&self.copy_name()),
            sql::name(&self.database)
        );
        Step {
            name: "copy",
            about: "A copy inside the server, the fastest way back. It takes as much disk again as the database: look at `df` of the server first, and leave this out where it does not fit.".to_owned(),
            commands: vec![
                self.oc(&format!(
                    "exec {} -c postgres -- df -h /var/lib/postgresql/data",
                    word(&self.primary)
                )),
                self.psql("postgres", &end),
                self.psql("postgres", &copy),
            ],
        }
    }

    pub(super) fn migrate(&self) -> Step {
        let pgmig = format!(
            // In the braces, only what has no end of the connection open goes on in the background.
            "{} && {{ setsid bash -c {} </dev/null >pgmig.log 2>&1 & }}",
            self.environment(),
            word(&format!(
                "./pgmig --force --source store.dump --target {POSTGRES_FILE} --resourceController {RESOURCE_CONTROLLER_FILE} --mapping {MAPPING_FILE}{}; echo $? > pgmig.exit; exit 0",
                self.wxo()
            ))
        );
        Step {
            name: "migrate",
            about: "pgmig erases the database, restores the dump and upgrades its schema. It runs on when the connection breaks. Do not stop it in the middle; it is done when pgmig.exit is there, and has succeeded when that says 0.".to_owned(),
            commands: vec![
                self.in_pod(&pgmig),
                self.in_pod("tail -n +1 -f pgmig.log"),
                self.in_pod("cat pgmig.exit"),
            ],
        }
    }

    pub(super) fn check(&self) -> Step {
        let mut about = "What decides is what is in the database, not what pgmig says.".to_owned();
        if let Some(mapping) = &self.facts.mapping {
            let ids: Vec<&str> = mapping
                .pairs
                .iter()
                .map(|pair| pair.target.id.as_str())
                .collect();
            let _ = write!(
                about,
                " The {} must be there, by these ids: {}.",
                count(ids.len() as u64, "service instance"),
                ids.join(", ")
            );
        }
        let source = self.facts.source.as_ref();
        if let Some(rows) = source.and_then(|source| source.rows("workspace")) {
            let _ = write!(about, " The backup has {}.", count(rows, "workspace"));
        }
        Step {
            name: "check",
            about,
            commands: vec![
                self.psql(
                    &self.database,
                    "SELECT tenant_id, name, region FROM tenant WHERE deleted IS NOT TRUE",
                ),
                self.psql(&self.database, "SELECT count(*) FROM workspace"),
            ],
        }
    }

    pub(super) fn encryption_key(&self) -> Option<Step> {
        let file = self.facts.source.as_ref()?.auth_encryption_file()?;
        if !self.facts.key_differs {
            return None;
        }
        let secret = self.facts.instance.as_ref()?.auth_encryption_name();
        let patch = format!("{LOCAL}/key-patch.yaml");
        Some(Step {
            name: "encryption key",
            about: format!(
                "The one key of {secret} is replaced by the backup's; restored data cannot be read without it. The old secret is kept in {LOCAL}/{secret}.yaml. Nothing else of the secret is applied: IBM's page applies the whole object, with the old cluster's uid."
            ),
            commands: vec![
                format!(
                    "(umask 077; {} > {LOCAL}/{secret}.yaml)",
                    self.oc(&format!("get secret {} -o yaml", word(&secret)))
                ),
                format!(
                    "(umask 077; {{ echo data:; {}; }} > {patch})",
                    self.key_line(&word(&self.here(&file)))
                ),
                self.oc(&format!(
                    "patch secret {} --type=merge --patch-file {patch}",
                    word(&secret)
                )),
            ],
        })
    }

    /// Prints the line of the file that has the key.
    fn key_line(&self, file: &str) -> String {
        let find = "grep '^ *authorization_encryption_key:'";
        match self.age_keys() {
            Some(keys) => format!("age -d{keys} {file} | {find}"),
            None => format!("{find} {file}"),
        }
    }

    pub(super) fn resume_service(&self) -> Step {
        let mut commands = Vec::new();
        for store in self.stores() {
            let name = word(&store.name);
            commands.push(self.oc(&format!(
                "scale deployment/{name} --replicas={}",
                store.replicas
            )));
            commands.push(self.oc(&format!("rollout status deployment/{name} {WAIT}")));
        }
        let (namespace, replicas) = self.operator();
        let namespace = word(&namespace);
        commands.push(format!(
            "oc -n {namespace} scale deployment/{OPERATOR} --replicas={replicas}"
        ));
        commands.push(format!(
            "oc -n {namespace} rollout status deployment/{OPERATOR} {WAIT}"
        ));
        let cron_job = self.facts.cron_job.as_ref();
        if let Some(cron_job) = cron_job.filter(|cron_job| !cron_job.is_suspended()) {
            let patch = word(r#"{"spec":{"suspend":false}}"#);
            commands.push(self.oc(&format!(
                "patch cronjob {} --type=merge -p {patch}",
                word(&cron_job.name())
            )));
        }
        if let Some(redis) = self.redis() {
            commands.push(self.oc(&format!("rollout status statefulset/{redis} {WAIT}")));
        }
        // A table of its resources has neither in many releases.
        commands.push(self.oc(&format!(
            "get watsonassistant {} -o {} -w",
            word(&self.instance),
            word(r#"jsonpath={.status.watsonAssistantStatus} {.status.progress}{"\n"}"#)
        )));
        Step {
            name: "resume service",
            about: "To the counts of before, which for the operator need not be 1. The status is stale until the operator has reconciled once; it is well when it says Completed and 100%.".to_owned(),
            commands,
        }
    }

    pub(super) fn clean_up(&self) -> Step {
        let files = [POSTGRES_FILE, RESOURCE_CONTROLLER_FILE, "store.dump"];
        let secrets = files.join(" ");
        Step {
            name: "clean up",
            about: "What holds secrets first. Drop the copy inside the server only when the restored service has proved itself.".to_owned(),
            commands: vec![
                self.in_pod(&format!("rm -f {secrets}")),
                format!("{} > pgmig.log", self.in_pod("cat pgmig.log")),
                self.oc(&format!(
                    "exec {} -c postgres -- rm -rf {}",
                    word(&self.pod),
                    word(&self.staged)
                )),
                format!("rm -rf {LOCAL}"),
                self.psql(
                    "postgres",
                    &format!("DROP DATABASE IF EXISTS {}", sql::name(&self.copy_name())),
                ),
            ],
        }
    }

    pub(super) fn roll_back(&self) -> Step {
        let (copy, database) = (sql::name(&self.copy_name()), sql::name(&self.database));
        let failed = sql::name(&format!("{}_failed_restore", self.database));
        Step {
            name: "way back",
            about: "Only if \"migrate\" or \"check\" failed: with pgmig and pg_restore ended and the stores at 0, the copy takes the database's place. Then go on with \"resume service\". Without the copy, restore the safety backup.".to_owned(),
            commands: vec![
                self.oc(&format!(
                    "exec {} -c postgres -- ps -ef",
                    word(&self.pod)
                )),
                self.psql(
                    "postgres",
                    &format!("ALTER DATABASE {database} RENAME TO {failed}"),
                ),
                self.psql("postgres", &format!("ALTER DATABASE {copy} RENAME TO {database}")),
            ],
        }
    }
}

/// The end of a command that waits until the pods of a Deployment are gone; where they cannot be found by their labels, of
/// one that shows them. A rollout to 0 has ended before that.
fn pods_gone(deployment: &str, selector: Option<&str>) -> String {
    match selector {
        Some(labels) => format!("wait pod -l {} --for=delete {WAIT}", word(labels)),
        None => format!("get pods | grep {}", word(deployment)),
    }
}

/// What is left to do.
pub(super) fn afterwards() -> Step {
    Step {
        name: "afterwards",
        about: "Retrain the models, as IBM's page \"Retraining your backend model\" says. Not restored: access rights, search integrations, object storage (published versions, trained models), logs. The ids and credentials of service instances are the target's: clients must be given them.".to_owned(),
        commands: Vec::new(),
    }
}
