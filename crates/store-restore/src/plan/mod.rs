//! The restore as commands: IBM's procedure, with its gaps closed and its values filled in.
//!
//! No secret stands in a command: passwords and tokens are in the files that `kubectl wa-restore config` writes, and the
//! encryption key in the backup set. What is not known stands in capitals between `<` and `>`.

mod before;
mod change;

use std::path::Path;

use backup_set::scheme_of;

use crate::checks::{Facts, Options};
use crate::target::Scaled;
use serde::Serialize;

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
    let mut steps = vec![
        plan.prepare(),
        plan.safety_backup(),
        plan.stage(),
        plan.connections(),
        plan.quiesce(),
        plan.copy(),
        plan.migrate(),
        plan.check(),
    ];
    steps.extend(plan.encryption_key());
    steps.extend([
        plan.resume_service(),
        plan.clean_up(),
        change::afterwards(),
        plan.roll_back(),
    ]);
    steps
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

    /// The dump on this machine.
    fn dump(&self) -> String {
        let source = self.facts.source.as_ref();
        self.here(source.map_or(&*self.options.backup, |source| source.dump_path()))
    }

    /// Where a path in the backup is on this machine: in the copy, where the backup is elsewhere.
    fn here(&self, path: &Path) -> String {
        let backup = &self.options.backup;
        let set = backup.file_name().filter(|_| scheme_of(backup).is_some());
        let inside = path.strip_prefix(backup).ok();
        let copy = set
            .zip(inside)
            .map(|(set, inside)| Path::new(LOCAL).join(set).join(inside));
        copy.as_deref().unwrap_or(path).display().to_string()
    }

    /// What brings the backup here, where it is elsewhere.
    fn copy_here(&self) -> Option<String> {
        let backup = &self.options.backup;
        scheme_of(backup)?;
        let backup = word(&backup.display().to_string());
        Some(format!("kubectl wa-backup copy {backup} {LOCAL}"))
    }

    /// `-i FILE` for each key that the backup is read with, where it is encrypted.
    fn age_keys(&self) -> Option<String> {
        let source = self.facts.source.as_ref()?;
        let keys = self.options.opener.identities.as_ref()?;
        let keys = keys.files().iter().map(|file| {
            let file = file.display().to_string();
            format!(" -i {}", word(&file))
        });
        source.is_encrypted().then(|| keys.collect())
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
                selector: None,
            }]
        })
    }
}

/// A word for a shell; a placeholder stays readable.
pub fn word(text: &str) -> String {
    let is_placeholder = text.starts_with('<') && text.ends_with('>');
    if is_placeholder {
        return text.to_owned();
    }
    // Nothing that is used here holds a NUL, the only thing that cannot be quoted.
    shlex::try_quote(text).map_or_else(|_| "<UNQUOTABLE>".to_owned(), Into::into)
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
    use crate::checks::SafetyPlace;
    use crate::source::Opener;
    use std::path::PathBuf;

    use wa_common::assistant::{Instance, OPERATOR};

    use super::*;

    fn options() -> Options {
        Options {
            backup: PathBuf::from("my sets/wa-cpd"),
            opener: Opener::local(),
            mapping: crate::checks::MappingChoice::Clear,
            pgmig: None,
            from_release: None,
            force_path: false,
            operators_namespace: None,
            stage_dir: "/controller/tmp".to_owned(),
            safety: SafetyPlace {
                to: PathBuf::from("wa-backups"),
                ..SafetyPlace::default()
            },
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
            selector: Some(format!("app={name}")),
        };
        let facts = Facts {
            stores: Some(vec![scaled("wa-store", 3), scaled("wa-store-b", 2)]),
            operator: Some(scaled(OPERATOR, 2)),
            ..Facts::default()
        };
        let steps = steps(&options(), &facts);
        let resume = steps.iter().find(|step| step.name == "resume service");
        let counts: Vec<&String> = resume
            .unwrap()
            .commands
            .iter()
            .filter(|command| command.contains("scale"))
            .collect();
        assert!(counts[0].contains("wa-store --replicas=3"), "{counts:?}");
        assert!(counts[1].contains("wa-store-b --replicas=2"), "{counts:?}");
        assert!(counts[2].contains("-n ops"), "{counts:?}");
        assert!(counts[2].ends_with("--replicas=2"), "{counts:?}");
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
