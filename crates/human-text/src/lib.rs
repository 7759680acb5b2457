//! Foreign text, sizes and counts as a person reads them: what every crate shows alike.

use std::borrow::Cow;

use unicode_width::UnicodeWidthStr;

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

/// A SHA-256 as it is told apart from others: its first 12 digits.
pub fn short_digest(sha256: &str) -> &str {
    sha256.get(..12).unwrap_or(sha256)
}

/// `text` with each SHA-256 that stands in it as a word cut to 12 digits. Names of images keep theirs: they are no use
/// without it.
pub fn with_short_digests(text: &str) -> String {
    let parts = text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '@' && c != ':');
    parts
        .map(|part| {
            let word = part.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            let is_digest = word.len() == 64 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_digest {
                part.replacen(word, short_digest(word), 1)
            } else {
                part.to_owned()
            }
        })
        .collect()
}

/// A column narrower than this is not worth wrapping in.
pub const LEAST_COLUMN: usize = 24;

/// One line of `text` in lines of at most `width` columns, as far as its words are not longer. What stands after two
/// blanks or more is a column: it wraps under its own beginning, and the lines of an indented text are all indented. A word
/// that is too long for its column, such as a path, gets a line of its own further left, where that is long enough. What
/// stands in backticks is one word: a command that is to be copied. A column that is a command stays whole for that reason.
/// Colours take no columns.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let (before, column) = text.split_at(last_column(text));
    let indent = columns(before);
    let is_narrow = !before.trim().is_empty() && width < indent + LEAST_COLUMN;
    let is_command = indent > 0 && (column.starts_with("kubectl") || column.starts_with("oc "));
    if columns(text) <= width || is_narrow || is_command {
        return vec![text.to_owned()];
    }
    let mut lines = Vec::new();
    let mut line = before.to_owned();
    let mut is_empty = true;
    let further_left = columns(text) - columns(text.trim_start()) + 2;
    for word in words(column) {
        let takes = columns(word);
        let is_too_long = indent > further_left && indent + takes > width;
        if is_too_long && further_left + takes <= width {
            line.truncate(line.trim_end().len());
            if !line.is_empty() {
                lines.push(line);
            }
            lines.push(format!("{:further_left$}{word}", ""));
            line = " ".repeat(indent);
            is_empty = true;
            continue;
        }
        if !is_empty && columns(&line) + 1 + takes > width {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    if lines.is_empty() || !line.trim().is_empty() {
        lines.push(line);
    }
    lines
}

/// Where the text begins that stands after the last two blanks, or after the indentation.
fn last_column(text: &str) -> usize {
    let mut begins = 0;
    let mut is_quoted = false;
    // The indentation counts with one blank already.
    let mut blanks = 1;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(code) = rest.strip_prefix(CODE) {
            rest = code.split_once('m').map_or("", |(_, shown)| shown);
            continue;
        }
        if c == ' ' && !is_quoted {
            blanks += 1;
        } else {
            if blanks > 1 {
                begins = text.len() - rest.len();
            }
            blanks = 0;
            is_quoted ^= c == '`';
        }
        rest = &rest[c.len_utf8()..];
    }
    begins
}

/// What the code of a colour begins with; it ends with an `m`.
const CODE: &str = "\u{1b}[";

/// How many columns a text takes on a terminal, the codes of its colours aside.
pub fn columns(text: &str) -> usize {
    let mut parts = text.split(CODE);
    let first = parts.next().map_or(0, UnicodeWidthStr::width);
    let rest = parts.map(|part| {
        part.split_once('m')
            .map_or(part, |(_, shown)| shown)
            .width()
    });
    first + rest.sum::<usize>()
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
        let green = "\u{1b}[32mone\u{1b}[0m two";
        assert_eq!(wrap(green, 7), [green]);
        assert_eq!(wrap(green, 6).len(), 2);
    }

    #[test]
    fn the_last_column_wraps_under_its_own_beginning() {
        let lines = [
            "STATE   one two three four five six seven",
            "  one of   one two three four five six seven",
            "\u{1b}[2mSTATE  \u{1b}[0m one two three four five six seven",
        ];
        let wrapped = lines.map(|line| wrap(line, 40));
        assert_eq!(
            wrapped,
            [
                ["STATE   one two three four five six", "        seven"],
                ["  one of   one two three four five six", "           seven"],
                [
                    "\u{1b}[2mSTATE  \u{1b}[0m one two three four five six",
                    "        seven"
                ],
            ]
        );
        // What fits nowhere else has a line of its own.
        let path = "/a/path/of/three/times/nine";
        assert_eq!(
            wrap(&format!("from here  to {path} {path} and"), 36),
            [
                "from here  to",
                &format!("  {path}"),
                &format!("  {path}"),
                "           and"
            ]
        );
        assert_eq!(
            wrap(&format!(" one of  {path}"), 34),
            [" one of", &format!("   {path}")]
        );
        let longer = format!("from  {path}{path}");
        assert_eq!(wrap(&longer, 36), [longer]);
        // A table that is too wide stays as it is, and so does what is quoted.
        let row = "a name that is long    one two three four";
        assert_eq!(wrap(row, 40), [row]);
        assert_eq!(wrap("do `a  b` and then", 14), ["do `a  b` and", "then"]);
        for command in [
            "  kubectl get pods -n a",
            "undo  kubectl get pods",
            " oc get pods -n a",
        ] {
            assert_eq!(wrap(command, 16), [command]);
        }
        assert_eq!(wrap("kubectl looks for it", 16).len(), 2);
    }

    #[test]
    fn a_sha_256_is_cut_to_12_digits_where_it_is_a_word_of_its_own() {
        let digest = "0123456789abcdef".repeat(4);
        assert_eq!(short_digest(&digest), "0123456789ab");
        assert_eq!(
            with_short_digests(&format!("1 B, SHA-256 {digest}, as computed")),
            "1 B, SHA-256 0123456789ab, as computed"
        );
        assert_eq!(with_short_digests(&digest), "0123456789ab");
        for whole in [
            format!("image a/b@sha256:{digest}"),
            format!("{digest}0 and {}", &digest[1..]),
        ] {
            assert_eq!(with_short_digests(&whole), whole);
        }
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
