//! The commands that every plugin has: `options`, `completion`, and the man pages for those who install it.

use std::io::{Write as _, stdout};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args as _, Command, Subcommand};

use super::called::Called;
use super::completion::{Links, Script};
use super::{About, Context, Exit, GlobalArgs, no_permissions};

// One of them; a comment of documentation would become the plugin's description.
#[derive(Debug, Subcommand)]
pub(super) enum OwnCommand {
    /// Show the flags that every command takes
    #[command(disable_help_flag = true)]
    Options,
    /// Print what makes a shell complete command lines, or install it for kubectl and oc
    #[command(
        after_help = "kubectl and oc complete the command lines of a plugin when a program named kubectl_complete-… is beside \
it: `install` makes the links that stand for it. Their own completion must be loaded in your shell (`kubectl completion -h`). The \
scripts are for calling the plugin by its own name."
    )]
    Completion {
        #[command(subcommand)]
        what: Completion,
    },
    /// Write the man pages
    #[command(hide = true)]
    Man {
        /// Directory for them
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
}

const fn printing(examples: &'static [&'static str]) -> About {
    About {
        examples,
        changes: "nothing",
        permissions: no_permissions,
    }
}

const LINKING: About = About {
    examples: &["{plugin} completion install"],
    changes: "four links beside the plugin, or in ~/.local/bin where kubectl does not look beside it or you may not write there",
    permissions: no_permissions,
};

#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum Completion {
    /// Print the script for bash
    #[command(add = printing(&["source <({file} completion bash)"]))]
    Bash,
    /// Print the script for zsh
    #[command(add = printing(&["source <({file} completion zsh)"]))]
    Zsh,
    /// Print the script for fish
    #[command(add = printing(&["{file} completion fish > ~/.config/fish/completions/{file}.fish"]))]
    Fish,
    /// Print the script for PowerShell
    #[command(add = printing(&["{file} completion powershell | Out-String | Invoke-Expression"]))]
    Powershell,
    /// Make the links by which kubectl and oc complete command lines of this plugin
    #[command(add = LINKING)]
    Install,
}

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
