//! What a plugin's help leaves out, for a test of the plugin.

use clap::Command;

use super::called::Called;
use super::command_line::CommandLine;
use super::{About, Plugin};

/// What a test of a plugin asks: which commands do not say what a user should know, and which examples cannot be parsed.
pub fn help_problems<P: Plugin>() -> Vec<String> {
    let line = CommandLine::of::<P>(&Called::usual());
    let mut problems = Vec::new();
    look(
        &line.command,
        line.command.get_name(),
        &line.command,
        &mut problems,
    );
    problems
}

fn look(command: &Command, path: &str, whole: &Command, problems: &mut Vec<String>) {
    let does_something = !command.has_subcommands() || !command.is_subcommand_required_set();
    let has_help = !command.is_hide_set() && !command.is_disable_help_flag_set();
    if does_something && has_help && command.get::<About>().is_none() {
        problems.push(format!("{path} has no `About`"));
    }
    let end = command.get_after_long_help().map(ToString::to_string);
    let end = end.unwrap_or_default();
    let examples = end.lines().skip_while(|line| *line != "Examples:").skip(1);
    for example in examples.take_while(|line| !line.is_empty()) {
        if let Err(error) = parse(example, whole) {
            problems.push(format!("{}: {error}", example.trim()));
        }
    }
    for command in command.get_subcommands() {
        look(
            command,
            &format!("{path} {}", command.get_name()),
            whole,
            problems,
        );
    }
}

/// Parses what an example gives to the plugin, where it calls that through kubectl.
fn parse(example: &str, whole: &Command) -> Result<(), String> {
    let called = whole.get_bin_name().unwrap_or_default();
    let Some((_, arguments)) = example.split_once(called) else {
        return Ok(());
    };
    let words = shlex::split(arguments).ok_or("its quotes do not match")?;
    let words = words
        .into_iter()
        .take_while(|word| !["|", ">", ";", "&&"].contains(&&**word));
    let words = std::iter::once(called.to_owned()).chain(words);
    match whole.clone().try_get_matches_from(words) {
        Err(error) if error.use_stderr() => Err(error.to_string()),
        _ => Ok(()),
    }
}
