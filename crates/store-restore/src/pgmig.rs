//! A copy of pgmig, IBM's restore tool, on this machine: plain, `compress`ed (`.Z`) or gzipped.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use flate2::read::MultiGzDecoder;
use serde::Serialize;
use transfer_proof::Hasher;

/// An ELF header up to the machine that it is for.
const HEADER_BYTES: usize = 20;
/// How much of a file is read for that, however it is packed.
const SNIFFED_BYTES: u64 = 4096;

/// The file, and what it is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pgmig {
    /// Where it is.
    pub path: PathBuf,
    /// How it is packed.
    pub packing: Packing,
    /// The architecture it is for, as `uname -m` names it.
    pub architecture: &'static str,
    /// Its size in bytes, as it is here.
    pub bytes: u64,
    /// Its SHA-256, as it is here.
    pub sha256: String,
}

/// How it is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Packing {
    /// Not at all.
    Plain,
    /// With gzip.
    Gzip,
    /// With `compress`, as IBM's `pgmig.Z`.
    Compress,
}

impl Packing {
    fn of(beginning: &[u8]) -> Self {
        match beginning {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x1f, 0x9d, ..] => Self::Compress,
            _ => Self::Plain,
        }
    }

    /// The beginning of what is packed.
    fn unpacked_beginning(self, packed: &[u8]) -> Vec<u8> {
        let mut beginning = Vec::new();
        match self {
            Self::Plain => beginning.extend_from_slice(packed),
            Self::Gzip => {
                // Cut off in the middle, which is an error only behind what is wanted.
                let mut decoder = MultiGzDecoder::new(packed).take(HEADER_BYTES as u64);
                let _ = decoder.read_to_end(&mut beginning);
            }
            Self::Compress => beginning = uncompress(packed, HEADER_BYTES),
        }
        beginning
    }
}

impl Pgmig {
    /// Looks at the file; an error where it is no program for Linux.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let cannot = || format!("cannot read {}", path.display());
        let mut file = File::open(path).with_context(cannot)?;
        ensure!(
            file.metadata().with_context(cannot)?.is_file(),
            "{} is no regular file: give pgmig itself",
            path.display()
        );
        let mut beginning = Vec::new();
        (&mut file)
            .take(SNIFFED_BYTES)
            .read_to_end(&mut beginning)
            .with_context(cannot)?;
        let packing = Packing::of(&beginning);
        let header = packing.unpacked_beginning(&beginning);
        let Some(architecture) = architecture(&header) else {
            bail!(
                "{} is no program for Linux{}",
                path.display(),
                what_it_may_be(&beginning)
            );
        };
        let mut hasher = Hasher::default();
        hasher.update(&beginning);
        hash(&mut file, &mut hasher).with_context(cannot)?;
        let measured = hasher.measured();
        Ok(Self {
            path: path.to_owned(),
            packing,
            architecture,
            bytes: measured.bytes(),
            sha256: measured.sha256().to_string(),
        })
    }
}

/// Where the pgmig of a release is published.
pub fn download_url(release: &str) -> String {
    // These two are published in no other form.
    let file = if matches!(release, "5.3.3" | "5.4.0") {
        "pgmig.Z"
    } else {
        "pgmig"
    };
    format!(
        "https://github.com/watson-developer-cloud/community/raw/master/watson-assistant/data/{release}/{file}"
    )
}

fn hash(file: &mut File, hasher: &mut Hasher) -> io::Result<()> {
    let mut buffer = vec![0; 128 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(()),
            read => hasher.update(&buffer[..read]),
        }
    }
}

/// The machine of an ELF header, as `uname -m` names it.
fn architecture(header: &[u8]) -> Option<&'static str> {
    if header.len() < HEADER_BYTES || !header.starts_with(b"\x7fELF") {
        return None;
    }
    let number = [header[18], header[19]];
    let little = header[5] == 1;
    let machine = if little {
        u16::from_le_bytes(number)
    } else {
        u16::from_be_bytes(number)
    };
    Some(match machine {
        3 => "i686",
        21 if little => "ppc64le",
        21 => "ppc64",
        22 => "s390x",
        62 => "x86_64",
        183 => "aarch64",
        _ => "an unknown architecture",
    })
}

fn what_it_may_be(beginning: &[u8]) -> &'static str {
    let text = String::from_utf8_lossy(beginning);
    let text = text.trim_start();
    if text.starts_with('<') {
        ": it is a web page, as a browser saves; download the raw file"
    } else if beginning.starts_with(b"PGDMP") {
        ": it is a dump"
    } else {
        ": give IBM's pgmig, as it is, gzipped, or its pgmig.Z"
    }
}

