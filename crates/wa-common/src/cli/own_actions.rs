//! What the commands do that every plugin has.

use std::io::{Write as _, stdout};

use anyhow::Context as _;
use clap::{Args as _, Command};

use super::called::Called;
use super::completion::{Links, Script};
use super::own_command::{Completion, OwnCommand};
use super::{Context, Exit, GlobalArgs};

impl OwnCommand {
    /// Does it. `command` is the whole command line of the plugin.
    pub(super) fn run(
        self,
        command: Command,
        called: &Called,
        context: &Context,
    ) -> anyhow::Result<Exit> {
        let script = |script: Script| print(&script.text(&command, called)?);
        match self {
            Self::Options => print(&options(&command)),
            Self::Man { to } => write_man_pages(command, &to),
            Self::Completion { what } => match what {
                Completion::Bash => script(Script::Bash),
                Completion::Zsh => script(Script::Zsh),
                Completion::Fish => script(Script::Fish),
                Completion::Powershell => script(Script::Powershell),
                Completion::Install => context.print(&Links::install(&command, called)?),
            },
        }?;
        Ok(Exit::Done)
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    match stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

fn options(command: &Command) -> String {
    let shown = command.get_bin_name().unwrap_or_default().to_owned();
    let mut command = GlobalArgs::augment_args(Command::new("options"))
        .disable_help_flag(true)
        .help_template(
            "The following options can be passed to any command of {usage}:\n\n{options}\n",
        )
        .override_usage(shown);
    command.render_long_help().to_string()
}

fn write_man_pages(command: Command, to: &std::path::Path) -> anyhow::Result<()> {
    let name = page_name(&command);
    clap_mangen::generate_to(command.display_name(name), to)
        .with_context(|| format!("cannot write the man pages to {}", to.display()))
}

/// Such as `kubectl-wa-backup`: what `man kubectl wa-backup` looks for.
fn page_name(command: &Command) -> String {
    command.get_name().replace('_', "-")
}
