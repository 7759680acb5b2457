//! Values in YAML that every parser reads alike, whatever is in them.

use std::fmt::Write as _;

/// The text in double quotes.
pub(crate) fn string(text: &str) -> String {
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(letter);
            }
            // Control characters, the line ends of Unicode, and the mark that may begin a file.
            letter
                if letter.is_control()
                    || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}') =>
            {
                // Writing to a String does not fail.
                let _ = write!(quoted, "\\u{:04X}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// An id as IBM writes it, without quotes, where it is nothing but letters, digits and hyphens.
pub(crate) fn key(id: &str) -> String {
    let plain = id.contains('-')
        && id.starts_with(|first: char| first.is_ascii_alphanumeric())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if plain { id.to_owned() } else { string(id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_read_back_as_it_was() {
        for text in [
            "",
            "it's \"$HOME\" \\ #: {x}",
            "null",
            "007",
            "line\nend\ttab\u{1b}[2J\u{7f}\u{85}\u{2028}",
            "Grüße 人事 🙂",
        ] {
            let read: Vec<String> =
                serde_saphyr::from_str(&format!("- {}\n", string(text))).unwrap();
            assert_eq!(read, [text]);
        }
        assert_eq!(
            key("00000000-0000-0000-0000-00000000000a"),
            "00000000-0000-0000-0000-00000000000a"
        );
        assert_eq!(key("a: b"), "\"a: b\"");
        assert_eq!(key("17"), "\"17\"");
    }
}
