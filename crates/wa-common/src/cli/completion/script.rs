//! Scripts by which a shell completes command lines of the plugin by its own name, and the answers they get.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Command;
use clap_complete::engine::complete;
use clap_complete::env::{Bash, EnvCompleter, Fish, Powershell, Zsh};

use super::super::Plugin;
use super::super::asked::Words;
use super::super::called::Called;
use super::super::command_line::CommandLine;
use super::attach::{Paths, attach};

/// By which a script says that it, and not a user, starts the program, and of which shell it is.
const VARIABLE: &str = "KUBECTL_WA_COMPLETE";
/// In which clap_complete's scripts say which of the words is completed; else it is the last one.
const INDEX_VARIABLE: &str = "_CLAP_COMPLETE_INDEX";
/// In which that of bash says what it parts the answers by.
const SEPARATOR_VARIABLE: &str = "_CLAP_IFS";

/// The script of one shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Script {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

impl Script {
    const ALL: [Self; 4] = [Self::Bash, Self::Zsh, Self::Fish, Self::Powershell];

    fn shell(self) -> &'static dyn EnvCompleter {
        match self {
            Self::Bash => &Bash,
            Self::Zsh => &Zsh,
            Self::Fish => &Fish,
            Self::Powershell => &Powershell,
        }
    }

    /// The one that has started this process.
    pub(super) fn that_asks() -> Option<Self> {
        let shell = std::env::var(VARIABLE).ok()?;
        Self::ALL
            .into_iter()
            .find(|one| one.shell().name() == shell)
    }

    /// The script, for the name by which the program was called. That is looked for on `PATH` each time, so that a newer
    /// version answers for itself; where it is not there, the path is kept.
    pub(in crate::cli) fn text(self, command: &Command, called: &Called) -> anyhow::Result<String> {
        let usual = command.get_name().replace('_', "-");
        let name = called.file_name(&usual);
        let program = if is_on_path(name) {
            name.to_owned()
        } else {
            let path = std::path::absolute(called.program())?;
            path.to_string_lossy().into_owned()
        };
        let mut script = Vec::new();
        self.shell()
            .write_registration(VARIABLE, name, name, &program, &mut script)?;
        let script = String::from_utf8(script).context("the script is not UTF-8")?;
        Ok(format!("{}\n", script.trim()))
    }

    /// What the script does the rest with.
    pub(super) fn answer<P: Plugin>(self, called: &Called, arguments: Vec<OsString>) -> String {
        let CommandLine { command, program } = CommandLine::of::<P>(called);
        let arguments = arguments
            .into_iter()
            .skip_while(|argument| argument != "--");
        let arguments: Vec<OsString> = arguments.skip(1).collect();
        let before = until_cursor(&arguments);
        let before = match self {
            Self::Bash => rejoined(before),
            _ => before,
        };
        let words = Arc::new(Words::new(&command, program, before.clone()));
        let mut command = attach::<P>(command, &words, &Paths::Here);
        let directory = std::env::current_dir().ok();
        if self == Self::Bash {
            return of_bash(&mut command, before, directory.as_deref());
        }
        let mut answer = Vec::new();
        let shell = self.shell();
        match shell.write_complete(&mut command, arguments, directory.as_deref(), &mut answer) {
            Ok(()) => String::from_utf8_lossy(&answer).into_owned(),
            Err(_) => String::new(),
        }
    }
}

/// As clap_complete's own answer, but for words with `=`, of which bash completes only what follows it.
fn of_bash(command: &mut Command, words: Vec<OsString>, directory: Option<&Path>) -> String {
    let last = words.last().map(|word| word.to_string_lossy().into_owned());
    let last = last.unwrap_or_default();
    let begun = last.rfind('=').map_or("", |at| &last[..=at]);
    let index = words.len().saturating_sub(1);
    let found = complete(command, words, index, directory).unwrap_or_default();
    let values = found.iter().map(|one| {
        let value = one.get_value().to_string_lossy();
        value.strip_prefix(begun).unwrap_or(&value).to_owned()
    });
    let separator = std::env::var(SEPARATOR_VARIABLE).unwrap_or_else(|_| "\n".to_owned());
    values.collect::<Vec<_>>().join(&separator)
}

/// bash tells `--to=/mnt` as three words.
fn rejoined(words: Vec<OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    let mut goes_on = false;
    for word in words {
        let is_equals = word == "=";
        match joined.last_mut() {
            Some(last) if is_equals || goes_on => last.push(word),
            _ => joined.push(word),
        }
        goes_on = is_equals;
    }
    joined
}

/// The words up to the one that is completed, which is empty where zsh does not tell it.
fn until_cursor(words: &[OsString]) -> Vec<OsString> {
    let index = std::env::var(INDEX_VARIABLE).ok();
    let index = index.and_then(|index| index.parse::<usize>().ok());
    let length = index.map_or(words.len(), |index| index.saturating_add(1));
    let mut until: Vec<OsString> = words.iter().take(length).cloned().collect();
    if length == words.len() + 1 {
        until.push(OsString::new());
    }
    until
}

fn is_on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| Path::new(&directory).join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_bash_has_parted_are_joined_again() {
        for (parted, joined) in [
            (&["p", "--to", "=", "/mnt"][..], &["p", "--to=/mnt"][..]),
            (&["p", "--to", "="], &["p", "--to="]),
            (&["p", "-o", "=", "x", "y"], &["p", "-o=x", "y"]),
            (&["p", "a", "b"], &["p", "a", "b"]),
        ] {
            let words = parted.iter().map(OsString::from).collect();
            assert_eq!(rejoined(words), joined);
        }
    }
}
