//! A client of the store database that stays connected.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use kube_sandbox::meta::resources;

use crate::World;

/// What psql prints after each answer.
const END: &str = "end-of-answer";

/// A `psql` on this machine, as one of the database's other clients.
pub(crate) struct Psql {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl World {
    /// Connects to the store database.
    pub(crate) fn psql(&self) -> Psql {
        self.psql_in(&self.sandbox().names().database())
    }

    /// Connects to a database of its server.
    pub(crate) fn psql_in(&self, database: &str) -> Psql {
        let mut child = self
            .psql_command()
            .args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet"])
            .env("PGDATABASE", database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Psql {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// A `psql` of this machine that will connect to the store database.
    pub fn psql_command(&self) -> Command {
        let service = self.sandbox().names().postgres_service();
        let namespace = self.sandbox().namespace();
        let kind = &resources::SERVICES;
        let service = self.sandbox().store().get(kind, namespace, &service);
        let address = service.unwrap()["spec"]["clusterIP"]
            .as_str()
            .unwrap()
            .to_owned();
        let mut command = Command::new("psql");
        command
            .envs(self.store_environment())
            // Pods know it by its name.
            .env("PGHOST", address)
            .env("PGSSLMODE", "require")
            .env("PGAPPNAME", "bystander");
        command
    }
}

impl Psql {
    /// The rows that a query gives, a line each.
    pub(crate) fn ask(&mut self, query: &str) -> std::io::Result<Vec<String>> {
        writeln!(self.input, "{query};\n\\echo {END}")?;
        let mut rows = Vec::new();
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line)? == 0 {
                return Err(std::io::Error::other("psql has ended"));
            }
            match line.trim_end() {
                END => return Ok(rows),
                row => rows.push(row.to_owned()),
            }
        }
    }
}

impl Drop for Psql {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
