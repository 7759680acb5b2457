//! A stand-in for pgmig, IBM's restore tool, for the practice cluster and its tests. It is not pgmig, and none of it
//! comes from IBM: restore nothing with it that matters.
//!
//! pgmig is a binary that only IBM has the source of. Public are its arguments, the files it reads and writes, the two
//! variables of its environment, that it clears the database before it restores, and that a wrong number of instances
//! comes out only afterwards. Those are followed here. It really clears the database and restores it, with the psql and
//! the `pg_restore` of the pod, and says nothing while it does.
//!
//! What nobody outside IBM knows is made up, on the strict side, so that a mistake shows:
//!
//! - every text and every exit code: here, 0 is done and 1 is everything else;
//! - what it asks of the resource controller: here, plain HTTP without TLS, to a service that the practice cluster has;
//! - `ENABLE_ICP`: here, it must be `true` exactly where the host is one of a cluster called `…-postgres-16`;
//! - `--wxo` and `type: orchestrate`: here, one is refused without the other;
//! - when a mapping is judged: here, after the database was cleared, which is the worst moment;
//! - how the schema is upgraded: here, the rows of `schema_version` that the target had are added;
//! - how tenant ids are changed: here, every column `tenant_id` and the `instance_id` of the tenant, in one transaction.
//!
//! Left out: object storage, TLS to the resource controller, and a build for each release.
//!
//! It fails as asked, by `--fault` or by the words of the file [`faults::FILE`]; see [`faults::Fault`].

mod arguments;
mod database;
mod dump;
mod faults;
mod ids;
mod mapping;
mod migration;
mod settings;
mod target;

use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match arguments::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A standard error that cannot be written to leaves only the exit code.
            let _ = writeln!(io::stderr(), "Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Writes a line to standard output.
fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")?;
    out.flush()
}