/// The first bytes of what `compress` has packed: LZW with codes of 9 bits and more.
fn uncompress(packed: &[u8], wanted: usize) -> Vec<u8> {
    const FIRST_BITS: usize = 9;
    const CLEAR: usize = 256;
    let Some((&flags, codes)) = packed.get(2).zip(packed.get(3..)) else {
        return Vec::new();
    };
    // Longer codes begin behind the 256 first ones, which are more than are read here.
    let most_codes = (1 << FIRST_BITS) - CLEAR;
    let clears = flags & 0x80 != 0;
    let mut words: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    if clears {
        words.push(Vec::new());
    }
    let mut out: Vec<u8> = Vec::new();
    let mut last: Option<Vec<u8>> = None;
    for at in 0..most_codes {
        let bit = at * FIRST_BITS;
        let Some(&[low, high]) = codes.get(bit / 8..).and_then(<[u8]>::first_chunk) else {
            break;
        };
        let code = usize::from(u16::from_le_bytes([low, high]) >> (bit % 8)) & 0x1ff;
        if out.len() >= wanted || clears && code == CLEAR {
            break;
        }
        let word = match (words.get(code), &last) {
            (Some(word), _) => word.clone(),
            (None, Some(last)) if code == words.len() => [&last[..], &last[..1]].concat(),
            _ => break,
        };
        out.extend_from_slice(&word);
        if let Some(last) = last {
            words.push([&last[..], &word[..1]].concat());
        }
        last = Some(word);
    }
    out.truncate(wanted);
    out
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn elf(machine: u16) -> Vec<u8> {
        let mut program = b"\x7fELF\x02\x01\x01".to_vec();
        program.resize(18, 0);
        program.extend(machine.to_le_bytes());
        program.extend(std::iter::repeat_n(b"program ".as_slice(), 4000).flatten());
        program
    }

    fn read(content: &[u8]) -> anyhow::Result<Pgmig> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        Pgmig::read(file.path())
    }

    #[test]
    fn a_program_is_known_in_every_packing() {
        let plain = read(&elf(62)).unwrap();
        assert_eq!(
            (plain.packing, plain.architecture),
            (Packing::Plain, "x86_64")
        );
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&elf(183)).unwrap();
        let gzip = read(&gzip.finish().unwrap()).unwrap();
        assert_eq!(
            (gzip.packing, gzip.architecture),
            (Packing::Gzip, "aarch64")
        );
        // 0x7f 'E' 'L' 'F' 2 1 1 0, then a word of two and one of three zeros and so on, in codes of 9 bits.
        let codes = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 264, 265, 266, 0, 21, 0];
        let compressed = read(&[&[0x1f, 0x9d, 0x90][..], &nine_bits(&codes)].concat()).unwrap();
        assert_eq!(
            (compressed.packing, compressed.architecture),
            (Packing::Compress, "ppc64le")
        );
    }

    fn nine_bits(codes: &[u32]) -> Vec<u8> {
        let mut bits = Vec::new();
        for code in codes {
            bits.extend((0..9).map(|bit| code >> bit & 1 == 1));
        }
        let byte = |bits: &[bool]| {
            bits.iter()
                .enumerate()
                .fold(0, |byte, (at, bit)| byte | u8::from(*bit) << at)
        };
        let mut bytes: Vec<u8> = bits.chunks(8).map(byte).collect();
        bytes.push(0);
        bytes
    }

    #[test]
    fn what_compress_has_packed_is_unpacked_as_its_own_program_does() {
        let Ok(mut compress) = Command::new("compress")
            .arg("-c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
        else {
            return;
        };
        compress.stdin.take().unwrap().write_all(&elf(22)).unwrap();
        let packed = compress.wait_with_output().unwrap().stdout;
        assert_eq!(read(&packed).unwrap().architecture, "s390x");
    }

    #[test]
    fn what_is_no_program_is_refused_with_what_it_is() {
        for (content, told) in [
            (&b"<!DOCTYPE html>"[..], "web page"),
            (b"PGDMP\x01", "a dump"),
            (b"#!/bin/sh", "give IBM's pgmig"),
            (b"", "give IBM's pgmig"),
            (&[0x1f, 0x9d], "give IBM's pgmig"),
            (&[0x1f, 0x8b, 8, 0], "give IBM's pgmig"),
        ] {
            let error = format!("{:#}", read(content).unwrap_err());
            assert!(error.contains(told), "{error}");
        }
    }
}
