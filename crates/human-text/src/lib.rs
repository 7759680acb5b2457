//! Foreign text, sizes and counts as a person reads them: what every crate shows alike.

use std::borrow::Cow;

use unicode_width::UnicodeWidthStr as _;

/// `text` with every control character made visible, so that names and log lines from a cluster cannot drive the
/// terminal they are shown on.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| !is_control(c)) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        text.chars()
            .flat_map(|c| {
                let (shown, escaped) = if is_control(c) {
                    (None, Some(c.escape_default()))
                } else {
                    (Some(c), None)
                };
                shown.into_iter().chain(escaped.into_iter().flatten())
            })
            .collect(),
    )
}

/// As [`printable`], but lines stay lines.
pub fn printable_lines(text: &str) -> String {
    let lines: Vec<Cow<'_, str>> = text.split('\n').map(printable).collect();
    lines.join("\n")
}

/// Control characters, and those that reorder the text around them (Unicode bidirectional controls).
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A size in bytes, in binary units: `1023 B`, `1.5 MiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut scaled = bytes;
    let mut unit = 0;
    while scaled >= 1024 * 1024 && unit + 1 < UNITS.len() {
        scaled /= 1024;
        unit += 1;
    }
    // Rounded down: a size must never look larger than it is.
    format!(
        "{}.{} {}",
        scaled / 1024,
        scaled % 1024 * 10 / 1024,
        UNITS[unit]
    )
}

/// A count with its noun: `1 table`, `12 tables`.
pub fn count(number: impl Into<u64>, noun: &str) -> String {
    let number = number.into();
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

/// `text` in lines of at most `width` columns, as far as its words are not longer. All lines are indented as it is. What
/// stands in backticks is one word: a command that is to be copied.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    if text.width() <= width {
        return vec![text.to_owned()];
    }
    let (indent, _) = text.split_at(text.len() - text.trim_start_matches(' ').len());
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in words(text) {
        if !line.is_empty() && line.width() + 1 + word.width() > width {
            lines.push(std::mem::take(&mut line));
        }
        line.push_str(if line.is_empty() { indent } else { " " });
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// What stands between blanks outside of backticks.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut is_quoted = false;
    let words = text.split(move |c| {
        is_quoted ^= c == '`';
        c == ' ' && !is_quoted
    });
    words.filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_a_command_stays_whole() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("one two", 80), ["one two"]);
        assert_eq!(wrap("", 80), [""]);
        assert_eq!(
            wrap("go on with `kubectl wa-restore resume`, or not", 12),
            ["go on with", "`kubectl wa-restore resume`,", "or not"]
        );
        assert_eq!(wrap("  one two", 6), ["  one", "  two"]);
        // Two columns each.
        assert_eq!(wrap("人事 人事", 8), ["人事", "人事"]);
        assert_eq!(wrap("a `b c", 3), ["a", "`b c"]);
    }

    #[test]
    fn escape_codes_from_the_cluster_are_shown_not_obeyed() {
        assert_eq!(printable("plain – ünï"), "plain – ünï");
        assert_eq!(
            printable("a\x1b[2Jb\r\n\u{202e}"),
            "a\\u{1b}[2Jb\\r\\n\\u{202e}"
        );
    }

    #[test]
    fn sizes_are_rounded_down() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024), "1.0 KiB");
        assert_eq!(bytes(1_048_575), "1023.9 KiB");
        assert_eq!(bytes(1_610_612_736), "1.5 GiB");
        assert!(bytes(u64::MAX).ends_with("PiB"));
    }
}
