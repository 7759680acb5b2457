//! What a binary asks of the glibc it starts with.

use anyhow::Context as _;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader as _, SectionHeader as _};
use object::{Endianness, elf};

use super::target::Glibc;

/// The newest version of glibc that the binary names a symbol of; `None` where it asks for none.
pub(crate) fn newest_glibc(binary: &[u8]) -> anyhow::Result<Option<Glibc>> {
    let header = FileHeader64::<Endianness>::parse(binary).context("no ELF file of 64 bits")?;
    let endian = header.endian()?;
    let sections = header.sections(endian, binary)?;
    let mut newest = None;
    for (_, section) in sections.enumerate() {
        if section.sh_type(endian) != elf::SHT_GNU_VERNEED {
            continue;
        }
        let Some((mut needed, link)) = section.gnu_verneed(endian, binary)? else {
            continue;
        };
        let strings = sections.strings(endian, binary, link)?;
        while let Some((_, mut versions)) = needed.next()? {
            while let Some(version) = versions.next()? {
                let name = version.name(endian, strings)?;
                newest = newest.max(glibc(&String::from_utf8_lossy(name)));
            }
        }
    }
    Ok(newest)
}

/// "GLIBC_2.17" and "GLIBC_2.2.5".
fn glibc(name: &str) -> Option<Glibc> {
    let mut numbers = name.strip_prefix("GLIBC_")?.split('.');
    Some(Glibc(
        numbers.next()?.parse().ok()?,
        numbers.next()?.parse().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_newest_glibc_is_the_one_that_objdump_sees() -> anyhow::Result<()> {
        let this = std::env::current_exe()?;
        let Ok(output) = Command::new("objdump").arg("-T").arg(&this).output() else {
            println!("skipped: objdump is not installed");
            return Ok(());
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let words = text.split(|c: char| c.is_whitespace() || "()".contains(c));
        let newest = words.filter_map(glibc).max();
        assert!(newest.is_some(), "{text}");
        assert_eq!(newest_glibc(&std::fs::read(this)?)?, newest);
        Ok(())
    }

    #[test]
    fn what_is_no_binary_is_refused() {
        assert!(newest_glibc(b"#!/bin/sh\n").is_err());
    }
}
