//! What a job runs, and how it gets its secrets.

use crate::{
    remote_command::{InvalidVariable, RemoteCommand},
    secret::Secret,
};

/// A program for a job: arguments in the open, variables in secret.
///
/// The program and its arguments become part of a URL, which API servers write to their audit log, and show in the
/// process list of the node. Variables are sent over standard input and are written nowhere. Its standard input is empty;
/// what it prints, on standard output and standard error, is the job's log.
///
/// [`stop`](super::RunningJob::stop) signals the program alone. Its own children would then be left to process 1 of the
/// container, which may be a database that takes their end for a crash: give a program that has none, or that ends them.
#[derive(Debug, Clone)]
pub struct JobCommand {
    argv: Vec<String>,
    directory: String,
    environment: Vec<(String, Secret)>,
}

impl JobCommand {
    /// Runs `program`, found through the container's `PATH`, without a shell between.
    pub fn new(program: impl Into<String>) -> Self {
        Self {
            argv: vec![program.into()],
            directory: String::new(),
            environment: Vec::new(),
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

    /// Sets an environment variable, as [`RemoteCommand::env`] does.
    pub fn env(mut self, name: impl Into<String>, value: Secret) -> Result<Self, InvalidVariable> {
        let name = name.into();
        RemoteCommand::check_variable(&name)?;
        self.environment.push((name, value));
        Ok(self)
    }

    /// The command that starts the job; `script` gets `own` arguments before the program.
    pub(super) fn starter(
        &self,
        script: &str,
        own: impl IntoIterator<Item = String>,
    ) -> RemoteCommand {
        let mut command = RemoteCommand::sent_script(script)
            .args(own)
            .arg(&self.directory)
            .args(&self.argv);
        for (name, value) in &self.environment {
            command = command.variable(name.clone(), value.clone());
        }
        command
    }
}
