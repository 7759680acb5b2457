//! The restore as commands: IBM's procedure, with its gaps closed and its values filled in.
//!
//! No secret stands in a command: passwords and tokens are in the files that `kubectl wa-restore config` writes, and the
//! encryption key in the backup set. What is not known stands in capitals between `<` and `>`.

use std::path::Path;

use serde::Serialize;
use wa_common::report::count;

use crate::checks::{Facts, Options};
use crate::config::{CA_FILE, POSTGRES_FILE, RESOURCE_CONTROLLER_FILE, RcForm};
use crate::pgmig::Packing;
use crate::target::{OPERATOR, Scaled};

/// The directory on this machine that everything is prepared in.
const LOCAL: &str = "wa-restore-files";
/// The mapping in that directory.
const MAPPING_FILE: &str = "mapping.yaml";
/// How long each wait of a command may take.
const WAIT: &str = "--timeout=15m";

/// One step of the restore.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// What it is called.
    pub name: &'static str,
    /// What it does, and what must be known about it.
    pub about: String,
    /// The commands of it, as a shell takes them.
    pub commands: Vec<String>,
}

/// The whole restore, from what was found out.
pub fn steps(options: &Options, facts: &Facts) -> Vec<Step> {
    let plan = Plan::new(options, facts);
    vec![
        plan.prepare(),
        plan.safety_backup(),
        plan.stage(),
        plan.connections(),
        plan.quiesce(),
        plan.copy(),
        plan.migrate(),
        plan.check(),
        plan.encryption_key(),
        plan.resume_service(),
        plan.clean_up(),
        plan.afterwards(),
        plan.roll_back(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

struct Plan<'a> {
    options: &'a Options,
    facts: &'a Facts,
    /// `-n cpd`, quoted.
    namespace: String,
    instance: String,
    staged: String,
    pod: String,
    primary: String,
    database: String,
}

impl<'a> Plan<'a> {
    fn new(options: &'a Options, facts: &'a Facts) -> Self {
        let instance = facts.instance.as_ref();
        let or = |known: Option<&str>, unknown: &str| known.unwrap_or(unknown).to_owned();
        Self {
            namespace: or(instance.map(|one| one.namespace.as_str()), "<NAMESPACE>"),
            instance: or(instance.map(|one| one.name.as_str()), "<INSTANCE>"),
            staged: format!("{}/wa-restore", options.stage_dir.trim_end_matches('/')),
            pod: or(
                facts.pod.as_ref().map(|pod| pod.name.as_str()),
                "<POSTGRES_POD>",
            ),
            primary: or(
                facts.primary.as_ref().map(|pod| pod.name.as_str()),
                "<PRIMARY_POD>",
            ),
            database: or(
                facts
                    .datastore
                    .as_ref()
                    .map(|store| store.database.as_str()),
                "<DATABASE>",
            ),
            options,
            facts,
        }
    }

    fn oc(&self, rest: &str) -> String {
        format!("oc -n {} {rest}", word(&self.namespace))
    }

    /// A shell script in the pod that everything is staged in.
    fn in_pod(&self, script: &str) -> String {
        let script = format!("cd {} && {script}", word(&self.staged));
        self.oc(&format!(
            "exec {} -c postgres -- bash -c {}",
            word(&self.pod),
            word(&script)
        ))
    }

    /// psql as the superuser, on the local socket of the primary, which needs no password.
    fn psql(&self, database: &str, sql: &str) -> String {
        self.oc(&format!(
            "exec {} -c postgres -- psql -U postgres -d {} -c {}",
            word(&self.primary),
            word(database),
            word(sql)
        ))
    }

    fn dump(&self) -> String {
        let source = self.facts.source.as_ref();
        source.map_or_else(
            || self.options.backup.display().to_string(),
            |source| source.dump.display().to_string(),
        )
    }

    fn operator(&self) -> (String, i32) {
        let operator = self.facts.operator.as_ref();
        let namespace = operator
            .map(|one| one.namespace.as_str())
            .or(self.options.operators_namespace.as_deref());
        (
            namespace.unwrap_or("<OPERATORS_NAMESPACE>").to_owned(),
            operator.map_or(1, |one| one.replicas),
        )
    }

    fn stores(&self) -> Vec<Scaled> {
        self.facts.stores.clone().unwrap_or_else(|| {
            vec![Scaled {
                namespace: self.namespace.clone(),
                name: "<STORE_DEPLOYMENT>".to_owned(),
                replicas: 1,
                ready: 1,
            }]
        })
    }

    fn prepare(&self) -> Option<Step> {
        let target = format!("-n {} -i {}", word(&self.namespace), word(&self.instance));
        let mut commands = vec![format!("kubectl wa-restore config {target} --to {LOCAL}")];
        if self.facts.rc_form == Some(RcForm::UserTokens) {
            commands[0].push_str(" --token-file <TOKEN_FILE>");
        }
        let backup = word(&self.options.backup.display().to_string());
        commands.push(if let Some(file) = &self.options.mapping {
            format!(
                "cp {} {LOCAL}/{MAPPING_FILE}",
                word(&file.path.display().to_string())
            )
        } else {
            format!("kubectl wa-restore mapping {target} {backup} --to {LOCAL}/{MAPPING_FILE}")
        });
        commands.push(self.unpack_pgmig());
        Some(Step {
            name: "prepare",
            about: format!(
                "Nothing is changed yet. {LOCAL} then holds a password and tokens: keep it to yourself, and delete it at the end."
            ),
            commands,
        })
    }

    fn unpack_pgmig(&self) -> String {
        let Some(pgmig) = &self.facts.pgmig else {
            return format!("cp <PGMIG> {LOCAL}/pgmig");
        };
        let path = word(&pgmig.path.display().to_string());
        match pgmig.packing {
            Packing::Plain => format!("cp {path} {LOCAL}/pgmig"),
            // gzip reads what compress has packed too.
            Packing::Gzip | Packing::Compress => format!("gzip -dc < {path} > {LOCAL}/pgmig"),
        }
    }

    fn safety_backup(&self) -> Option<Step> {
        Some(Step {
            name: "safety backup",
            about: "pgmig erases the database before it restores. Without this backup there is no way back once the copy inside the server is gone.".to_owned(),
            commands: vec![format!(
                "kubectl wa-backup create -n {} -i {} --to {}",
                word(&self.namespace),
                word(&self.instance),
                word(&self.options.safety_to.display().to_string())
            )],
        })
    }

    fn stage(&self) -> Option<Step> {
        let staged = &self.staged;
        let pod = &self.pod;
        // One that is there already may be another restore's.
        let make = format!(
            "umask 077 && mkdir -p {} && mkdir {}",
            word(&self.options.stage_dir),
            word(staged)
        );
        let mut commands = vec![self.oc(&format!(
            "exec {} -c postgres -- bash -c {}",
            word(pod),
            word(&make)
        ))];
        let names = [
            POSTGRES_FILE,
            RESOURCE_CONTROLLER_FILE,
            CA_FILE,
            MAPPING_FILE,
            "pgmig",
        ];
        let local = names.map(|name| (format!("{LOCAL}/{name}"), name));
        let files = local.into_iter().chain([(self.dump(), "store.dump")]);
        commands.extend(files.map(|(from, name)| {
            // Unlike `oc cp` it needs no tar in the pod, and tells when it broke; the hashes tell the rest.
            self.oc(&format!(
                "exec -i {} -c postgres -- bash -c {} < {}",
                word(pod),
                word(&format!(
                    "umask 077 && cat > {}",
                    word(&format!("{staged}/{name}"))
                )),
                word(&from)
            ))
        }));
        commands.push(self.in_pod("chmod 700 pgmig && sha256sum store.dump pgmig"));
        let mut about = format!(
            "Into {staged} of pod {pod}, where only PostgreSQL's user reads it. Compare the hashes before you go on: a file that was cut off restores a part of the data."
        );
        if let Some(source) = &self.facts.source {
            about.push_str(&format!(" store.dump: {}.", source.intact.sha256));
        }
        if let Some(pgmig) = &self.facts.pgmig
            && pgmig.packing == Packing::Plain
        {
            about.push_str(&format!(" pgmig: {}.", pgmig.sha256));
        }
        Some(Step {
            name: "stage",
            about,
            commands,
        })
    }

    /// The environment that pgmig wants, set before it is run.
    fn environment(&self) -> String {
        let mut environment = format!(
            "export PG_CA_FILE={}",
            word(&format!("{}/{CA_FILE}", self.staged))
        );
        let postgres = self.facts.postgres.as_ref();
        if postgres.is_some_and(super::target::PostgresCluster::needs_enable_icp) {
            environment.push_str(" ENABLE_ICP=true");
        }
        environment
    }

    fn wxo(&self) -> &'static str {
        if self.facts.orchestrate { " --wxo" } else { "" }
    }

    fn connections(&self) -> Option<Step> {
        let run = |arguments: &str| {
            let environment = self.environment();
            self.in_pod(&format!("{environment} && ./pgmig {arguments} </dev/null"))
        };
        Some(Step {
            name: "connections",
            about: "All three must succeed before anything is stopped. Where --testRCConnection fails, write resourceController.yaml in the other form (config --rc-form).".to_owned(),
            commands: vec![
                run("--version"),
                run(&format!("--target {POSTGRES_FILE} --testPGConnection")),
                run(&format!(
                    "--resourceController {RESOURCE_CONTROLLER_FILE}{} --testRCConnection",
                    self.wxo()
                )),
            ],
        })
    }

    fn quiesce(&self) -> Option<Step> {
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
            for job in cron_job.active_jobs() {
                let job = word(&job);
                commands.push(self.oc(&format!("wait job/{job} --for=condition=complete {WAIT}")));
            }
        }
        let (namespace, replicas) = self.operator();
        let namespace = word(&namespace);
        commands.push(format!(
            "oc -n {namespace} scale deployment/{OPERATOR} --replicas=0"
        ));
        commands.push(format!(
            "oc -n {namespace} rollout status deployment/{OPERATOR} {WAIT}"
        ));
        for store in self.stores() {
            let name = word(&store.name);
            commands.push(self.oc(&format!("scale deployment/{name} --replicas=0")));
            commands.push(self.oc(&format!("rollout status deployment/{name} {WAIT}")));
        }
        // A rollout to 0 has ended before the last pods are gone.
        commands.push(format!("oc -n {namespace} get pods | grep {OPERATOR}"));
        commands.push(self.oc("get pods -l component=store"));
        let stores: Vec<String> = self.stores().iter().map(Scaled::in_words).collect();
        about.push_str(&format!(
            "Production is down from here until \"resume service\". Counts to come back to: operator {}, {}. Repeat the last two commands until they show no pod of the operator and none of these stores.",
            replicas,
            stores.join(", ")
        ));
        Some(Step {
            name: "quiesce",
            about,
            commands,
        })
    }

    fn copy_name(&self) -> String {
        format!("{}_before_restore", self.database)
    }

    fn copy(&self) -> Option<Step> {
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {} AND pid <> pg_backend_pid()",
            sql_text(&self.database)
        );
        let copy = format!(
            "CREATE DATABASE {} TEMPLATE {}",
            sql_name(&self.copy_name()),
            sql_name(&self.database)
        );
        Some(Step {
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
        })
    }

    fn migrate(&self) -> Option<Step> {
        let pgmig = format!(
            // In the braces, only what has no end of the connection open goes on in the background.
            "{} && {{ setsid bash -c {} </dev/null >pgmig.log 2>&1 & }}",
            self.environment(),
            word(&format!(
                "./pgmig --force --source store.dump --target {POSTGRES_FILE} --resourceController {RESOURCE_CONTROLLER_FILE} --mapping {MAPPING_FILE}{}; echo $? > pgmig.exit; exit 0",
                self.wxo()
            ))
        );
        Some(Step {
            name: "migrate",
            about: "pgmig erases the database, restores the dump and upgrades its schema. It runs on when the connection breaks. Do not stop it in the middle; it is done when pgmig.exit is there, and has succeeded when that says 0.".to_owned(),
            commands: vec![
                self.in_pod(&pgmig),
                self.in_pod("tail -n +1 -f pgmig.log"),
                self.in_pod("cat pgmig.exit"),
            ],
        })
    }

    fn check(&self) -> Option<Step> {
        let mut about = "What decides is what is in the database, not what pgmig says.".to_owned();
        if let Some(mapping) = &self.facts.mapping {
            let ids: Vec<&str> = mapping
                .pairs
                .iter()
                .map(|pair| pair.target.id.as_str())
                .collect();
            about.push_str(&format!(
                " The {} must be there, by these ids: {}.",
                count(ids.len() as u64, "service instance"),
                ids.join(", ")
            ));
        }
        let workspaces = self.facts.source.as_ref().and_then(|source| {
            let tables = source.intact.verified.contents.tables.iter();
            let table = tables.into_iter().find(|table| table.name == "workspace")?;
            table.rows
        });
        if let Some(rows) = workspaces {
            about.push_str(&format!(" The backup has {}.", count(rows, "workspace")));
        }
        Some(Step {
            name: "check",
            about,
            commands: vec![
                self.psql(
                    &self.database,
                    "SELECT tenant_id, name, region FROM tenant WHERE deleted IS NOT TRUE",
                ),
                self.psql(&self.database, "SELECT count(*) FROM workspace"),
            ],
        })
    }

    fn encryption_key(&self) -> Option<Step> {
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
                    "(umask 077; {{ echo data:; grep '^ *authorization_encryption_key:' {}; }} > {patch})",
                    word(&file.display().to_string())
                ),
                self.oc(&format!(
                    "patch secret {} --type=merge --patch-file {patch}",
                    word(&secret)
                )),
            ],
        })
    }

    fn resume_service(&self) -> Option<Step> {
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
        if let Some(instance) = self.facts.instance.as_ref().filter(|_| self.facts.redis) {
            let redis = word(&instance.redis_server());
            commands.push(self.oc(&format!("rollout restart statefulset/{redis}")));
            commands.push(self.oc(&format!("rollout status statefulset/{redis} {WAIT}")));
        }
        commands.push(self.oc(&format!("get watsonassistant {} -w", word(&self.instance))));
        Some(Step {
            name: "resume service",
            about: "To the counts of before, which for the operator need not be 1. The status is stale until the operator has reconciled once; it is well when it says Completed and 100%.".to_owned(),
            commands,
        })
    }

    fn clean_up(&self) -> Option<Step> {
        let files = [POSTGRES_FILE, RESOURCE_CONTROLLER_FILE, "store.dump"];
        let secrets = files.join(" ");
        Some(Step {
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
                    &format!("DROP DATABASE IF EXISTS {}", sql_name(&self.copy_name())),
                ),
            ],
        })
    }

    fn afterwards(&self) -> Option<Step> {
        Some(Step {
            name: "afterwards",
            about: "Retrain the models, as IBM's page \"Retraining your backend model\" says. Not restored: access rights, search integrations, object storage (published versions, trained models), logs. The ids and credentials of service instances are the target's: clients must be given them.".to_owned(),
            commands: Vec::new(),
        })
    }

    fn roll_back(&self) -> Option<Step> {
        let (copy, database) = (sql_name(&self.copy_name()), sql_name(&self.database));
        let failed = sql_name(&format!("{}_failed_restore", self.database));
        Some(Step {
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
        })
    }
}

