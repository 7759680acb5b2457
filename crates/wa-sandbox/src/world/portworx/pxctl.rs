//! What `pxctl` understands and answers.

use super::volumes::Refusal;

/// What a call printed, and how it ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) code: u8,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Answer {
    pub(super) fn done(stdout: String) -> Self {
        Self {
            stdout,
            ..Self::default()
        }
    }

    /// A failure as `pxctl` shows it: the command's name and what went wrong.
    pub(super) fn failed(command: &str, refusal: &Refusal) -> Self {
        Self {
            code: 1,
            stderr: format!("{command}: {refusal}\n"),
            ..Self::default()
        }
    }

    fn usage(text: &str) -> Self {
        Self {
            code: 1,
            stdout: format!("Incorrect Usage: {text}\n"),
            ..Self::default()
        }
    }
}

/// One call of `pxctl`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Inspect { volumes: Vec<String>, json: bool },
    List { json: bool },
    Status,
    Attach { volume: String },
    Detach { volume: String },
    Mount { volume: String, path: String },
    Unmount { volume: String, path: String },
}

/// Reads the words of a call. Global flags come first; options of a command may stand before or after its volume.
pub(super) fn parse(words: &[String]) -> Result<Command, Answer> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (json, words) = match words.as_slice() {
        ["-j" | "--json", rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    match words {
        ["status"] => Ok(Command::Status),
        ["volume" | "v", "inspect" | "i", volumes @ ..] if !volumes.is_empty() => {
            Ok(Command::Inspect {
                volumes: volumes.iter().map(|&word| word.to_owned()).collect(),
                json,
            })
        }
        ["volume" | "v", "list" | "l"] => Ok(Command::List { json }),
        ["host" | "h", "attach" | "a", rest @ ..] => {
            let (volume, _) = operands(rest, "--secret_key")?;
            Ok(Command::Attach { volume })
        }
        ["host" | "h", "detach" | "d", rest @ ..] => {
            let (volume, _) = operands(rest, "--redirect")?;
            Ok(Command::Detach { volume })
        }
        ["host" | "h", "mount" | "m", rest @ ..] => {
            let (volume, path) = volume_and_path(rest)?;
            Ok(Command::Mount { volume, path })
        }
        ["host" | "h", "unmount" | "u", rest @ ..] => {
            let (volume, path) = volume_and_path(rest)?;
            Ok(Command::Unmount { volume, path })
        }
        _ => Err(Answer::usage(&format!(
            "no such command: pxctl {}",
            words.join(" ")
        ))),
    }
}

/// `--path P V`, `V --path P`, `--path=P V`, or `V P` as older releases had it.
fn volume_and_path(words: &[&str]) -> Result<(String, String), Answer> {
    let (volume, path) = match words {
        [volume, path] if !volume.starts_with('-') && !path.starts_with('-') => {
            ((*volume).to_owned(), Some((*path).to_owned()))
        }
        _ => operands(words, "--path")?,
    };
    match path {
        Some(path) => Ok((volume, path.trim_end_matches('/').to_owned())),
        None => Err(Answer::usage("Path to mount must be specified")),
    }
}

/// The volume and the value of the only option there is.
fn operands(words: &[&str], option: &str) -> Result<(String, Option<String>), Answer> {
    let (mut volume, mut value) = (None, None);
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        let given = word
            .strip_prefix(option)
            .and_then(|rest| rest.strip_prefix('='));
        if word == option {
            let next = words
                .next()
                .ok_or_else(|| Answer::usage(&format!("flag needs an argument: {option}")))?;
            value = Some((*next).to_owned());
        } else if let Some(given) = given {
            value = Some(given.to_owned());
        } else if word.starts_with('-') {
            return Err(Answer::usage(&format!(
                "flag provided but not defined: {word}"
            )));
        } else if volume.replace(word.to_owned()).is_some() {
            return Err(Answer::usage("one volume must be specified"));
        }
    }
    volume
        .map(|volume| (volume, value))
        .ok_or_else(|| Answer::usage("Volume name or id must be specified"))
}
