//! The header of a program for Linux: which machine it is for, and how long its file is.

/// As much of a program as is looked at: its header, and the table of its segments, which follows.
pub(super) const HEAD_BYTES: u64 = 64 << 10;
/// A header up to the machine.
const LEAST_BYTES: usize = 20;

/// The beginning of a program.
pub(super) struct Elf<'a> {
    head: &'a [u8],
    little: bool,
}

impl<'a> Elf<'a> {
    /// `None` where it is no program.
    pub(super) fn from_head(head: &'a [u8]) -> Option<Self> {
        (head.len() >= LEAST_BYTES && head.starts_with(b"\x7fELF")).then(|| Self {
            head,
            little: head[5] == 1,
        })
    }

    /// The machine that it is for, as `uname -m` names it.
    pub(super) fn architecture(&self) -> &'static str {
        match self.number(18, 2) {
            Some(3) => "i686",
            Some(21) if self.little => "ppc64le",
            Some(21) => "ppc64",
            Some(22) => "s390x",
            Some(62) => "x86_64",
            Some(183) => "aarch64",
            _ => "an unknown architecture",
        }
    }

    /// How long the file is at least, as far as its header tells: to the end of its last segment and of its table of
    /// sections. Only programs of 64 bits are asked, which pgmig is.
    pub(super) fn least_bytes(&self) -> u64 {
        const WIDE: u8 = 2;
        if self.head[4] != WIDE {
            return 0;
        }
        let number = |at: u64, size: u64| self.number(at, size).unwrap_or_default();
        let end = |begin: u64, size: u64| begin.saturating_add(size);
        let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
        let segments = (0..count).map(|segment| {
            let at = end(table, segment * size);
            end(number(end(at, 8), 8), number(end(at, 32), 8))
        });
        let sections = end(number(40, 8), number(58, 2) * number(60, 2));
        let table_end = end(table, size * count);
        segments.chain([sections, table_end]).max().unwrap_or(0)
    }

    fn number(&self, at: u64, size: u64) -> Option<u64> {
        let at = usize::try_from(at).ok()?;
        let bytes = self.head.get(at..)?.get(..usize::try_from(size).ok()?)?;
        let fold = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if self.little {
            bytes.iter().rev().fold(0, fold)
        } else {
            bytes.iter().fold(0, fold)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_is_a_program_for_this_machine_and_as_long_as_its_header_says() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let elf = Elf::from_head(&program[..program.len().min(64 << 10)]).unwrap();
        assert_eq!(elf.architecture(), std::env::consts::ARCH);
        let least = elf.least_bytes();
        let bytes = program.len() as u64;
        assert!(least <= bytes && least > bytes / 2, "{least} of {bytes}");
        assert!(Elf::from_head(b"#!/bin/sh\n and more than twenty").is_none());
        assert!(Elf::from_head(b"\x7fELF").is_none());
    }

    #[test]
    fn numbers_that_cannot_be_do_not_overflow() {
        for order in [1, 2] {
            let mut head = [0xff; 64];
            head[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, order, 1]);
            let elf = Elf::from_head(&head).unwrap();
            assert_eq!(elf.architecture(), "an unknown architecture");
            assert_eq!(elf.least_bytes(), u64::MAX);
        }
    }
}
