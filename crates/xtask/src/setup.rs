//! The programs that are no Rust crates: found, or installed where that is possible without asking.

mod azurite;
mod postgres;

use std::path::Path;

use anyhow::bail;

use crate::apt;
use crate::process::find;

/// A program, by its name or its path, and the Debian package that has it.
struct Program {
    name: &'static str,
    package: &'static str,
}

const PROGRAMS: [Program; 9] = [
    Program {
        name: "postgres",
        package: "postgresql",
    },
    Program {
        name: "etcd",
        package: "etcd-server",
    },
    Program {
        name: "etcdctl",
        package: "etcd-client",
    },
    Program {
        name: "bwrap",
        package: "bubblewrap",
    },
    Program {
        name: "kubectl",
        package: "kubernetes-client",
    },
    // A container image's shell is often busybox: the scripts that run in pods are tested with it.
    Program {
        name: "busybox",
        package: "busybox",
    },
    // The shells in which completion is tried out; kubectl's own needs the last one in bash.
    Program {
        name: "zsh",
        package: "zsh",
    },
    Program {
        name: "fish",
        package: "fish",
    },
    Program {
        name: "/usr/share/bash-completion/bash_completion",
        package: "bash-completion",
    },
];

/// Makes sure that everything is there: installs what is missing as root on Debian, names it elsewhere.
pub(crate) fn run() -> anyhow::Result<()> {
    programs()?;
    azurite::run()?;
    postgres::run(is_ci())
}

/// Whether this is a run of continuous integration, which has to do without nothing.
pub(crate) fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| !["", "0", "false"].contains(&value.as_str()))
}

/// Whether a set-up that succeeds on continuous integration brings what a test calls by that name.
pub(crate) fn brings(name: &str) -> bool {
    let mut versions = local_postgres::WANTED.iter();
    PROGRAMS.iter().any(|program| program.name == name)
        || versions.any(|major| name == format!("PostgreSQL {major}"))
}

fn programs() -> anyhow::Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let programs = list(&missing, |program| program.name);
    let packages: Vec<&str> = missing.iter().map(|program| program.package).collect();
    if !apt::is_here() {
        bail!(
            "missing programs: {programs}; install what provides them (on Debian: {})",
            packages.join(" ")
        );
    }
    let by_hand = apt::by_hand(&packages);
    if !apt::is_possible() {
        bail!("missing programs: {programs}; install them and try again:\n  sudo {by_hand}");
    }
    apt::install(&packages)?;
    match self::missing().as_slice() {
        [] => Ok(()),
        still => bail!(
            "{} still missing after `{by_hand}`",
            list(still, |program| program.name)
        ),
    }
}

fn missing() -> Vec<&'static Program> {
    PROGRAMS
        .iter()
        .filter(|program| !is_installed(program.name))
        .collect()
}

fn is_installed(name: &str) -> bool {
    // A script that shells read is not executable.
    Path::new(name).is_absolute() && Path::new(name).exists() || find(name).is_some()
}

fn list(programs: &[&Program], word: impl Fn(&Program) -> &'static str) -> String {
    programs
        .iter()
        .map(|program| word(program))
        .collect::<Vec<_>>()
        .join(", ")
}
