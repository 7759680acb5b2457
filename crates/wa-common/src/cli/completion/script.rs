//! Scripts by which a shell completes command lines of the plugin by its own name, and the answers they get.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use clap::Command;
use clap_complete::env::{Bash, EnvCompleter, Fish, Powershell, Zsh};

use super::super::Plugin;
use super::super::called::Called;
use super::super::command_line::CommandLine;
use super::ask::Words;
use super::attach::{Paths, attach};

/// By which a script says that it, and not a user, starts the program, and of which shell it is.
const VARIABLE: &str = "KUBECTL_WA_COMPLETE";
/// In which clap_complete's scripts say which of the words is completed; else it is the last one.
const INDEX_VARIABLE: &str = "_CLAP_COMPLETE_INDEX";

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
        let words = Arc::new(Words::new(&command, program, until_cursor(&arguments)));
        let mut command = attach::<P>(command, &words, &Paths::Here);
        let directory = std::env::current_dir().ok();
        let mut answer = Vec::new();
        let shell = self.shell();
        match shell.write_complete(&mut command, arguments, directory.as_deref(), &mut answer) {
            Ok(()) => String::from_utf8_lossy(&answer).into_owned(),
            Err(_) => String::new(),
        }
    }
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
