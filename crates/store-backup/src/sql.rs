//! Names and texts as they stand in SQL.

/// A name, whatever is in it.
pub fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text, whatever is in it. PostgreSQL reads backslashes as they are, since 9.1 and unless somebody has changed that.
pub fn text(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_or_a_text_ends_it() {
        assert_eq!(
            name("conversation_pprd_wo-wa"),
            "\"conversation_pprd_wo-wa\""
        );
        assert_eq!(name("a\"; drop"), "\"a\"\"; drop\"");
        assert_eq!(text("o'dd"), "'o''dd'");
        assert_eq!(text(r"a\'b"), r"E'a\\''b'");
    }
}
