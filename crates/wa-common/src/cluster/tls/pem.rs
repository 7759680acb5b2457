//! Blocks of PEM, found as Go finds them: what stands between them, and what is broken, is passed over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// One block.
pub(super) struct Block {
    /// Such as `CERTIFICATE`.
    pub(super) label: String,
    pub(super) der: Zeroizing<Vec<u8>>,
    /// Whether it starts with headers, as encrypted keys of OpenSSL's own kind do.
    pub(super) headers: bool,
}

/// The blocks in a text that can be read.
pub(super) fn blocks(text: &[u8]) -> Vec<Block> {
    let text = String::from_utf8_lossy(text);
    let mut blocks = Vec::new();
    let mut open: Option<(String, Zeroizing<String>, bool)> = None;
    for line in text.lines() {
        let line = line.trim();
        if let Some(label) = marked(line, "BEGIN") {
            open = Some((label.to_owned(), Zeroizing::default(), false));
        } else if let Some(end) = marked(line, "END") {
            if let Some((label, base64, headers)) = open.take()
                && label == end
                && let Ok(der) = STANDARD.decode(base64.as_bytes())
            {
                let der = Zeroizing::new(der);
                blocks.push(Block {
                    label,
                    der,
                    headers,
                });
            }
        } else if let Some((_, base64, headers)) = &mut open {
            if line.contains(':') {
                *headers = true;
            } else {
                base64.extend(line.chars().filter(|letter| !letter.is_whitespace()));
            }
        }
    }
    blocks
}

fn marked<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.strip_prefix("-----")?
        .strip_prefix(word)?
        .strip_prefix(' ')?
        .strip_suffix("-----")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<(String, usize)> {
        let blocks = blocks(text.as_bytes()).into_iter();
        blocks.map(|block| (block.label, block.der.len())).collect()
    }

    #[test]
    fn what_stands_between_blocks_and_what_is_broken_is_passed_over() {
        let text = "subject=/CN=a\n-----BEGIN A-----\r\nAAAA\r\nAA==\r\n-----END A-----\nnoise\n-----BEGIN B-----\n%%\n-----END B-----\n-----BEGIN C-----\n-----BEGIN D D-----\nAAAA\n-----END D D-----\n-----BEGIN E-----\nAAAA\n";
        assert_eq!(labels(text), [("A".to_owned(), 4), ("D D".to_owned(), 3)]);
        assert!(blocks(b"").is_empty() && blocks(b"\xFF\xFE").is_empty());
    }

    #[test]
    fn headers_are_noticed() {
        let text = "-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END A-----\n";
        assert!(blocks(text.as_bytes())[0].headers);
    }
}
