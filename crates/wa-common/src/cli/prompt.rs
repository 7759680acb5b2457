//! Asking on the terminal: for what must not be seen, and what is to be done.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _, stderr, stdin};

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

/// Whether somebody is there to be asked: standard input and standard error are a terminal.
pub fn can_ask() -> bool {
    stdin().is_terminal() && stderr().is_terminal()
}

/// Asks which of `answers` it is to be, by their first letters, until one of them is given; the end of the input is none.
pub async fn ask(
    question: &str,
    answers: &'static [&'static str],
) -> anyhow::Result<Option<usize>> {
    let shown = answers.join("/");
    loop {
        write!(stderr(), "{question} [{shown}] ").context("cannot write to the terminal")?;
        let line = spawn_blocking(|| {
            let mut line = String::new();
            stdin().read_line(&mut line).map(|_| line)
        });
        let line = line.await?.context("cannot read the terminal")?;
        if line.is_empty() {
            return Ok(None);
        }
        if let Some(at) = chosen(&line, answers) {
            return Ok(Some(at));
        }
    }
}

/// Which of the answers a line begins.
fn chosen(line: &str, answers: &[&str]) -> Option<usize> {
    let line = line.trim().to_lowercase();
    let mut fitting = (0..answers.len()).filter(|at| answers[*at].starts_with(&*line));
    let only = fitting.next().filter(|_| fitting.next().is_none());
    only.filter(|_| !line.is_empty())
}

/// Asks for a yes, which `yes` (the flag `--yes`) gives beforehand. Without a terminal there is nobody to give it.
pub async fn confirm(question: &str, yes: bool) -> anyhow::Result<bool> {
    if yes {
        return Ok(true);
    }
    if !can_ask() {
        return Ok(false);
    }
    Ok(ask(question, &["yes", "no"]).await? == Some(0))
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

#[cfg(test)]
mod tests {
    use super::chosen;

    #[test]
    fn an_answer_may_be_shortened_as_long_as_it_is_one() {
        let answers = ["leave", "undo", "unsure"];
        assert_eq!(chosen("leave\n", &answers), Some(0));
        assert_eq!(chosen(" L \n", &answers), Some(0));
        assert_eq!(chosen("und", &answers), Some(1));
        for none in ["", "\n", "u", "yes", "leaven"] {
            assert_eq!(chosen(none, &answers), None, "{none:?}");
        }
    }
}
