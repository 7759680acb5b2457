//! What the long help of a command ends with.

use std::fmt::Write as _;

use clap::Command;
use clap::builder::CommandExt;

use crate::preflight::{Access, CommandAccess};
use crate::report::EXIT_CODES;

/// What a user of a command should know before, written beside it: `#[command(add = About { … })]`.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// Command lines, as they are typed.
    pub examples: &'static [&'static str],
    /// What it changes, in the cluster and on this machine.
    pub changes: &'static str,
    /// What the user must be allowed to do, of an instance called `INSTANCE`.
    pub permissions: fn() -> Vec<Access>,
}

impl CommandExt for About {}

/// What stands in a help text for the name of an instance.
const INSTANCE: &str = "INSTANCE";

/// The permissions of a command that asks no cluster.
pub fn no_permissions() -> Vec<Access> {
    Vec::new()
}

/// What one of `commands` needs.
pub fn access_of(commands: &[CommandAccess], command: &str) -> Vec<Access> {
    let mut commands = commands.iter();
    let found = commands.find(|one| one.command == command);
    found
        .map(|found| (found.access)(INSTANCE))
        .unwrap_or_default()
}

/// Permissions as paragraphs of a help text.
fn paragraphs(access: &[Access]) -> Vec<String> {
    if access.is_empty() {
        return vec!["none: works without a cluster".to_owned()];
    }
    access.iter().map(Access::in_words).collect()
}

/// Lays out the help of a command line that users call `shown`: `-h` has what is the command's own, `--help` everything.
pub(super) fn lay_out(command: Command, usual: &str, shown: &str) -> Command {
    // Beside those of all commands it has the options of the one that is done when none is named, which tells of them
    // itself.
    let command = command.mut_args(|arg| {
        let is_option = !arg.is_positional();
        arg.hide_short_help(is_option)
    });
    let names = Names { usual, shown };
    names.lay_out(command, shown)
}

/// What the program is called in texts, and what its user calls it.
struct Names<'a> {
    usual: &'a str,
    shown: &'a str,
}

impl Names<'_> {
    fn lay_out(&self, command: Command, path: &str) -> Command {
        let own = command.get_after_long_help().or(command.get_after_help());
        let own = own.map(ToString::to_string);
        let about = command.get::<About>().copied();
        let end = self.end(own.as_deref(), about);
        let more = format!(
            "Use \"{} options\" for the flags of every command (-n, -i, -o).\nUse \"{path} --help\" for examples, permissions and exit codes.",
            self.shown
        );
        command
            .after_help(more)
            .after_long_help(end)
            .mut_subcommands(|command| {
                let path = format!("{path} {}", command.get_name());
                self.lay_out(command, &path)
            })
    }

    fn end(&self, own: Option<&str>, about: Option<About>) -> String {
        let mut end = String::new();
        if let Some(own) = own {
            let _ = write!(end, "{own}\n\n");
        }
        if let Some(about) = about {
            let examples = about.examples.join("\n  ");
            let permissions = paragraphs(&(about.permissions)()).join("\n  ");
            let changes = about.changes;
            let _ = write!(
                end,
                "Examples:\n  {examples}\n\nChanges:\n  {changes}\n\nPermissions:\n  {permissions}\n\n"
            );
        }
        end.push_str(EXIT_CODES);
        // What every plugin has, has no name of its own in it.
        end.replace("{plugin}", self.usual)
            .replace("{file}", &self.usual.replace(' ', "-"))
            .replace(self.usual, self.shown)
    }
}
