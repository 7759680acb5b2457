//! What the commands do that every plugin has.

use std::io::{self, Write as _, stdout};
use std::path::Path;

use anyhow::Context as _;
use clap::{Args as _, Command};

use super::called::Called;
use super::command_line::CommandLine;
use super::completion::{Links, Script};
use super::own_command::{Completion, OwnCommand};
use super::{Context, Exit, GlobalArgs, Plugin};

impl OwnCommand {
    /// Does it. `command` is the whole command line of the plugin.
    pub(super) fn run<P: Plugin>(
        self,
        command: &Command,
        called: &Called,
        context: &Context,
    ) -> anyhow::Result<Exit> {
        let script = |script: Script| print(&script.text(command, called)?);
        match self {
            Self::Options => print(&options(command)),
            Self::Man { to } => write_man_pages::<P>(&to),
            Self::Completion { what } => match what {
                Completion::Bash => script(Script::Bash),
                Completion::Zsh => script(Script::Zsh),
                Completion::Fish => script(Script::Fish),
                Completion::Powershell => script(Script::Powershell),
                Completion::Install => context.print(&Links::install(command, called)?),
            },
        }?;
        Ok(Exit::Done)
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    match stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
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

/// A page a command, with what `--help` tells.
fn write_man_pages<P: Plugin>(to: &Path) -> anyhow::Result<()> {
    let mut command = CommandLine::of::<P>(&Called::usual()).command;
    // What `man kubectl wa-backup` looks for.
    let name = command.get_name().replace('_', "-");
    command = command.display_name(name);
    command.build();
    write_page(command, to)
        .with_context(|| format!("cannot write the man pages to {}", to.display()))
}

fn write_page(command: Command, to: &Path) -> io::Result<()> {
    for command in command.get_subcommands() {
        if !command.is_hide_set() && command.get_name() != "help" {
            write_page(command.clone(), to)?;
        }
    }
    // Of what `-h` hides a page tells the name alone.
    let command = command.mut_args(|arg| arg.hide_short_help(false));
    clap_mangen::Man::new(command).generate_to(to)?;
    Ok(())
}
