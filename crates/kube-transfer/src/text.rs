//! Foreign text made fit for a terminal and an error message.

/// Bidirectional controls can make a message read as something else; `char::is_control` does not count them.
const BIDIRECTIONAL_CONTROLS: [std::ops::RangeInclusive<char>; 3] = [
    '\u{200e}'..='\u{200f}',
    '\u{202a}'..='\u{202e}',
    '\u{2066}'..='\u{2069}',
];

/// `bytes` as text, with everything a terminal would obey escaped; line breaks and tabs stay.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut printable = String::with_capacity(text.len());
    for character in text.trim_end().chars() {
        if obeyed_by_terminals(character) {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

/// `text` as the continuation of a message; nothing when there is none.
pub(crate) fn after_colon(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    }
}

fn obeyed_by_terminals(character: char) -> bool {
    (character.is_control() && !matches!(character, '\n' | '\t'))
        || BIDIRECTIONAL_CONTROLS
            .iter()
            .any(|range| range.contains(&character))
}

/// A program that a container lacks, together with the one that would do as well.
pub(crate) fn or_its_substitute(tool: &str) -> &str {
    match tool {
        "sha256sum" => "sha256sum and no openssl",
        tool => tool,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_controls_are_escaped_and_text_is_kept() {
        assert_eq!(printable(b"\x1b[31mred\x07\r\n"), "\\u{1b}[31mred\\u{7}");
        assert_eq!(
            printable("zwei Zeilen:\n\tÄÖÜ \u{202e}x".as_bytes()),
            "zwei Zeilen:\n\tÄÖÜ \\u{202e}x"
        );
        assert_eq!(printable(b"bad \xff byte"), "bad \u{fffd} byte");
    }
}
