//! `cargo xtask`: what a developer, the continuous integration and a first-time user run.
//!
//! | command | what it does |
//! |---|---|
//! | `setup` | installs the programs that the practice cluster and the tests need |
//! | `demo` | takes a backup on the practice cluster, checks it and fetches another, showing every command |
//! | `test` | formatting, lints and every test |
//! | `bench` | compares the plugins with `kubectl exec … pg_dump > file` and `kubectl cp` |
//! | `dist` | builds the release archives, and a krew index of them |
//! | `man` | writes the man pages of the plugins |
//! | `docs` | regenerates the output shown in README.md and docs/ |

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a developer's tool talks to the terminal"
)]

mod apt;
mod bench;
mod cluster;
mod demo;
mod dist;
mod docs;
mod man;
mod pip;
mod plugins;
mod process;
mod setup;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of this workspace.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install the programs that the practice cluster and the tests need
    Setup,
    /// Take a backup on the practice cluster, check it and fetch another, showing every command and its output
    Demo,
    /// Run formatting, lints and every test
    Test,
    /// Compare the plugins with `kubectl exec … pg_dump > file` and `kubectl cp`, in time, CPU and memory
    Bench(bench::Args),
    /// Build the release archives, and a krew index of them
    Dist(dist::Args),
    /// Write the man pages of the plugins
    Man(man::Args),
    /// Regenerate the output shown in README.md and docs/
    Docs,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Setup => setup::run(),
        Task::Demo => demo::run(),
        Task::Test => test::run(),
        Task::Bench(args) => bench::run(&args),
        Task::Dist(args) => dist::run(&args),
        Task::Man(args) => man::run(&args.to),
        Task::Docs => docs::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<process::Interrupted>() => {
            eprintln!("\n{}", process::Interrupted);
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
