//! What the Watson Assistant plugins share.
//!
//! | module | what it is for |
//! |---|---|
//! | [`cli`] | flags every plugin has, output formats, exit codes, the one `main` |
//! | [`run`] | changes that are recorded before they are made, and undone however the command ends; procedures that can be resumed |
//! | [`preflight`] | what must hold before a command changes anything, looked at as a whole |
//! | [`assistant`] | Watson Assistant: its instances, the names of each release, its store database, its key in a backup set |
//! | [`cluster`] | the Kubernetes API: a connection from kubectl's flags, reads with a deadline, permissions |
//! | [`report`] | events of running work, and what shows them |
//!
//! Each uses only those below it; `run`, `preflight` and `assistant` stand side by side, of which `preflight` uses `assistant`.
//!
//! Work emits [`report::Event`]s and returns values; only [`cli`] and [`report`] write to the terminal.
//!
//! # A plugin
//!
//! All of one that only shows its instance, `-o json` and exit codes included:
//!
//! ```no_run
//! use std::io::{self, Write};
//! use std::process::ExitCode;
//!
//! use clap::Parser;
//! use serde::Serialize;
//! use wa_common::assistant::Instance;
//! use wa_common::cli::{Context, Exit, GlobalArgs, Plugin, Render};
//! use wa_common::report::{Styles, printable};
//!
//! /// Shows the Watson Assistant instance of a namespace.
//! #[derive(Parser)]
//! #[command(name = "kubectl-wa_show", bin_name = "kubectl wa-show", version)]
//! struct Cli {
//!     #[command(flatten)]
//!     global: GlobalArgs,
//! }
//!
//! #[derive(Serialize)]
//! struct Shown {
//!     name: String,
//!     release: Option<String>,
//! }
//!
//! impl Plugin for Cli {
//!     fn global(&self) -> &GlobalArgs {
//!         &self.global
//!     }
//!
//!     async fn run(self, context: Context) -> anyhow::Result<Exit> {
//!         let cluster = context.connect()?;
//!         let Instance { name, release, .. } =
//!             Instance::find(&cluster, self.global.instance.as_deref()).await?;
//!         context.print(&Shown { name, release })?;
//!         Ok(Exit::Done)
//!     }
//! }
//!
//! impl Render for Shown {
//!     fn human(&self, out: &mut dyn Write, _styles: &Styles, _wide: bool) -> io::Result<()> {
//!         let release = self.release.as_deref().unwrap_or("unknown");
//!         let (name, release) = (printable(&self.name), printable(release));
//!         writeln!(out, "{name}, release {release}")
//!     }
//!
//!     fn names(&self) -> Vec<String> {
//!         vec![self.name.clone()]
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     wa_common::cli::main::<Cli>()
//! }
//! ```

pub mod assistant;
pub mod cli;
pub mod cluster;
pub mod preflight;
pub mod report;
pub mod run;
