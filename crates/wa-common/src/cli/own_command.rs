//! The commands that every plugin has: `options`, `completion`, and the man pages for those who install it.

use std::path::PathBuf;

use clap::Subcommand;

use super::{About, no_permissions};

// One of them; a comment of documentation would become the plugin's description.
#[derive(Debug, Subcommand)]
pub(super) enum OwnCommand {
    /// Show the flags that every command takes
    #[command(disable_help_flag = true)]
    Options,
    /// Print what makes a shell complete command lines, or install it for kubectl and oc
    #[command(
        disable_help_subcommand = true,
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
