//! Asking on the terminal for what a person types.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};

use anyhow::Context as _;
use tokio::task::spawn_blocking;

/// The controlling terminal, whatever standard input and output are.
#[derive(Debug)]
pub struct Terminal(File);

impl Terminal {
    /// `None` where there is none.
    pub fn open() -> Option<Self> {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
        terminal.ok().map(Self)
    }

    /// Shows a text, with what ends its last line.
    pub fn show(&mut self, text: &str) -> anyhow::Result<()> {
        write!(self.0, "{text}").context("cannot write to the terminal")
    }

    /// Asks for one line; what is answered is without what stands around it, and `None` is the end of the input.
    pub async fn ask(&mut self, question: &str) -> anyhow::Result<Option<String>> {
        self.show(question)?;
        let reader = self.0.try_clone().context("cannot read the terminal")?;
        // The wait ends with this process when a signal arrives.
        let line = spawn_blocking(move || {
            let mut line = String::new();
            BufReader::new(reader).read_line(&mut line).map(|_| line)
        });
        let line = line.await?.context("cannot read the terminal")?;
        Ok((!line.is_empty()).then(|| line.trim().to_owned()))
    }
}

/// Asks for one line on the controlling terminal. Where there is no terminal it is `None`; the end of the input is an
/// empty line.
pub async fn ask_line(question: &str) -> anyhow::Result<Option<String>> {
    let Some(mut terminal) = Terminal::open() else {
        return Ok(None);
    };
    Ok(Some(terminal.ask(question).await?.unwrap_or_default()))
}
