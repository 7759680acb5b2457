//! `kubectl wa-restore`.

use std::path::Path;
use std::process::Stdio;

use crate::{Outcome, World, binary, run};

impl World {
    /// `kubectl wa-restore` with these arguments, run in `directory`.
    pub fn restore(&self, directory: &Path, arguments: &[&str]) -> Outcome {
        let mut command = self.command(binary("kubectl-wa-restore"));
        run(command.args(arguments).current_dir(directory))
    }

    /// Runs SQL in the store database, as its superuser.
    #[track_caller]
    pub fn sql(&self, statement: &str) -> String {
        self.sql_in(&self.sandbox().names().database(), statement)
    }

    /// Runs SQL in a database of the store's server, as its superuser.
    #[track_caller]
    pub fn sql_in(&self, database: &str, statement: &str) -> String {
        let script =
            format!("psql -XAtq -v ON_ERROR_STOP=1 -d '{database}' <<'END'\n{statement}\nEND");
        self.in_postgres_pod(&script, Stdio::null())
    }
}
