//! `run --interactive`: the user is asked which service instance becomes which, while everything still runs.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use store_restore::interview::Interview;
use store_restore::mapping::Mapping;
use wa_common::cli::{Context, Terminal};
use wa_common::report::Event;

use super::refused::Refused;

/// What pgmig calls the file that it writes the answers to.
const ENTERED: &str = "enteredMapping.yaml";

/// The terminal to ask on; refused where there is none, or where it is for a program to read.
pub(super) fn terminal(context: &Context) -> Result<Terminal, Refused> {
    let terminal = if context.global.output.is_structured() {
        None
    } else {
        Terminal::open()
    };
    terminal.ok_or_else(|| {
        Refused(
            "--interactive asks on a terminal, and there is none, or the output is for a program: write the mapping \
             with `kubectl wa-restore mapping BACKUP --to FILE`, complete it, and give it with --mapping FILE"
                .to_owned(),
        )
    })
}

/// Asks for the target of each instance of the backup, and writes the answers into the directory of the logs, as pgmig
/// does where it asks itself.
pub(super) async fn ask(
    context: &Context,
    mut terminal: Terminal,
    proposed: Mapping,
    log_to: &Path,
) -> anyhow::Result<Mapping> {
    let mut interview = Interview::new(proposed);
    terminal.show(&format!(
        "\nWhich service instance of the target does each of the backup become? Nothing was stopped so far.\n\n{}\n\n\
         Answer with a number or an id; Enter takes what stands in brackets.\n",
        interview.targets()
    ))?;
    while let Some(question) = interview.question() {
        let answer = terminal.ask(&question).await?;
        let answer = answer.ok_or_else(|| Refused("declined; nothing was changed".to_owned()))?;
        if let Err(why) = interview.answer(&answer) {
            terminal.show(&format!("  {why}\n"))?;
        }
    }
    let mapping = interview.mapping()?;
    let path = write(log_to, &mapping.to_yaml())?;
    context.reporter.report(&Event::Step {
        step: "mapping",
        detail: format!(
            "written to {}; give it with --mapping another time",
            path.display()
        ),
    });
    Ok(mapping)
}

/// For the user alone, as the log of pgmig. The answers of an earlier time are replaced.
fn write(directory: &Path, yaml: &str) -> anyhow::Result<PathBuf> {
    let path = directory.join(ENTERED);
    let cannot = || format!("cannot write the mapping to {}", path.display());
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(cannot)?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&path).with_context(cannot)?;
    file.write_all(yaml.as_bytes()).with_context(cannot)?;
    Ok(path)
}
