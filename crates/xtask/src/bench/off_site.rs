//! A backup into object storage, encrypted, beside one into a directory and beside a pipe of other programs.
//!
//! The object storage is the S3 server s3s-fs, a process of its own on this machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use super::create::Store;
use super::many_sets::{self, Listed};
use super::measure::{Usage, measure, median};
use super::object_storage::{BUCKET, Server};
use super::table::{Column, Row, markdown};
use crate::apt;
use crate::cluster::PracticeCluster;
use crate::process::target_directory;

/// A recipient whose key nobody has.
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

/// What was measured.
pub(super) struct Comparison {
    backups: Row,
    /// Whether the other programs were there to compare with.
    has_pipe: bool,
    listed: Listed,
}

impl Comparison {
    pub(super) fn markdown(&self) -> String {
        let beside = if self.has_pipe {
            "beside `kubectl exec … pg_dump | age | aws s3 cp -`, which compares nothing, and "
        } else {
            "(age and aws, with which a pipe was to be compared, are not on this machine) "
        };
        format!(
            "## Off-site\n\n\
             `kubectl wa-backup create --encrypt-to … --to s3://…` {beside}beside the same `create` into a directory without \
             encryption, which the ratio is to. The object storage is an S3 server on the same machine (s3s-fs), over plain HTTP.\n\n\
             {}\n\
             {}\n",
            markdown(std::slice::from_ref(&self.backups)),
            self.listed.in_words()
        )
    }
}

/// Takes backups all three ways, in turns; and lists very many.
pub(super) fn compare(
    cluster: &PracticeCluster,
    binaries: &Path,
    runs: usize,
) -> anyhow::Result<Comparison> {
    let directory = tempfile::tempdir_in(target_directory())?;
    let server = Server::start(directory.path())?;
    let off_site = OffSite {
        cluster,
        binaries,
        server: &server,
        directory: directory.path(),
    };
    let store = Store::find(cluster)?;
    let has_pipe = has_pipe()?;
    let (mut local, mut remote, mut pipes) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=runs {
        println!("off-site: run {run} of {runs}");
        local.push(off_site.local()?);
        remote.push(off_site.remote()?);
        if has_pipe {
            pipes.push(off_site.pipe(&store)?);
        }
    }
    let mut columns = vec![
        Column::new("create into a directory", median(&local)),
        Column::new("create into s3://, encrypted", median(&remote)),
    ];
    if has_pipe {
        columns.push(Column::new("kubectl, age and aws", median(&pipes)));
    }
    Ok(Comparison {
        backups: Row {
            what: "one backup".to_owned(),
            bytes: off_site.dump_bytes()?,
            columns,
        },
        has_pipe,
        listed: many_sets::list(binaries, &off_site.local_set()?.join("backup.json"))?,
    })
}

/// Whether the programs of the pipe are there; installs them where nobody must be asked.
fn has_pipe() -> anyhow::Result<bool> {
    let all = || ["age", "aws"].into_iter().all(is_there);
    if !all() && apt::is_possible() {
        apt::install(&["age", "awscli"])?;
    }
    Ok(all())
}

fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output();
    found.is_ok_and(|output| output.status.success())
}

/// What is measured with.
struct OffSite<'a> {
    cluster: &'a PracticeCluster,
    binaries: &'a Path,
    server: &'a Server,
    directory: &'a Path,
}

impl OffSite<'_> {
    fn plugin(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.binaries.join("kubectl-wa-backup"));
        command
            .args(arguments)
            .env("KUBECONFIG", self.cluster.kubeconfig())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.server.leads(&mut command);
        command
    }

    fn sets(&self) -> PathBuf {
        self.directory.join("sets")
    }

    fn local(&self) -> anyhow::Result<Usage> {
        if self.sets().exists() {
            fs::remove_dir_all(self.sets())?;
        }
        let sets = self.sets().display().to_string();
        measure(&mut self.plugin(&["create", "--to", &sets]))
    }

    fn dump_bytes(&self) -> anyhow::Result<u64> {
        Ok(self.local_set()?.join("store.dump").metadata()?.len())
    }

    /// The one that [`Self::local`] made last.
    fn local_set(&self) -> anyhow::Result<PathBuf> {
        let mut sets = fs::read_dir(self.sets())?;
        Ok(sets.next().context("there is no backup")??.path())
    }

    fn remote(&self) -> anyhow::Result<Usage> {
        let to = format!("s3://{BUCKET}/once");
        let usage = measure(&mut self.plugin(&["create", "--to", &to, "--encrypt-to", RECIPIENT]))?;
        self.server.empty()?;
        Ok(usage)
    }

    /// What somebody would type, with what it waits for: the last program.
    fn pipe(&self, store: &Store) -> anyhow::Result<Usage> {
        let mut dump = self.cluster.command("kubectl");
        dump.args(["exec", &store.pod, "--container=postgres", "--", "env"])
            .args(&store.environment)
            .args(["pg_dump", "-Fc", "-Z1"])
            .stdout(Stdio::piped());
        let mut dump = dump.spawn()?;
        let mut encrypt = Command::new("age")
            .args(["-r", RECIPIENT])
            .stdin(dump.stdout.take().context("kubectl has no output")?)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut copy = Command::new("aws");
        copy.args(["s3", "cp", "-", &format!("s3://{BUCKET}/piped.age")])
            .stdin(encrypt.stdout.take().context("age has no output")?)
            .stdout(Stdio::null());
        self.server.leads(&mut copy);
        let usage = measure(&mut copy)?;
        for (name, child) in [("kubectl", &mut dump), ("age", &mut encrypt)] {
            ensure!(child.wait()?.success(), "{name} failed");
        }
        self.server.empty()?;
        Ok(usage)
    }
}
