//! The text of a kubeconfig, and the YAML in it, as Go's library reads it.

use serde_json::Value;
use serde_saphyr::{DuplicateKeyPolicy, Options};

/// Why a file holds no YAML. The parser's own words are not kept: they quote lines, with the tokens in them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoYaml {
    pub(super) line: Option<u64>,
    pub(super) column: Option<u64>,
    pub(super) what: &'static str,
}

impl NoYaml {
    fn somewhere(what: &'static str) -> Self {
        Self {
            line: None,
            column: None,
            what,
        }
    }
}

/// The first document of a file, `null` where there is none. Of a key that is there twice, the last one counts.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, NoYaml> {
    let text = decode(bytes)?;
    let mut options = Options::default();
    options.duplicate_keys = DuplicateKeyPolicy::LastWins;
    options.with_snippet = false;
    let mut reader = text.as_bytes();
    let mut documents = serde_saphyr::read_with_options::<_, Value>(&mut reader, options);
    match documents.next() {
        None => Ok(Value::Null),
        Some(Ok(first)) => Ok(first),
        Some(Err(error)) => {
            let place = error.location();
            Err(NoYaml {
                line: place.map(|place| place.line()),
                column: place.map(|place| place.column()),
                what: kind(&text, place.map(|place| place.line())),
            })
        }
    }
}

/// What most often stands at the place of the error, or, where the parser noticed early, below it.
fn kind(text: &str, line: Option<u64>) -> &'static str {
    let at = line.and_then(|line| usize::try_from(line).ok()?.checked_sub(1));
    let mut lines = text.lines().skip(at.unwrap_or_default()).take(2);
    let starts = |line: &str, what: fn(char) -> bool| {
        line.chars()
            .take_while(|letter| letter.is_whitespace())
            .any(what)
    };
    if lines
        .clone()
        .any(|line| starts(line, |letter| letter == '\t'))
    {
        "a tab stands where only spaces may"
    } else if lines.any(|line| line.starts_with("<<<<<<<") || line.starts_with(">>>>>>>")) {
        "a merge conflict was left in it"
    } else {
        "an indentation, a quote or a bracket is wrong, there or before it"
    }
}

/// UTF-8 with or without a byte order mark, or UTF-16 with one, as editors on Windows write it.
fn decode(bytes: &[u8]) -> Result<String, NoYaml> {
    let wide = |unit: fn([u8; 2]) -> u16| {
        let units = bytes[2..].chunks_exact(2);
        if !units.remainder().is_empty() {
            return None;
        }
        let units: Vec<u16> = units.map(|pair| unit([pair[0], pair[1]])).collect();
        String::from_utf16(&units).ok()
    };
    let text = match bytes {
        [0xFF, 0xFE, ..] => wide(u16::from_le_bytes),
        [0xFE, 0xFF, ..] => wide(u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, rest @ ..] => std::str::from_utf8(rest).ok().map(str::to_owned),
        _ => std::str::from_utf8(bytes).ok().map(str::to_owned),
    };
    let text = text.ok_or(NoYaml::somewhere("it is not text in UTF-8"))?;
    let control =
        |letter: char| letter.is_control() && !matches!(letter, '\n' | '\r' | '\t' | '\u{85}');
    if text.contains(control) {
        return Err(NoYaml::somewhere("there are control characters in it"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_last_of_doubled_keys_counts() {
        assert_eq!(
            parse(b"a: 1\nb: {c: 2, c: 3}\na: 4\n"),
            Ok(json!({"a": 4, "b": {"c": 3}}))
        );
    }

    #[test]
    fn only_the_first_document_counts_and_an_empty_file_has_none() {
        assert_eq!(parse(b"---\na: 1\n---\na: [\n"), Ok(json!({"a": 1})));
        for nothing in ["", "# nothing\n", "---\n"] {
            assert_eq!(parse(nothing.as_bytes()), Ok(Value::Null), "{nothing:?}");
        }
    }

    #[test]
    fn anchors_and_merge_keys_are_resolved() {
        let text = b"x: &x {a: 1}\ny: *x\nz: {<<: *x, b: 2}\n";
        let one = json!({"a": 1});
        assert_eq!(
            parse(text),
            Ok(json!({"x": one, "y": one, "z": {"a": 1, "b": 2}}))
        );
    }

    #[test]
    fn the_encodings_of_windows_are_read() {
        let text = "a: b\r\nc: d\r\n";
        let expected = Ok(json!({"a": "b", "c": "d"}));
        assert_eq!(parse(text.as_bytes()), expected);
        assert_eq!(
            parse(&[b"\xEF\xBB\xBF", text.as_bytes()].concat()),
            expected
        );
        let units = || std::iter::once(0xFEFF).chain(text.encode_utf16());
        let little: Vec<u8> = units().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = units().flat_map(u16::to_be_bytes).collect();
        assert_eq!(parse(&little), expected);
        assert_eq!(parse(&big), expected);
        assert!(parse(&little[..little.len() - 1]).is_err());
    }

    #[test]
    fn the_place_of_an_error_is_reported_and_nothing_of_the_line() {
        let error = parse(b"users:\n- name: a\n\tuser: {token: hunter2}\n").unwrap_err();
        assert_eq!(
            (error.line, error.what),
            (Some(2), "a tab stands where only spaces may")
        );
        assert!(!format!("{error:?}").contains("hunter2"));
        for binary in [&b"a: \xFF\n"[..], b"a: b\0"] {
            assert_eq!(parse(binary).unwrap_err().line, None);
        }
    }
}
