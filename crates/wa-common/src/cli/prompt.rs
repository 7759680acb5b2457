//! Asking on the terminal for what must not be seen.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};

use anyhow::Context as _;
use kube_transfer::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::task::spawn_blocking;

/// Asks for one line on the controlling terminal, which does not show what is typed. Where there is no terminal it is an
/// error, to which `instead` adds what to do.
pub async fn ask_secret(question: &str, instead: &str) -> anyhow::Result<Secret> {
    let mut terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .map_err(|_| anyhow::anyhow!("there is no terminal to ask on: {instead}"))?;
    let quiet = Quiet::begin(&terminal).context("cannot keep the terminal from showing it")?;
    write!(terminal, "{question}").context("cannot write to the terminal")?;
    let reader = terminal.try_clone().context("cannot read the terminal")?;
    // The wait ends with this process when a signal arrives; the terminal is set back before that, by `quiet`.
    let line = spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(reader).read_line(&mut line).map(|_| line)
    });
    let line = line.await?.context("cannot read the terminal")?;
    drop(quiet);
    // The end of the line was not shown either.
    let _ = writeln!(terminal);
    Ok(Secret::new(line.trim_end_matches(['\r', '\n']))?)
}

/// A terminal that does not show what is typed, as long as this lives.
struct Quiet {
    terminal: File,
    before: Termios,
}

impl Quiet {
    fn begin(terminal: &File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ECHO;
        tcsetattr(terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self {
            terminal: terminal.try_clone()?,
            before,
        })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}
