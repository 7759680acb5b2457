//! The target database, through the psql and the `pg_restore` that the pod has.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, bail};

use crate::settings::PostgresFile;

/// Hands its standard input on in so many parts of so many bytes, one a second, also when its parent is gone.
const HAND_ON_SLOWLY: &str = r#"part=0
while [ $part -lt "$2" ]; do head -c "$1"; sleep 1; part=$((part + 1)); done"#;

/// The target database.
pub(crate) struct Database {
    file: PostgresFile,
    authority: PathBuf,
}

impl Database {
    pub(crate) fn new(file: PostgresFile, authority: PathBuf) -> Self {
        Self { file, authority }
    }

    /// Runs statements, and returns the rows of those that have any.
    pub(crate) fn query(&self, sql: &str) -> anyhow::Result<String> {
        let mut psql = self.program("psql");
        psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only"])
            .args(["--set=ON_ERROR_STOP=1", "--file=-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = psql.spawn().context("cannot run psql")?;
        // One that ended early says why on its standard error.
        let _ = child
            .stdin
            .take()
            .map(|mut stdin| stdin.write_all(sql.as_bytes()));
        let output = child.wait_with_output().context("cannot wait for psql")?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            bail!("PostgreSQL refuses: {}", complaint.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned())
    }

    /// Removes everything that the user has in the database.
    pub(crate) fn clear(&self) -> anyhow::Result<()> {
        self.query("SET client_min_messages = warning; DROP OWNED BY CURRENT_USER CASCADE")
            .map(drop)
    }

    /// Starts to restore the dump. What is at work goes on when this process is killed.
    pub(crate) fn start_restore(
        &self,
        dump: &Path,
        bytes_per_second: Option<u64>,
    ) -> anyhow::Result<Child> {
        let opened = File::open(dump).with_context(|| format!("cannot read {}", dump.display()))?;
        let stdin = match bytes_per_second {
            None => Stdio::from(opened),
            Some(bytes) => slowly(opened, bytes)?,
        };
        let mut pg_restore = self.program("pg_restore");
        pg_restore
            .args([
                "--format=custom",
                "--no-owner",
                "--no-acl",
                "--exit-on-error",
            ])
            .arg(format!("--dbname={}", self.file.database))
            .stdin(stdin);
        pg_restore.spawn().context("cannot run pg_restore")
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        let inherited = std::env::vars_os().map(|(name, _)| name);
        for name in inherited.filter(|name| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        command
            .env("PGHOST", &self.file.host)
            .env("PGPORT", self.file.port.to_string())
            .env("PGDATABASE", &self.file.database)
            .env("PGUSER", &self.file.su_username)
            .env("PGPASSWORD", &self.file.su_password)
            .env("PGSSLMODE", "verify-full")
            .env("PGSSLROOTCERT", &self.authority)
            .env("PGAPPNAME", "pgmig")
            .env("PGCONNECT_TIMEOUT", "10");
        command
    }
}

/// A pipe out of which the file comes slowly.
fn slowly(file: File, bytes_per_second: u64) -> anyhow::Result<Stdio> {
    let parts = file.metadata()?.len().div_ceil(bytes_per_second.max(1));
    let mut shell = Command::new("sh");
    shell
        .args(["-c", HAND_ON_SLOWLY, "sh"])
        .args([bytes_per_second.max(1).to_string(), parts.to_string()])
        .stdin(file)
        .stdout(Stdio::piped());
    let handed_on = shell.spawn().context("cannot run sh")?.stdout;
    Ok(handed_on.map_or_else(Stdio::null, Stdio::from))
}
