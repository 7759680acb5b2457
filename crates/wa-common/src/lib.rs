//! What the Watson Assistant plugins share.
//!
//! | module | what it is for |
//! |---|---|
//! | [`cli`] | flags every plugin has, output formats, exit codes, the one `main` |
//! | [`run`] | changes that are recorded before they are made, and undone however the command ends; procedures that can be resumed |
//! | [`assistant`] | Watson Assistant: its instances, the names of each release, its store database, its key in a backup set |
//! | [`cluster`] | the Kubernetes API: a connection from kubectl's flags, reads with a deadline, permissions |
//! | [`report`] | events of running work, and what shows them |
//!
//! Each uses only those below it; `run` and `assistant` stand side by side.
//!
//! Work emits [`report::Event`]s and returns values; only [`cli`] and [`report`] write to the terminal.

pub mod assistant;
pub mod cli;
pub mod cluster;
pub mod report;
pub mod run;
