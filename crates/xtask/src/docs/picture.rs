//! The picture of a terminal in the README: what commands print there, with its colours.

use std::fmt::Write as _;
use std::fs;

use anstyle_svg::Term;
use anyhow::Context as _;

use crate::process::workspace;

const FILE: &str = "docs/terminal.svg";
/// What somebody sees who backs up for the first time.
const COMMANDS: [&str; 3] = [
    "kubectl wa-backup --to backups",
    "kubectl wa-restore rehearse backups/latest",
    "kubectl wa-backup list backups",
];

/// Runs the commands by `output` and draws the terminal.
pub(super) fn draw(mut output: impl FnMut(&str) -> anyhow::Result<String>) -> anyhow::Result<()> {
    let mut shown = String::new();
    for command in COMMANDS {
        let printed = output(&format!("{command} --color=always"))?;
        let _ = write!(shown, "\x1b[1m$ {command}\x1b[0m\n{printed}\n");
    }
    let picture = Term::new().render_svg(shown.trim_end());
    fs::write(workspace().join(FILE), picture).with_context(|| format!("cannot write {FILE}"))
}
