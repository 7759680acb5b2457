//! Asking on the terminal for what proves that a person has read what will happen.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};

use anyhow::Context as _;
use tokio::task::spawn_blocking;

/// Asks for one line on the controlling terminal. Where there is no terminal it is `None`. What is answered is without
/// what stands around it.
pub async fn ask_line(question: &str) -> anyhow::Result<Option<String>> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty");
    let Ok(mut terminal) = terminal else {
        return Ok(None);
    };
    write!(terminal, "{question}").context("cannot write to the terminal")?;
    // The wait ends with this process when a signal arrives.
    let line = spawn_blocking(move || {
        let mut line = String::new();
        BufReader::new(terminal).read_line(&mut line).map(|_| line)
    });
    let line = line.await?.context("cannot read the terminal")?;
    Ok(Some(line.trim().to_owned()))
}
