//! What a file is that is no archive, and how to come to one from there.

use std::fmt;

/// How much of a file is looked at. A tar file has its magic at byte 257; a text is told by its first lines.
pub(crate) const SNIFFED_BYTES: usize = 16 * 1024;
/// How much of a line is quoted.
const QUOTED_CHARS: usize = 160;
/// Base64 without a line break shorter than this may be a word.
const BASE64_BYTES: usize = 64;

/// A file that is no archive: what it looks like, and how it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoArchive {
    /// What it is.
    pub lookalike: Lookalike,
    /// The first line that can be read, of a file of text; at most 160 characters of it.
    pub first_line: Option<String>,
}

impl NoArchive {
    pub(crate) fn from_start(start: &[u8]) -> Self {
        let lookalike = Lookalike::from_start(start);
        // A line of encoded data says nothing to a reader.
        let encoded = matches!(
            lookalike,
            Lookalike::Base64 | Lookalike::Hex | Lookalike::OpenSsl
        );
        Self {
            lookalike,
            first_line: first_line(start).filter(|_| !encoded),
        }
    }
}

impl fmt::Display for NoArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lookalike.fmt(f)?;
        match &self.first_line {
            Some(line) => write!(f, "; it begins with {line:?}"),
            None => Ok(()),
        }
    }
}

/// What a file that is no archive looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Lookalike {
    /// Zero bytes.
    #[error("the file is empty; the dump failed before it wrote anything")]
    Empty,
    /// NUL bytes and nothing else, as far as was looked.
    #[error(
        "it begins with NUL bytes only: a disk or a copy lost its content; make or copy the dump again"
    )]
    Nuls,
    /// `pg_dump -Fp`.
    #[error(
        "it is a plain SQL dump, which psql loads; a custom-format dump is made with `pg_dump -Fc`"
    )]
    PlainSql,
    /// `pg_dumpall`.
    #[error(
        "it is the SQL of pg_dumpall, all databases of a server, which psql loads; a custom-format dump is made with `pg_dump -Fc`"
    )]
    ClusterSql,
    /// `pg_dump -Ft`.
    #[error(
        "it is a tar-format dump (`pg_dump -Ft`), which pg_restore reads and this program does not; a custom-format dump is made with `pg_dump -Fc`"
    )]
    TarDump,
    /// Any other tar file.
    #[error("it is a tar file; if the dump is in it, take it out with `tar -xf`")]
    Tar,
    /// The `toc.dat` of `pg_dump -Fd` or `-Ft`.
    #[error(
        "it is the toc.dat of a directory-format or tar-format dump, which has its data in other files; give pg_restore the whole directory, or make a custom-format dump with `pg_dump -Fc`"
    )]
    TocOnly,
    /// A file compressed with this program.
    #[error("it is compressed with {0}; decompress it with `{undo}` first", undo = .0.undo())]
    Compressed(Compressor),
    /// A zip file.
    #[error("it is a zip file; take the dump out of it with `unzip` first")]
    Zip,
    /// A 7z file.
    #[error("it is a 7z file; take the dump out of it with `7z x` first")]
    SevenZip,
    /// A file encrypted with age.
    #[error("it is encrypted with age; decrypt it with `age -d` first")]
    Age,
    /// A file encrypted with OpenPGP.
    #[error("it is encrypted with OpenPGP; decrypt it with `gpg -d` first")]
    Gpg,
    /// A file encrypted with `openssl enc`.
    #[error("it is encrypted with `openssl enc`; decrypt it with `openssl enc -d` first")]
    OpenSsl,
    /// Base64 text.
    #[error("it is base64 text; decode it with `base64 -d` first")]
    Base64,
    /// The output of xxd or its like.
    #[error("it is a hexadecimal dump of a file; turn it back with `xxd -r` first")]
    Hex,
    /// Passed through a shell that rewrites output as text.
    #[error(
        "it was rewritten as UTF-16 text, as PowerShell's `>` does, and cannot be repaired; write the dump with `pg_dump -f`, or from another shell"
    )]
    Utf16,
    /// A web page.
    #[error("it is a web page, perhaps of a proxy or a login; fetch the dump again")]
    Html,
    /// A JSON document.
    #[error(
        "it is a JSON document, perhaps the answer of a server that refused; fetch the dump again"
    )]
    Json,
    /// What a program prints that was called wrongly.
    #[error(
        "it is what a program prints that was called wrongly; correct its arguments and make the dump again"
    )]
    Usage,
    /// The error message of a program.
    #[error(
        "it is the error message of a program in place of a dump; mend what it says and make the dump again"
    )]
    ErrorMessage,
    /// Some other text.
    #[error("it is text; make the dump with `pg_dump -Fc`")]
    Text,
    /// None of the above.
    #[error("it does not begin with PGDMP")]
    Unknown,
}

/// A program that compresses files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the name of the program")]
#[non_exhaustive]
pub enum Compressor {
    Gzip,
    Zstd,
    Lz4,
    Xz,
    Lzma,
    Lzop,
    Bzip2,
    Compress,
}

impl Compressor {
    const fn undo(self) -> &'static str {
        match self {
            Self::Gzip => "gunzip",
            Self::Zstd => "unzstd",
            Self::Lz4 => "unlz4",
            Self::Xz => "unxz",
            Self::Lzma => "unlzma",
            Self::Lzop => "lzop -d",
            Self::Bzip2 => "bunzip2",
            Self::Compress => "uncompress",
        }
    }
}

impl fmt::Display for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Lzop => "lzop",
            Self::Bzip2 => "bzip2",
            Self::Compress => "compress (.Z)",
        })
    }
}

