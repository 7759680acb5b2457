//! What to run in a pod, and how it gets its secrets.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use crate::secret::Secret;

/// The POSIX shell script that runs the command in the pod, with its comments.
const SCRIPT: &str = include_str!("remote.sh");

/// A command for a pod: program and arguments in the open, variables and input lines in secret.
///
/// The program and its arguments become part of a URL, which API servers write to their audit log, and show in the
/// process list of the node. Variables and input lines are sent over standard input and show in neither.
#[derive(Debug, Clone)]
pub struct RemoteCommand {
    argv: Vec<String>,
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
            argv: vec![program.into()],
            environment: Vec::new(),
            input: Vec::new(),
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

    /// The arguments of the exec request: the wrapping script, what it must read from its input, and the command.
    pub(crate) fn exec_argv(&self) -> Vec<String> {
        let names: Vec<&str> = self
            .environment
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        let mut argv = vec![
            "sh".to_owned(),
            "-c".to_owned(),
            without_comments(SCRIPT),
            "kube-transfer".to_owned(),
        ];
        argv.push(names.join(" "));
        argv.push(self.input.len().to_string());
        argv.extend_from_slice(&self.argv);
        argv
    }

    /// The first lines of the script's standard input: the nonce that marks its report, the variables, the input.
    pub(crate) fn preface(&self, nonce: &str) -> Zeroizing<Vec<u8>> {
        let secrets = self
            .environment
            .iter()
            .map(|(_, value)| value)
            .chain(&self.input);
        let lines: Vec<&str> = std::iter::once(nonce)
            .chain(secrets.map(Secret::expose))
            .collect();
        // Allocated once: a growing buffer would leave copies of the secrets behind in freed memory.
        let mut preface = Zeroizing::new(Vec::with_capacity(
            lines.iter().map(|line| line.len() + 1).sum(),
        ));
        for line in lines {
            preface.extend_from_slice(line.as_bytes());
            preface.push(b'\n');
        }
        preface
    }
}

/// The script travels in the URL of every request: proxies limit its length.
pub(crate) fn without_comments(script: &str) -> String {
    let mut code = String::with_capacity(script.len());
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let _ = writeln!(code, "{line}");
    }
    code
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
        assert_eq!(
            command.preface("n0").as_slice(),
            b"n0\nhunter2\nselect 'swordfish'\n"
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

    #[test]
    fn the_script_stays_short_enough_for_a_proxy() {
        let script = without_comments(SCRIPT);
        assert!(!script.contains('#'));
        let encoded: usize = script
            .bytes()
            .map(|byte| if byte.is_ascii_alphanumeric() { 1 } else { 3 })
            .sum();
        assert!(encoded < 4096, "{encoded} bytes in a URL");
    }
}
