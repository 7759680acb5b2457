//! A shell on a terminal, whose keys a test presses.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use end_to_end::World;

use super::PATIENT;

/// A shell on a terminal of its own.
pub(super) struct Terminal {
    shell: Child,
    keys: ChildStdin,
    shown: Receiver<Vec<u8>>,
    text: String,
}

impl Terminal {
    /// A shell that has read `setup`.
    pub(super) fn start(world: &World, directory: &Path, shell: &str, setup: &str) -> Self {
        let mut child = world
            .on_terminal(shell)
            .env(PATIENT.0, PATIENT.1)
            .env("HOME", directory)
            .env("PS1", "$ ")
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = child.stdout.take().unwrap();
        let (send, shown) = mpsc::channel();
        thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut part) {
                let _ = send.send(part[..length].to_vec());
            }
        });
        let mut terminal = Self {
            keys: child.stdin.take().unwrap(),
            shell: child,
            shown,
            text: String::new(),
        };
        terminal.press(&format!("{setup}\necho re''ady\n"));
        terminal.expect("ready");
        terminal
    }

    pub(super) fn press(&mut self, keys: &str) {
        self.text.clear();
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until this is shown.
    #[track_caller]
    pub(super) fn expect(&mut self, text: &str) {
        while !plain(&self.text).contains(text) {
            let part = self.shown.recv_timeout(Duration::from_mins(1));
            let Ok(part) = part else {
                panic!("no {text:?} in {:?}", self.text);
            };
            self.text.push_str(&String::from_utf8_lossy(&part));
        }
    }
}

/// What a terminal shows of one line: without colours, and with what was gone back over replaced.
fn plain(text: &str) -> String {
    let mut shown = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => {
                let _ = characters.find(char::is_ascii_alphabetic);
            }
            '\u{8}' => {
                shown.pop();
            }
            other => shown.push(other),
        }
    }
    shown
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
