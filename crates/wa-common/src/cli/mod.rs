//! The command line every plugin has: connection flags, output formats, exit codes, and the one `main`.

mod about;
mod advice;
mod asked;
mod called;
mod candidate;
mod check;
mod cleanup;
mod command_line;
mod completion;
mod connection;
mod context;
mod dry_run;
mod entry;
mod exit;
mod global;
mod help_problems;
mod interrupts;
mod logging;
mod output;
mod own_actions;
mod own_command;
mod panics;
mod plugin;
mod prompt;
mod signals;
mod supervisor;
mod typed;

pub use about::{About, access_of, no_permissions};
pub use advice::{advice_on_latest, advice_on_sets};
pub use asked::Asked;
pub use candidate::Candidate;
pub use cleanup::CleanupArgs;
pub use connection::{ConnectionArgs, TimeLimit};
pub use context::{Context, is_broken_pipe};
pub use dry_run::DryRun;
pub use entry::main;
pub use exit::{AsksExit, PluginErrors, asks};
pub use global::GlobalArgs;
pub use help_problems::help_problems;
pub use interrupts::Interrupts;
pub use output::{OutputFormat, Render, Shown};
pub use plugin::Plugin;
pub use prompt::{ask, ask_secret, can_ask, confirm};
pub use typed::{Terminal, ask_line};

pub use crate::report::{EXIT_CODES, Exit};
