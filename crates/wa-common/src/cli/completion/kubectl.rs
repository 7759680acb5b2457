//! Answers kubectl and oc, in the words of the library with which they complete their own commands.
//!
//! A line for each word that can stand there, with what is to know of it after a tab; in the last line, after a colon,
//! a number that says what the shell makes of it. Of `--flag=val` only the value counts: kubectl's scripts put the flag
//! before it again.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use clap_complete::engine::{CompletionCandidate, complete};

use super::super::Plugin;
use super::super::asked::Words;
use super::super::called::Called;
use super::super::command_line::CommandLine;
use super::attach::{PathKind, Paths, attach};

/// cobra's `ShellCompDirective`s, of which an answer may have several.
mod directive {
    pub(super) const NO_SPACE: u8 = 2;
    pub(super) const NO_FILES: u8 = 4;
    pub(super) const DIRECTORIES: u8 = 16;
    /// Since kubectl 1.28; others pass over it.
    pub(super) const KEEP_ORDER: u8 = 32;
}

/// What can stand in the place of the last of `arguments`.
pub(super) fn answer<P: Plugin>(called: &Called, mut arguments: Vec<OsString>) -> String {
    let CommandLine { command, program } = CommandLine::of::<P>(called);
    if arguments.is_empty() {
        arguments.push(OsString::new());
    }
    arguments.insert(0, command.get_name().into());
    let index = arguments.len() - 1;
    let words = Arc::new(Words::new(&command, program, arguments.clone()));
    let wanted = Arc::new(Mutex::new(PathKind::None));
    let mut command = attach::<P>(command, &words, &Paths::Shell(Arc::clone(&wanted)));
    let mut found = complete(&mut command, arguments, index, None).unwrap_or_default();
    // A command's own options before those of all commands, which have headings of their own.
    found.sort_by_key(|one| one.get_tag().is_none_or(|tag| tag.to_string() != "Options"));
    let wanted = *wanted.lock().unwrap_or_else(PoisonError::into_inner);
    text(&found, &words.last, wanted)
}

/// That nothing is known. Of an empty answer kubectl would make that the shell offers files.
pub(super) fn nothing() -> String {
    text(&[], "", PathKind::None)
}

fn text(found: &[CompletionCandidate], typed: &str, paths: PathKind) -> String {
    let is_option = typed.starts_with('-');
    let flag = typed.split_once('=').filter(|_| is_option);
    let flag = flag.map_or(String::new(), |(flag, _)| format!("{flag}="));
    let mut text = String::new();
    let mut values = Vec::new();
    for one in found {
        let value = one.get_value().to_string_lossy();
        // Options are offered to who asks for one.
        if value.starts_with('-') != is_option {
            continue;
        }
        let value = value.strip_prefix(&*flag).unwrap_or(&value).to_owned();
        let help = one.get_help().map(ToString::to_string).unwrap_or_default();
        let _ = match help.lines().next() {
            Some(help) => writeln!(text, "{value}\t{}", help.replace('\t', " ")),
            None => writeln!(text, "{value}"),
        };
        values.push(value);
    }
    let mut number = directive::KEEP_ORDER;
    match paths {
        // What is offered goes before what the shell would find.
        PathKind::Any => {}
        PathKind::Directory if values.is_empty() => number = directive::DIRECTORIES,
        _ => number |= directive::NO_FILES,
    }
    // A template follows, or another part of a path.
    if matches!(&values[..], [only] if only.ends_with(['=', '/'])) {
        number |= directive::NO_SPACE;
    }
    let _ = writeln!(text, ":{number}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(values: &[&str], typed: &str, paths: PathKind) -> String {
        let found: Vec<_> = values.iter().map(CompletionCandidate::new).collect();
        text(&found, typed, paths)
    }

    #[test]
    fn of_a_flag_with_its_value_only_the_value_is_offered() {
        let found = ["--namespace=cpd", "--namespace=cpd-operators"];
        let text = told(&found, "--namespace=c", PathKind::None);
        assert_eq!(text, "cpd\ncpd-operators\n:36\n");
        assert_eq!(told(&["-n=cpd"], "-n=", PathKind::None), "cpd\n:36\n");
        // Without `=` the shell compares the whole word.
        assert_eq!(told(&["-ncpd"], "-nc", PathKind::None), "-ncpd\n:36\n");
        // In a word that is no option it is a part of the value.
        assert_eq!(
            told(&["jsonpath=a"], "jsonpath=", PathKind::None),
            "jsonpath=a\n:36\n"
        );
    }

    #[test]
    fn options_are_offered_to_who_begins_one() {
        let found = ["create", "--to", "-h"];
        assert_eq!(told(&found, "", PathKind::None), "create\n:36\n");
        assert_eq!(told(&found, "-", PathKind::None), "--to\n-h\n:36\n");
    }

    #[test]
    fn the_shell_looks_for_files_only_where_a_file_can_stand() {
        assert_eq!(told(&[], "", PathKind::None), ":36\n");
        assert_eq!(told(&[], "", PathKind::Any), ":32\n");
        assert_eq!(told(&[], "", PathKind::Directory), ":16\n");
        assert_eq!(
            told(&["wa-backups/a"], "", PathKind::Any),
            "wa-backups/a\n:32\n"
        );
    }

    #[test]
    fn what_goes_on_is_followed_by_no_space() {
        assert_eq!(
            told(&["jsonpath="], "j", PathKind::None),
            "jsonpath=\n:38\n"
        );
    }

    #[test]
    fn help_is_one_line_without_tabs() {
        let help = "first\tline\nsecond".to_owned();
        let one = CompletionCandidate::new("a").help(Some(help.into()));
        assert_eq!(text(&[one], "", PathKind::None), "a\tfirst line\n:36\n");
    }
}
