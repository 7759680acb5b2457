//! A backup into object storage, encrypted, beside one into a directory and beside a pipe of other programs; and how long a
//! list of very many sets takes.
//!
//! The object storage is the S3 server s3s-fs, a process of its own on this machine.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::create::Store;
use super::measure::{Usage, measure, median};
use super::table::{Column, Row, markdown};
use crate::cluster::PracticeCluster;
use crate::process::{self, cargo, target_directory};

/// The server's version, which is the one that the tests use.
const SERVER_VERSION: &str = "0.14.1";
const BUCKET: &str = "bench";
const ACCESS_KEY: &str = "bench";
const SECRET_KEY: &str = "not-a-secret-of-anything";
/// A recipient whose key nobody has.
const RECIPIENT: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";
/// How many sets are listed.
const SETS: usize = 10_000;
const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// What was measured.
pub(super) struct Comparison {
    backups: Row,
    /// Whether the other programs were there to compare with.
    has_pipe: bool,
    listed: Listed,
}

/// The list of a bucket with many sets.
struct Listed {
    ours: Usage,
    /// Of the names of its objects alone, by aws where it is there.
    names: Option<Usage>,
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

impl Listed {
    fn in_words(&self) -> String {
        let names = self.names.map_or_else(String::new, |names| {
            format!(
                " `aws s3 ls --recursive`, which reads no manifest, took {:.1} s: this server goes through all of its files for every \
                 1000 names that it tells.",
                names.elapsed.as_secs_f64()
            )
        });
        format!(
            "`kubectl wa-backup list` of {SETS} sets in a bucket took {:.1} s, of which {:.1} s of CPU time here, and {} MiB.{names}",
            self.ours.elapsed.as_secs_f64(),
            self.ours.cpu.as_secs_f64(),
            self.ours.peak_bytes >> 20
        )
    }
}

/// Takes backups all three ways, in turns, and lists sets.
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
    let has_pipe = ["age", "aws"].into_iter().all(is_there);
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
    println!("off-site: a list of {SETS} sets");
    Ok(Comparison {
        backups: Row {
            what: "one backup".to_owned(),
            bytes: off_site.dump_bytes()?,
            columns,
        },
        has_pipe,
        listed: off_site.list_many()?,
    })
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

    /// The list of a bucket with many sets, which are copies of one without its dump's content.
    fn list_many(&self) -> anyhow::Result<Listed> {
        let manifest = fs::read(self.local_set()?.join("backup.json"))?;
        let bucket = self.server.bucket();
        for number in 0..SETS {
            let set = bucket.join(format!("many/wa-cpd-{number:05}"));
            fs::create_dir_all(&set)?;
            fs::write(set.join("backup.json"), &manifest)?;
            File::create(set.join("store.dump"))?.write_all(b"PGDMP")?;
        }
        let from = format!("s3://{BUCKET}/many");
        let ours = measure(&mut self.plugin(&["list", &from]))?;
        let names = is_there("aws").then(|| {
            let mut list = Command::new("aws");
            list.args(["s3", "ls", "--recursive", &from])
                .stdout(Stdio::null());
            self.server.leads(&mut list);
            measure(&mut list)
        });
        let names = names.transpose()?;
        self.server.empty()?;
        Ok(Listed { ours, names })
    }
}

/// The S3 server; dropped, it ends.
struct Server {
    child: Child,
    address: SocketAddr,
    root: PathBuf,
}

impl Server {
    /// Installs it where it is missing, and starts it with an empty bucket.
    fn start(directory: &Path) -> anyhow::Result<Self> {
        let tools = target_directory().join("bench-tools");
        let mut install = cargo(&[
            "install",
            "--quiet",
            "--locked",
            "s3s-fs",
            "--features",
            "binary",
        ]);
        install
            .args(["--version", SERVER_VERSION, "--root"])
            .arg(&tools);
        process::run(&mut install)?;
        let root = directory.join("buckets");
        fs::create_dir_all(root.join(BUCKET))?;
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let child = Command::new(tools.join("bin/s3s-fs"))
            .args(["--access-key", ACCESS_KEY, "--secret-key", SECRET_KEY])
            .args([
                "--host",
                &free.ip().to_string(),
                "--port",
                &free.port().to_string(),
            ])
            .arg(&root)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start s3s-fs")?;
        let server = Self {
            child,
            address: free,
            root,
        };
        let started = Instant::now();
        while TcpStream::connect(free).is_err() {
            ensure!(started.elapsed() < STARTS_WITHIN, "s3s-fs does not listen");
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    /// Sets what programs find it by.
    fn leads(&self, command: &mut Command) {
        command
            .env("AWS_ENDPOINT_URL", format!("http://{}", self.address))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    }

    fn bucket(&self) -> PathBuf {
        self.root.join(BUCKET)
    }

    fn empty(&self) -> anyhow::Result<()> {
        fs::remove_dir_all(self.bucket())?;
        Ok(fs::create_dir(self.bucket())?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
