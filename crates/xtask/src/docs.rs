//! `docs`: the output shown in the documentation, from the commands themselves.
//!
//! A block in a Markdown file that begins with a line `<!-- output of: COMMAND -->` is replaced by what the command
//! prints. Commands run in a directory of their own, against a practice cluster started for them.

mod picture;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, bail};

use crate::cluster::PracticeCluster;
use crate::process::workspace;

/// In this order: what a command of one shows may have been made by a command of the one before.
const FILES: [&str; 7] = [
    "README.md",
    "docs/backup.md",
    "docs/volume.md",
    "docs/restore.md",
    "docs/retrain.md",
    "docs/practice-cluster.md",
    "docs/permissions.md",
];
const MARK: &str = "<!-- output of: ";

pub(crate) fn run() -> anyhow::Result<()> {
    let cluster = PracticeCluster::build_and_start("docs")?;
    let directory = tempfile::tempdir()?;
    for file in FILES {
        let path = workspace().join(file);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {file}"))?;
        let renewed = renew(&text, |command| output(&cluster, directory.path(), command))?;
        fs::write(&path, renewed).with_context(|| format!("cannot write {file}"))?;
    }
    picture::draw(|command| output(&cluster, directory.path(), command))
}

/// Replaces the fenced block after each mark.
fn renew(
    text: &str,
    mut output: impl FnMut(&str) -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    let mut renewed = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        renewed.push_str(line);
        renewed.push('\n');
        let Some(command) = line
            .strip_prefix(MARK)
            .and_then(|rest| rest.strip_suffix(" -->"))
        else {
            continue;
        };
        if lines.next().is_none_or(|fence| !fence.starts_with("```")) {
            bail!("no fenced block after `{line}`");
        }
        if !lines.any(|line| line == "```") {
            bail!("the fenced block after `{line}` has no end");
        }
        let shown = output(command)?;
        write!(renewed, "```console\n$ {command}\n{shown}```\n")?;
    }
    Ok(renewed)
}

/// What a command writes to the terminal, both streams in their order.
fn output(cluster: &PracticeCluster, directory: &Path, command: &str) -> anyhow::Result<String> {
    let output = cluster
        .command("sh")
        .args(["-c", &format!("{command} 2>&1")])
        .env("COLUMNS", "100")
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()?;
    let text = String::from_utf8(output.stdout).context("the output is not UTF-8")?;
    if text.is_empty() {
        bail!("`{command}` printed nothing ({})", output.status);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_block_behind_a_mark_is_replaced() {
        let text = "a\n<!-- output of: x y -->\n```console\n$ x y\nold\n```\nb\n```\nkept\n```\n";
        let renewed = renew(text, |command| Ok(format!("new {command}\n"))).unwrap();
        assert_eq!(
            renewed,
            "a\n<!-- output of: x y -->\n```console\n$ x y\nnew x y\n```\nb\n```\nkept\n```\n"
        );
    }

    #[test]
    fn a_mark_without_a_block_is_an_error() {
        assert!(renew("<!-- output of: x -->\ntext\n", |_| Ok(String::new())).is_err());
    }
}
