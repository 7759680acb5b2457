//! Colours, decided once: plain by default, so that a pipe never sees an escape code.

use std::io::IsTerminal;
use std::os::fd::AsFd;

use human_text::wrap;
use owo_colors::Style;
use rustix::termios::tcgetwinsize;

/// When to colour what is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The styles of what a plugin writes; all plain unless colours were chosen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Styles {
    /// Something is as it should be.
    pub good: Style,
    /// Something deserves a look.
    pub warning: Style,
    /// Something is wrong.
    pub bad: Style,
    /// A heading, or a table's column names.
    pub heading: Style,
    /// What is there for completeness.
    pub faint: Style,
    /// How wide the terminal is. None where it is none: other programs find a line as a whole.
    pub width: Option<usize>,
}

impl Styles {
    /// Styles for text that goes to `stream`.
    pub fn for_stream(choice: ColorChoice, stream: &(impl IsTerminal + AsFd)) -> Self {
        let colored = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                // https://no-color.org: set and not empty
                let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                stream.is_terminal() && !refused && !dumb
            }
        };
        let styles = if colored {
            Self::colored()
        } else {
            Self::default()
        };
        let size = tcgetwinsize(stream).ok();
        let width = size.map(|size| usize::from(size.ws_col));
        Self {
            width: width.filter(|width| *width > 0),
            ..styles
        }
    }

    /// One line of text as it is shown after `indent` columns: on a terminal that is too narrow in several, broken
    /// between words.
    pub fn wrapped(&self, text: &str, indent: usize) -> Vec<String> {
        let column = self.width.and_then(|width| width.checked_sub(indent));
        match column {
            Some(column) => wrap(text, column),
            None => vec![text.to_owned()],
        }
    }

    /// The lines of `text`, each wrapped, as they are shown after `indent` columns that something else takes.
    pub fn under(&self, text: &str, indent: usize) -> String {
        let lines: Vec<String> = text
            .split('\n')
            .flat_map(|line| self.wrapped(line, indent))
            .collect();
        lines.join(&format!("\n{:indent$}", ""))
    }

    fn colored() -> Self {
        Self {
            good: Style::new().green(),
            warning: Style::new().yellow(),
            bad: Style::new().red().bold(),
            heading: Style::new().bold(),
            faint: Style::new().dimmed(),
            width: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(width: usize) -> Styles {
        Styles {
            width: Some(width),
            ..Styles::default()
        }
    }

    #[test]
    fn lines_wrap_under_their_own_column_on_a_terminal_alone() {
        let text = "one two three four five six";
        assert_eq!(
            wide(34).under(text, 9),
            "one two three four five\n         six"
        );
        assert_eq!(Styles::default().under(text, 9), text);
    }

    #[test]
    fn sentences_keep_their_lines_and_commands_stay_whole() {
        let text = "this is wrapped at thirty columns\n  kubectl delete pod a-long-name -n a-namespace\n  so is this line of that text";
        assert_eq!(
            wide(30).under(text, 0),
            "this is wrapped at thirty\ncolumns\n  kubectl delete pod a-long-name -n a-namespace\n  so is this line of that text"
        );
        assert_eq!(
            wide(29).under("  so is this line of that text", 0),
            "  so is this line of that\n  text"
        );
        assert_eq!(Styles::default().under(text, 0), text);
    }
}
