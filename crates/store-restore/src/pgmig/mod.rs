//! A copy of pgmig, IBM's restore tool, on this machine: plain, `compress`ed (`.Z`) or gzipped.
//!
//! It is unpacked as a whole and measured: a download that broke off would be found out in the pod otherwise.

mod elf;
mod lzw;

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use flate2::read::MultiGzDecoder;
use serde::Serialize;
use transfer_proof::Hasher;
use wa_common::report::bytes;

use elf::{Elf, HEAD_BYTES};
use lzw::Uncompress;

/// How much of a file tells how it is packed, or what it is instead.
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
    fn from_beginning(beginning: &[u8]) -> Self {
        match beginning {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x1f, 0x9d, ..] => Self::Compress,
            _ => Self::Plain,
        }
    }

    /// What is packed in `file`.
    fn unpacked(self, file: File) -> Box<dyn Read> {
        let file = BufReader::new(file);
        match self {
            Self::Plain => Box::new(file),
            Self::Gzip => Box::new(MultiGzDecoder::new(file)),
            Self::Compress => Box::new(Uncompress::new(file)),
        }
    }
}

impl Pgmig {
    /// Reads the file; an error where it is no program for Linux, or not all of it.
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
        let packing = Packing::from_beginning(&beginning);
        let mut hasher = Hasher::default();
        hasher.update(&beginning);
        hash(&mut file, &mut hasher).with_context(cannot)?;
        file.rewind().with_context(cannot)?;
        let architecture = look_into(packing.unpacked(file), path, &beginning)?;
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

/// Reads the program to its end; returns the architecture that it is for.
fn look_into(
    mut program: Box<dyn Read>,
    path: &Path,
    beginning: &[u8],
) -> anyhow::Result<&'static str> {
    let damaged = || format!("{} is damaged: download it anew", path.display());
    let mut head = Vec::new();
    (&mut program)
        .take(HEAD_BYTES)
        .read_to_end(&mut head)
        .with_context(damaged)?;
    let Some(elf) = Elf::from_head(&head) else {
        bail!(
            "{} is no program for Linux{}",
            path.display(),
            what_it_may_be(beginning)
        );
    };
    let rest = io::copy(&mut program, &mut io::sink()).with_context(damaged)?;
    let (length, least) = (head.len() as u64 + rest, elf.least_bytes());
    ensure!(
        length >= least,
        "{} is cut off: the program in it has {} of {}; download it anew",
        path.display(),
        bytes(length),
        bytes(least)
    );
    Ok(elf.architecture())
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    /// A program of one segment, which is all of it.
    fn elf(machine: u16) -> Vec<u8> {
        let mut program = b"\x7fELF\x02\x01\x01".to_vec();
        program.resize(64 + 56, 0);
        let mut put =
            |at: usize, bytes: &[u8]| program[at..at + bytes.len()].copy_from_slice(bytes);
        put(18, &machine.to_le_bytes());
        put(32, &64_u64.to_le_bytes());
        put(54, &[56, 0, 1, 0]);
        put(64 + 32, &LENGTH.to_le_bytes());
        program.extend(std::iter::repeat_n(b"program ".as_slice(), 20_000).flatten());
        program
    }

    /// Of [`elf`].
    const LENGTH: u64 = 64 + 56 + 8 * 20_000;

    fn gzipped(content: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(content).unwrap();
        gzip.finish().unwrap()
    }

    /// [`elf`] for s390x, packed by `compress` of ncompress.
    const COMPRESSED: &[u8] = include_bytes!("../../tests/fixtures/s390x.Z");

    fn read(content: &[u8]) -> anyhow::Result<Pgmig> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        Pgmig::read(file.path())
    }

    #[test]
    fn a_program_is_known_in_every_packing() {
        for (content, packing, architecture) in [
            (elf(62), Packing::Plain, "x86_64"),
            (gzipped(&elf(183)), Packing::Gzip, "aarch64"),
            (COMPRESSED.to_vec(), Packing::Compress, "s390x"),
        ] {
            let found = read(&content).unwrap();
            assert_eq!((found.packing, found.architecture), (packing, architecture));
            assert_eq!(found.bytes, content.len() as u64);
        }
    }

    #[test]
    fn a_download_that_broke_off_or_was_damaged_is_refused_in_every_packing() {
        let error = |content: &[u8]| format!("{:#}", read(content).unwrap_err());
        for whole in [elf(62), gzipped(&elf(62)), COMPRESSED.to_vec()] {
            for end in [whole.len() / 2, whole.len() - 1] {
                let told = error(&whole[..end]);
                let both = told.contains("download it anew")
                    && (told.contains("is cut off") || told.contains("is damaged"));
                assert!(both, "{end} of {}: {told}", whole.len());
            }
        }
        let mut damaged = gzipped(&elf(62));
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0x10;
        assert!(error(&damaged).contains("is damaged"));
        // An end that says nothing of what is before it.
        let mut damaged = COMPRESSED.to_vec();
        damaged[2] = 0x88;
        assert!(error(&damaged).contains("is damaged"));
    }

    #[test]
    fn what_is_no_program_is_refused_with_what_it_is() {
        for (content, told) in [
            (&b"<!DOCTYPE html>"[..], "web page"),
            (b"PGDMP\x01", "a dump"),
            (b"#!/bin/sh", "give IBM's pgmig"),
            (b"", "give IBM's pgmig"),
            (&[0x1f, 0x9d], "is damaged"),
            (&[0x1f, 0x8b, 8, 0], "is damaged"),
        ] {
            let error = format!("{:#}", read(content).unwrap_err());
            assert!(error.contains(told), "{error}");
        }
    }
}
