//! What to run in a pod, and how it gets its secrets.

use zeroize::Zeroizing;

use crate::{
    script::{Script, without_comments},
    secret::Secret,
};

/// What a script of ours begins with. The handler of a signal must not end the shell: bash runs it while the processes of
/// a pipeline or of a `$(...)` are at work, and would leave them to process 1 of the container.
const NOTE_THE_END: &str = "trap gone=1 HUP TERM\n";
/// Runs the command in the pod.
const SCRIPT: Script = Script::new("kube-transfer-run", include_str!("remote.sh"));

/// A command for a pod: program and arguments in the open, variables and input lines in secret.
///
/// The program and its arguments become part of a URL, which API servers write to their audit log, and show in the
/// process list of the node. Variables and input lines are sent over standard input and show in neither.
///
/// When the client is gone, the program is sent SIGTERM, and after four seconds SIGKILL. Its own children would then be
/// left to process 1 of the container, which may be a database that takes their end for a crash: give a program that has
/// none, or a [`script`](Self::script).
#[derive(Debug, Clone)]
pub struct RemoteCommand {
    last_signal: &'static str,
    argv: Vec<String>,
    directory: String,
    environment: Vec<(String, Secret)>,
    input: Vec<Secret>,
}

/// A name that cannot be given to a variable of a remote command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot be set for a remote command: use capitals, digits and underscores, and not IFS"
)]
pub struct InvalidVariable(String);

impl RemoteCommand {
    /// Runs `program`, found through the container's `PATH`, without a shell between.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            last_signal: "KILL",
            argv: vec![program.into()],
            directory: String::new(),
            environment: Vec::new(),
            input: Vec::new(),
        }
    }

    /// Runs a POSIX shell script, whose arguments are added next; comments on lines of their own are left out.
    ///
    /// When the client is gone, the variable `gone` is set, and the script goes on to its end, so that nothing is left to
    /// process 1 of the container. One that may take long looks at it: `[ ! "$gone" ] || exit`, between two programs. Let
    /// it run only programs that end soon by themselves, none in the background, and set no trap that ends it.
    pub fn script(text: &str) -> Self {
        let script = format!("{NOTE_THE_END}{}", without_comments(text));
        Self {
            last_signal: "TERM",
            ..Self::new("sh").args(["-c", &script, "sh"])
        }
    }

    /// As [`script`](Self::script), for a longer one: it is sent over standard input, so that the URL stays short.
    /// Its own standard input is empty.
    pub fn sent_script(text: &str) -> Self {
        const READ_AND_RUN: &str = r#"script=
while IFS= read -r line; do
script=$script$line'
'
done
[ "$gone" ] || eval "$script""#;
        Self {
            last_signal: "TERM",
            input: text.lines().map(Secret::from_line).collect(),
            ..Self::new("sh").args(["-c", &format!("{NOTE_THE_END}{READ_AND_RUN}"), "sh"])
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.argv.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.argv.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Where the program begins; the container's own working directory otherwise.
    #[must_use]
    pub fn current_dir(mut self, directory: impl Into<String>) -> Self {
        self.directory = directory.into();
        self
    }

    /// Sets an environment variable for the command. Capitals only: lower case is the wrapping shell script's own.
    pub fn env(mut self, name: impl Into<String>, value: Secret) -> Result<Self, InvalidVariable> {
        let name = name.into();
        let starts_well =
            name.starts_with(|first: char| first.is_ascii_uppercase() || first == '_');
        let continues_well = name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        if starts_well && continues_well && name != "IFS" {
            self.environment.push((name, value));
            Ok(self)
        } else {
            Err(InvalidVariable(name))
        }
    }

    /// Adds a line to the command's standard input, which is empty otherwise.
    #[must_use]
    pub fn input_line(mut self, line: Secret) -> Self {
        self.input.push(line);
        self
    }

    /// Whether it has lines on its standard input.
    pub(crate) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// The command that runs `script`, which gets `own` arguments, this command's directory and its arguments; the script
    /// has this command's variables.
    pub(crate) fn started_by(&self, script: &str, own: impl IntoIterator<Item = String>) -> Self {
        Self {
            environment: self.environment.clone(),
            ..Self::sent_script(script)
                .args(own)
                .arg(&self.directory)
                .args(&self.argv)
        }
    }

    /// The arguments of the exec request: the wrapping script, what it must read from its input, and the command.
    pub(crate) fn exec_argv(&self) -> Vec<String> {
        let names: Vec<&str> = self
            .environment
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let own = [
            names.join(" "),
            self.input.len().to_string(),
            self.last_signal.to_owned(),
            self.directory.clone(),
        ];
        SCRIPT.argv(own.into_iter().chain(self.argv.iter().cloned()))
    }

    /// What is sent first: the script, the variables, the input.
    pub(crate) fn preface(&self, nonce: &str) -> Zeroizing<Vec<u8>> {
        let secrets = self
            .environment
            .iter()
            .map(|(_, value)| value)
            .chain(&self.input);
        let lines: Vec<&str> = secrets.map(Secret::expose).collect();
        SCRIPT.preface(nonce, &lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text).expect("one line")
    }

    #[test]
    fn secrets_are_in_the_preface_and_not_in_the_arguments_or_debug_output() {
        let command = RemoteCommand::new("psql")
            .arg("-c")
            .env("PGPASSWORD", secret("hunter2"))
            .expect("valid name")
            .input_line(secret("select 'swordfish'"));
        let shown = format!("{:?} {command:?}", command.exec_argv());
        assert!(
            !shown.contains("hunter2") && !shown.contains("swordfish"),
            "{shown}"
        );
        assert!(
            command
                .preface("n0")
                .ends_with(b"\nn0\nhunter2\nselect 'swordfish'\n")
        );
    }

    #[test]
    fn names_that_would_upset_the_script_are_refused() {
        for name in ["", "IFS", "nonce", "1A", "A B", "A=B", "A;B", "Ä"] {
            assert!(
                RemoteCommand::new("true").env(name, secret("x")).is_err(),
                "{name:?}"
            );
        }
    }
}
