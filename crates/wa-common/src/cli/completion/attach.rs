//! Gives every argument the values that clap does not know of.

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, PoisonError};

use clap::builder::ValueHint;
use clap::{Arg, Command};
use clap_complete::engine::{
    ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter as _,
};

use super::super::asked::Words;
use super::super::{Asked, Candidate, Plugin};
use super::values;

/// Who completes paths of this machine.
#[derive(Debug, Clone)]
pub(super) enum Paths {
    /// The shell, which knows `~` and quotes: told here what it should look for.
    Shell(Arc<Mutex<PathKind>>),
    /// clap_complete.
    Here,
}

/// Paths to look for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum PathKind {
    /// None: the value is no path.
    #[default]
    None,
    /// All.
    Any,
    /// Those of directories.
    Directory,
}

impl Paths {
    fn complete(&self, kind: PathKind, current: &OsStr) -> Vec<CompletionCandidate> {
        match (self, kind) {
            (Self::Shell(wanted), kind) => {
                *wanted.lock().unwrap_or_else(PoisonError::into_inner) = kind;
                Vec::new()
            }
            (Self::Here, PathKind::None) => Vec::new(),
            (Self::Here, PathKind::Any) => PathCompleter::any().complete(current),
            (Self::Here, PathKind::Directory) => PathCompleter::dir().complete(current),
        }
    }
}

/// The values of one argument.
struct Values {
    /// What the help calls them.
    name: String,
    /// All of them, where they are few.
    fixed: Vec<Candidate>,
    path: PathKind,
    /// Whether several may be given, of which none is offered twice.
    several: bool,
    /// Whether they stand after `=`, and never in a word of their own.
    behind_equals: bool,
}

/// Gives the arguments of all commands their values. Options are hidden unless one is begun: they are many.
pub(super) fn attach<P: Plugin>(command: Command, words: &Arc<Words>, paths: &Paths) -> Command {
    let hides = !words.last.starts_with('-');
    command
        .mut_args(|arg| {
            let arg = if hides && !arg.is_positional() {
                arg.hide(true)
            } else {
                arg
            };
            match Values::from_arg(&arg) {
                None => arg,
                Some(values) => {
                    let (words, paths) = (Arc::clone(words), paths.clone());
                    let complete =
                        move |current: &OsStr| values.begun_with::<P>(current, &words, &paths);
                    arg.add(ArgValueCompleter::new(complete))
                }
            }
        })
        .mut_subcommands(|command| attach::<P>(command, words, paths))
}

impl Values {
    /// `None` where there are none, or where clap knows them.
    fn from_arg(arg: &Arg) -> Option<Self> {
        let behind_equals = arg.is_require_equals_set();
        let possible = arg.get_possible_values();
        if !arg.get_action().takes_values() || !possible.is_empty() && !behind_equals {
            return None;
        }
        let name = arg.get_value_names()?.first()?.to_string();
        let candidate = |value: &clap::builder::PossibleValue| Candidate::new(value.get_name());
        let fixed = possible.iter().map(candidate).collect();
        let several = arg
            .get_num_args()
            .is_some_and(|count| count.max_values() > 1);
        Some(Self {
            path: match arg.get_value_hint() {
                ValueHint::AnyPath if name == "DIR" => PathKind::Directory,
                ValueHint::AnyPath => PathKind::Any,
                _ => PathKind::None,
            },
            name,
            fixed,
            several,
            behind_equals,
        })
    }

    fn begun_with<P: Plugin>(
        &self,
        current: &OsStr,
        words: &Arc<Words>,
        paths: &Paths,
    ) -> Vec<CompletionCandidate> {
        let typed = current.to_string_lossy().into_owned();
        // An option that could stand there instead of the value is not its beginning.
        if typed.starts_with('-') || self.behind_equals && !words.last.contains('=') {
            return Vec::new();
        }
        let mut found = self.fixed.clone();
        if found.is_empty() {
            let asked = Asked::new(typed.clone(), words);
            found = values::named::<P>(&self.name, &asked);
        }
        found.retain(|one| {
            let is_new = !self.several || !words.has(one.value());
            one.value().starts_with(&typed) && one.is_plain() && is_new
        });
        if found.is_empty() {
            return paths.complete(self.path, current);
        }
        found.into_iter().map(CompletionCandidate::from).collect()
    }
}
