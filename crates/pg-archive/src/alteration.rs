//! What happened to a damaged archive as a whole, told by its bytes.

use memchr::memchr_iter;

/// Fewer than this many of something may be chance.
const FEW: usize = 4;
/// A sector that was never written is this long.
const SECTOR_BYTES: usize = 512;

/// What was done to a file that was an archive once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Alteration {
    /// A terminal, or a copy in text mode, put a carriage return before each line feed.
    #[error(
        "a carriage return was put before every line feed, as a terminal (`-t`) or a transfer in text mode does; \
         this cannot be repaired reliably: make the dump again without a terminal, or copy it again in binary mode \
         (where there is no other, `sed 's/\\r$//'` may bring it back: verify what it writes)"
    )]
    CarriageReturns,
    /// Decoded as UTF-8, with `U+FFFD` (EF BF BD) for all that is none.
    #[error(
        "it was decoded as UTF-8 text, which put EF BF BD in place of every byte that is none; \
         this cannot be repaired: make or copy the dump again, as bytes"
    )]
    DecodedAsUtf8,
    /// Decoded as Latin-1 and written as UTF-8: each byte from 80 on became two.
    #[error(
        "it was read as Latin-1 text and written as UTF-8; `iconv -f UTF-8 -t ISO-8859-1` may undo that: \
         verify what it writes"
    )]
    Latin1ToUtf8,
    /// All NUL bytes were taken out.
    #[error(
        "all NUL bytes were taken out of it, as a shell does that keeps it in a variable; \
         this cannot be repaired: make the dump again, straight into a file"
    )]
    NulsRemoved,
    /// From some byte on, the file has only NULs.
    #[error(
        "after that place it holds only NUL bytes: a disk or a copy lost the content, which cannot be repaired; \
         make or copy the dump again"
    )]
    Blank,
}

impl Alteration {
    /// Looks for the traces of a change to the whole file: in its start, and in the bytes after the place where reading
    /// broke off.
    pub(crate) fn find(start: &[u8], after: &[u8]) -> Option<Self> {
        let seen = [start, after].concat();
        if has_only_crlf(&seen) {
            return Some(Self::CarriageReturns);
        }
        if seen.len() >= SECTOR_BYTES && !seen.contains(&0) {
            return Some(match as_text(&seen) {
                Some(text) => text,
                None => Self::NulsRemoved,
            });
        }
        if let Some(text) = as_text(&seen) {
            return Some(text);
        }
        (after.len() >= SECTOR_BYTES && after.iter().all(|&byte| byte == 0)).then_some(Self::Blank)
    }
}

fn has_only_crlf(bytes: &[u8]) -> bool {
    let mut line_feeds = 0;
    for position in memchr_iter(b'\n', bytes) {
        if position == 0 || bytes[position - 1] != b'\r' {
            return false;
        }
        line_feeds += 1;
    }
    line_feeds >= FEW
}

/// Whether binary data went through a decoder of text. What is left of it is valid UTF-8 that no text has: full of
/// `U+FFFD`, or of control characters from 80 to 9F.
fn as_text(bytes: &[u8]) -> Option<Alteration> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // The last character may be cut.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let (mut replaced, mut controls, mut others) = (0, 0, 0);
    for c in text.chars() {
        match c {
            '\u{fffd}' => replaced += 1,
            '\u{80}'..='\u{9f}' => controls += 1,
            '\u{100}'.. => others += 1,
            _ => {}
        }
    }
    if replaced >= FEW && replaced * 20 > text.len() / '\u{fffd}'.len_utf8() {
        Some(Alteration::DecodedAsUtf8)
    } else if controls >= FEW && others == 0 {
        Some(Alteration::Latin1ToUtf8)
    } else {
        None
    }
}
