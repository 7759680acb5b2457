//! The commands, one file each, and what they share.

mod client;
mod down;
mod fault;
mod home;
mod manifests;
mod status;
mod up;
mod variant;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use home::Home;

/// A practice cluster on this machine: a Kubernetes API on loopback with a Watson Assistant in it.
///
/// Its pods are real processes, its PostgreSQL and etcd are real; nothing in it is worth keeping. Try kubectl, oc and
/// the wa plugins against it, or rehearse a restore.
#[derive(Debug, Parser)]
#[command(name = "wa-sandbox", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Up(up::Up),
    Status(status::Status),
    Down(down::Down),
    Fault(fault::Fault),
    Manifests(manifests::Manifests),
}

/// Where the cluster keeps its files; one cluster a directory.
#[derive(Debug, Args)]
struct Place {
    /// Directory for everything the cluster writes [default: wa-sandbox in the user's state directory]
    #[arg(long, value_name = "DIR", global = true)]
    directory: Option<PathBuf>,
}

impl Place {
    fn home(&self) -> Home {
        Home::at(
            self.directory
                .clone()
                .unwrap_or_else(home::default_directory),
        )
    }
}

/// Runs the command line and says how it went: 0 done, 1 error, 2 wrong usage, 130 interrupted.
pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    let done = match &cli.command {
        Command::Up(up) => up.run(),
        Command::Status(status) => status.run(),
        Command::Down(down) => down.run(),
        Command::Fault(fault) => fault.run(),
        Command::Manifests(manifests) => manifests.run(),
    };
    done.unwrap_or_else(|error| {
        // A standard error that cannot be written to leaves only the exit code.
        let _ = writeln!(io::stderr(), "error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Writes a result to standard output. A reader that has seen enough is no error.
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