/// A word for a shell; a placeholder stays readable.
fn word(text: &str) -> String {
    let is_placeholder = text.starts_with('<') && text.ends_with('>');
    if is_placeholder {
        return text.to_owned();
    }
    // Nothing that is used here holds a NUL, the only thing that cannot be quoted.
    shlex::try_quote(text).map_or_else(|_| "<UNQUOTABLE>".to_owned(), Into::into)
}

fn sql_name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn sql_text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Whether a directory can be used for staging: in the shell commands of a plan and in the pod.
pub fn require_stage_dir(directory: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        Path::new(directory).is_absolute()
            && directory != "/"
            && !directory.split('/').any(|part| part == "..")
            && !directory.chars().any(char::is_control),
        "{directory:?} cannot be a directory to stage in: give an absolute path"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use wa_common::assistant::Instance;

    use super::*;

    fn options() -> Options {
        Options {
            backup: PathBuf::from("my sets/wa-cpd"),
            mapping: None,
            pgmig: None,
            from_release: None,
            force_path: false,
            operators_namespace: None,
            stage_dir: "/controller/tmp".to_owned(),
            safety_to: PathBuf::from("wa-backups"),
            rc_form: None,
        }
    }

    #[test]
    fn counts_come_back_as_they_were_and_the_operator_last() {
        let scaled = |name: &str, replicas| Scaled {
            namespace: "ops".to_owned(),
            name: name.to_owned(),
            replicas,
            ready: replicas,
        };
        let facts = Facts {
            stores: Some(vec![scaled("wa-store", 3), scaled("wa-store-b", 2)]),
            operator: Some(scaled(OPERATOR, 2)),
            ..Facts::default()
        };
        let steps = steps(&options(), &facts);
        let resume = steps.iter().find(|step| step.name == "resume service");
        let scales: Vec<&String> = resume
            .unwrap()
            .commands
            .iter()
            .filter(|command| command.contains("scale"))
            .collect();
        assert!(scales[0].contains("wa-store --replicas=3"), "{scales:?}");
        assert!(scales[1].contains("wa-store-b --replicas=2"), "{scales:?}");
        assert!(scales[2].contains("-n ops"), "{scales:?}");
        assert!(scales[2].ends_with("--replicas=2"), "{scales:?}");
    }

    #[test]
    fn what_is_not_known_is_a_placeholder_and_what_is_is_quoted() {
        let facts = Facts {
            instance: Some(Instance {
                name: "wo-wa".to_owned(),
                namespace: "cpd".to_owned(),
                release: None,
            }),
            orchestrate: true,
            ..Facts::default()
        };
        let steps = steps(&options(), &facts);
        let commands: Vec<&String> = steps.iter().flat_map(|step| &step.commands).collect();
        let has = |part: &str| commands.iter().any(|command| command.contains(part));
        for part in [
            "<OPERATORS_NAMESPACE>",
            "<STORE_DEPLOYMENT>",
            "<POSTGRES_POD>",
            "'my sets/wa-cpd'",
            "--wxo",
            "-n cpd -i wo-wa",
        ] {
            assert!(has(part), "no {part} in {commands:#?}");
        }
        assert!(!has("ENABLE_ICP"));
        for command in commands {
            assert!(shlex::split(command).is_some(), "{command}");
        }
    }

    #[test]
    fn only_an_absolute_directory_is_staged_in() {
        assert!(require_stage_dir("/controller/tmp").is_ok());
        for directory in ["", "/", "tmp", "/controller/../etc", "/a\nb"] {
            assert!(require_stage_dir(directory).is_err(), "{directory:?}");
        }
    }
}