/// How files of a kind begin.
const MAGICS: [(&[u8], Lookalike); 23] = [
    (b"\x1f\x8b", Lookalike::Compressed(Compressor::Gzip)),
    (b"\x1f\x9d", Lookalike::Compressed(Compressor::Compress)),
    (b"\x28\xb5\x2f\xfd", Lookalike::Compressed(Compressor::Zstd)),
    (b"\x04\x22\x4d\x18", Lookalike::Compressed(Compressor::Lz4)),
    (b"\x02\x21\x4c\x18", Lookalike::Compressed(Compressor::Lz4)),
    (b"\xfd7zXZ\0", Lookalike::Compressed(Compressor::Xz)),
    (b"\x5d\0\0", Lookalike::Compressed(Compressor::Lzma)),
    (b"\x89LZO\0", Lookalike::Compressed(Compressor::Lzop)),
    (b"BZh", Lookalike::Compressed(Compressor::Bzip2)),
    (b"PK\x03\x04", Lookalike::Zip),
    (b"PK\x05\x06", Lookalike::Zip),
    (b"7z\xbc\xaf\x27\x1c", Lookalike::SevenZip),
    (b"age-encryption.org/", Lookalike::Age),
    (b"-----BEGIN AGE", Lookalike::Age),
    (b"-----BEGIN PGP", Lookalike::Gpg),
    (b"Salted__", Lookalike::OpenSsl),
    // The first bytes of `openssl enc -a`, and of an archive in base64 and in hexadecimal.
    (b"U2FsdGVkX1", Lookalike::OpenSsl),
    (b"UEdETVA", Lookalike::Base64),
    (b"5047444d50", Lookalike::Hex),
    (b"00000000: 5047 444d 50", Lookalike::Hex),
    (b"\xff\xfe", Lookalike::Utf16),
    (b"\xfe\xff", Lookalike::Utf16),
    (b"P\0G\0D\0M\0P\0", Lookalike::Utf16),
];

impl Lookalike {
    pub(crate) fn from_start(start: &[u8]) -> Self {
        if start.is_empty() {
            return Self::Empty;
        }
        if start.iter().all(|&byte| byte == 0) {
            return Self::Nuls;
        }
        if start.get(257..262) == Some(b"ustar") {
            let of_pg_dump = start.starts_with(b"toc.dat\0");
            return if of_pg_dump { Self::TarDump } else { Self::Tar };
        }
        let magic = MAGICS.iter().find(|(magic, _)| start.starts_with(magic));
        if let Some(&(_, lookalike)) = magic {
            return lookalike;
        }
        if is_open_pgp(start) {
            return Self::Gpg;
        }
        readable(start).map_or(Self::Unknown, Self::of_text)
    }

    fn of_text(text: &str) -> Self {
        let trimmed = text.trim_start().to_ascii_lowercase();
        let begins = |starts: &[&str]| starts.iter().any(|start| trimmed.starts_with(start));
        let has_line = |starts: &[&str]| {
            trimmed.lines().any(|line| {
                starts
                    .iter()
                    .any(|start| line.trim_start().starts_with(start))
            })
        };
        if trimmed.contains("-- postgresql database cluster dump") {
            Self::ClusterSql
        } else if trimmed.contains("-- postgresql database dump") {
            Self::PlainSql
        } else if begins(&["<!doctype", "<html", "<?xml"]) {
            Self::Html
        } else if begins(&["{", "["]) {
            Self::Json
        } else if has_line(&ERRORS) {
            Self::ErrorMessage
        } else if has_line(&["usage:", "usage of "]) {
            Self::Usage
        } else if is_base64(text) {
            Self::Base64
        } else {
            Self::Text
        }
    }
}

/// How programs begin a line that says what went wrong, in lower case.
const ERRORS: [&str; 14] = [
    "error:",
    "error from server",
    "fatal:",
    "pg_dump: ",
    "psql: ",
    "sh: ",
    "bash: ",
    "/bin/sh: ",
    "/bin/bash: ",
    "command terminated",
    "unable to connect",
    "unable to use a tty",
    "the connection to the server",
    "oci runtime",
];

/// The text at the start of a file of text; none where there are control characters that no text has.
fn readable(start: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // The last character may be cut.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let strange = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{1b}' | '\u{c}');
    (!text.contains(strange)).then_some(text)
}

/// The first line with a word on it, if it is text.
pub(crate) fn first_line(start: &[u8]) -> Option<String> {
    let line = start.split(|&byte| byte == b'\n').find(|line| {
        line.iter()
            .any(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii())
    })?;
    let line = readable(line)?.trim();
    Some(line.chars().take(QUOTED_CHARS).collect())
}

fn is_base64(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=-_".contains(&byte);
    let first = text.lines().next().unwrap_or_default();
    first.len() >= BASE64_BYTES
        && text
            .bytes()
            .all(|byte| is_digit(byte) || matches!(byte, b'\n' | b'\r'))
}

/// Whether it begins with a session key packet (tag 1 or 3) of a version that there is.
fn is_open_pgp(start: &[u8]) -> bool {
    let version_at = match start.first() {
        Some(0x84 | 0x8c | 0xc1 | 0xc3) => match (start[0], start.get(1)) {
            // New packets write lengths from 192 on in two bytes.
            (0xc1 | 0xc3, Some(192..=223)) => 3,
            _ => 2,
        },
        Some(0x85 | 0x8d) => 3,
        _ => return false,
    };
    matches!(start.get(version_at), Some(3..=6))
}
