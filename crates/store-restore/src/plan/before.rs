//! The steps before anything stops.

use std::fmt::Write as _;

use backup_set::Identities;

use super::{LOCAL, MAPPING_FILE, Plan, Step, word};
use crate::checks::MappingChoice;
use crate::config::{CA_FILE, POSTGRES_FILE, RESOURCE_CONTROLLER_FILE, RcForm};
use crate::pgmig::Packing;
use crate::target::PostgresCluster;

impl Plan<'_> {
    pub(super) fn prepare(&self) -> Step {
        let target = format!("-n {} -i {}", word(&self.namespace), word(&self.instance));
        let mut commands = vec![format!("kubectl wa-restore config {target} --to {LOCAL}")];
        if self.facts.rc_form == Some(RcForm::UserTokens) {
            commands[0].push_str(" --token-file <TOKEN_FILE>");
        }
        let backup = word(&self.options.backup.display().to_string());
        commands.extend(self.copy_here());
        commands.push(if let MappingChoice::File(file) = &self.options.mapping {
            format!(
                "cp {} {LOCAL}/{MAPPING_FILE}",
                word(&file.path.display().to_string())
            )
        } else {
            let keys = self
                .options
                .opener
                .identities
                .iter()
                .flat_map(Identities::files);
            let keys: Vec<String> = keys
                .map(|file| format!(" --identity {}", word(&file.display().to_string())))
                .collect();
            let keys = keys.concat();
            format!(
                "kubectl wa-restore mapping {target} {backup}{keys} --to {LOCAL}/{MAPPING_FILE}"
            )
        });
        commands.push(self.unpack_pgmig());
        Step {
            name: "prepare",
            about: format!(
                "Nothing is changed yet. {LOCAL} then holds a password and tokens: keep it to yourself, and delete it at the end."
            ),
            commands,
        }
    }

    pub(super) fn unpack_pgmig(&self) -> String {
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

    pub(super) fn safety_backup(&self) -> Step {
        let place = &self.options.safety;
        let mut create = format!(
            "kubectl wa-backup create -n {} -i {} --to {}",
            word(&self.namespace),
            word(&self.instance),
            word(&place.to.display().to_string())
        );
        for key in &place.encrypt_to {
            let _ = write!(create, " --encrypt-to {}", word(key));
        }
        for file in &place.recipients_files {
            let file = file.display().to_string();
            let _ = write!(create, " --recipients-file {}", word(&file));
        }
        Step {
            name: "safety backup",
            about: "pgmig erases the database before it restores. Without this backup there is no way back once the copy inside the server is gone.".to_owned(),
            commands: vec![create],
        }
    }

    pub(super) fn stage(&self) -> Step {
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
        // Unlike `oc cp` it needs no tar in the pod, and tells when it broke; the hashes tell the rest.
        let put = |name: &str| {
            let file = word(&format!("{staged}/{name}"));
            self.oc(&format!(
                "exec -i {} -c postgres -- bash -c {}",
                word(pod),
                word(&format!("umask 077 && cat > {file}"))
            ))
        };
        commands.extend(local.map(|(from, name)| format!("{} < {}", put(name), word(&from))));
        let (dump, put) = (word(&self.dump()), put("store.dump"));
        commands.push(match self.age_keys() {
            Some(keys) => format!("age -d{keys} {dump} | {put}"),
            None => format!("{put} < {dump}"),
        });
        commands.push(self.in_pod("chmod 700 pgmig && sha256sum store.dump pgmig"));
        let mut about = format!(
            "Into {staged} of pod {pod}, where only PostgreSQL's user reads it. Compare the hashes before you go on: a file that was cut off restores a part of the data."
        );
        if let Some(source) = &self.facts.source {
            let _ = write!(about, " store.dump: {}.", source.sha256);
        }
        if let Some(pgmig) = &self.facts.pgmig
            && pgmig.packing == Packing::Plain
        {
            let _ = write!(about, " pgmig: {}.", pgmig.sha256);
        }
        Step {
            name: "stage",
            about,
            commands,
        }
    }

    /// The environment that pgmig wants, set before it is run.
    pub(super) fn environment(&self) -> String {
        let mut environment = format!(
            "export PG_CA_FILE={}",
            word(&format!("{}/{CA_FILE}", self.staged))
        );
        let postgres = self.facts.postgres.as_ref();
        if postgres.is_some_and(PostgresCluster::needs_enable_icp) {
            environment.push_str(" ENABLE_ICP=true");
        }
        environment
    }

    pub(super) fn wxo(&self) -> &'static str {
        if self.facts.orchestrate { " --wxo" } else { "" }
    }

    pub(super) fn connections(&self) -> Step {
        let run = |arguments: &str| {
            let environment = self.environment();
            self.in_pod(&format!("{environment} && ./pgmig {arguments} </dev/null"))
        };
        Step {
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
        }
    }
}
