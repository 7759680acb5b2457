//! What the program `compress` has packed (`.Z`): LZW with codes of 9 to 16 bits. No crate that is kept reads it.
//!
//! Codes are packed from the lowest bit on, in groups of eight: where their width changes, and where the table is
//! cleared, the rest of a group is filler.

use std::io::{self, BufRead, Read};

const FIRST_BITS: u32 = 9;
const MOST_BITS: u32 = 16;
/// The code that clears the table, in files that have it.
const CLEAR: usize = 256;
/// The flag that says so, and the bits of the same byte that must not be set.
const CLEARS: u8 = 0x80;
const RESERVED: u8 = 0x60;

/// Unpacks what it reads.
pub(super) struct Uncompress<R> {
    packed: R,
    /// Known once the header was read.
    state: Option<State>,
    /// What is unpacked and not read yet, in the reverse order.
    word: Vec<u8>,
}

struct State {
    most_bits: u32,
    clears: bool,
    bits: u32,
    /// Bits that were read and not used, and how many.
    buffer: u32,
    buffered: u32,
    /// How many bytes of the present group were read.
    in_group: u32,
    /// The last code in the table.
    last: usize,
    prefixes: Vec<u16>,
    suffixes: Vec<u8>,
    /// The code before, and the first byte of its word.
    previous: Option<(usize, u8)>,
}

impl<R: BufRead> Uncompress<R> {
    pub(super) fn new(packed: R) -> Self {
        Self {
            packed,
            state: None,
            word: Vec::new(),
        }
    }

    /// Unpacks the next word; `false` at the end.
    fn unpack(&mut self) -> io::Result<bool> {
        if self.state.is_none() {
            self.state = Some(State::read(&mut self.packed)?);
        }
        let Some(state) = &mut self.state else {
            return Ok(false);
        };
        loop {
            if state.last >= state.mask() && state.bits < state.most_bits {
                state.end_group(&mut self.packed)?;
                state.bits += 1;
            }
            let Some(code) = state.code(&mut self.packed)? else {
                return Ok(false);
            };
            if code == CLEAR && state.clears {
                state.end_group(&mut self.packed)?;
                state.bits = FIRST_BITS;
                state.last = CLEAR - 1;
                continue;
            }
            state.word(code, &mut self.word)?;
            return Ok(true);
        }
    }
}

impl<R: BufRead> Read for Uncompress<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut read = 0;
        while read < into.len() {
            match self.word.pop() {
                Some(byte) => {
                    into[read] = byte;
                    read += 1;
                }
                None if !self.unpack()? => break,
                None => {}
            }
        }
        Ok(read)
    }
}

impl State {
    fn read(packed: &mut impl Read) -> io::Result<Self> {
        let mut header = [0; 3];
        packed.read_exact(&mut header)?;
        let flags = header[2];
        let most_bits = u32::from(flags & 0x1f);
        if flags & RESERVED != 0 || !(FIRST_BITS..=MOST_BITS).contains(&most_bits) {
            return Err(invalid("its header is none of compress's"));
        }
        let clears = flags & CLEARS != 0;
        // 9 never meant 9.
        let most_bits = most_bits.max(FIRST_BITS + 1);
        Ok(Self {
            most_bits,
            clears,
            bits: FIRST_BITS,
            buffer: 0,
            buffered: 0,
            in_group: 0,
            last: if clears { CLEAR } else { CLEAR - 1 },
            prefixes: vec![0; 1 << most_bits],
            suffixes: vec![0; 1 << most_bits],
            previous: None,
        })
    }

    fn mask(&self) -> usize {
        (1 << self.bits) - 1
    }

    /// The next code; `None` at the end.
    fn code(&mut self, packed: &mut impl Read) -> io::Result<Option<usize>> {
        while self.buffered < self.bits {
            let Some(byte) = next(packed)? else {
                // After the last code there is less than a byte.
                let is_cut = self.buffered >= 8 || self.buffer != 0;
                return if is_cut {
                    Err(io::ErrorKind::UnexpectedEof.into())
                } else {
                    Ok(None)
                };
            };
            self.buffer |= u32::from(byte) << self.buffered;
            self.buffered += 8;
            self.in_group += 1;
        }
        let code = self.buffer as usize & self.mask();
        self.buffer >>= self.bits;
        self.buffered -= self.bits;
        Ok(Some(code))
    }

    /// Passes over the filler after the last code of a width.
    fn end_group(&mut self, packed: &mut impl Read) -> io::Result<()> {
        while !self.in_group.is_multiple_of(self.bits) && next(packed)?.is_some() {
            self.in_group += 1;
        }
        (self.in_group, self.buffer, self.buffered) = (0, 0, 0);
        Ok(())
    }

    /// Puts the word of a code, reversed, into `word`, and a new one into the table.
    fn word(&mut self, code: usize, word: &mut Vec<u8>) -> io::Result<()> {
        let Some((previous, first)) = self.previous else {
            let byte = u8::try_from(code).map_err(|_| invalid("its first code is none"))?;
            word.push(byte);
            self.previous = Some((code, byte));
            return Ok(());
        };
        let mut at = code;
        if code > self.last {
            // The word that is just being made: the one before, and its own first byte.
            if code != self.last + 1 || previous > self.last {
                return Err(invalid("it holds a code that was not made yet"));
            }
            word.push(first);
            at = previous;
        }
        while at >= CLEAR {
            word.push(self.suffixes[at]);
            at = usize::from(self.prefixes[at]);
        }
        let first = u8::try_from(at).unwrap_or_default();
        word.push(first);
        if self.last < self.mask() {
            self.last += 1;
            self.prefixes[self.last] = u16::try_from(previous).unwrap_or_default();
            self.suffixes[self.last] = first;
        }
        self.previous = Some((code, first));
        Ok(())
    }
}

fn next(packed: &mut impl Read) -> io::Result<Option<u8>> {
    let mut byte = [0];
    loop {
        match packed.read(&mut byte) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(byte[0])),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packed by `compress -b 12` of ncompress; what is in it is made by [`content`].
    const PACKED: &[u8] = include_bytes!("../../tests/fixtures/content.Z");

    /// Text that changes, so that the table is filled and cleared.
    fn content() -> Vec<u8> {
        let mut state = 1_u32;
        let words = (0..24_000_u32).map(|at| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = if at > 12_000 {
                state >> 20
            } else {
                state >> 28
            };
            format!("{noise:x} ")
        });
        words.collect::<String>().into_bytes()
    }

    fn unpacked(packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        Uncompress::new(packed).read_to_end(&mut all)?;
        Ok(all)
    }

    #[test]
    fn what_compress_has_packed_comes_out_as_it_went_in() {
        assert!(unpacked(PACKED).unwrap() == content());
    }

    #[test]
    fn what_is_damaged_or_cut_in_a_code_is_an_error_or_another_content_and_never_a_panic() {
        let mut state = 7_usize;
        for _ in 0..40 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let at = (state >> 20) % PACKED.len();
            let mut damaged = PACKED.to_vec();
            damaged[at] ^= 1 << (state % 8);
            if let Ok(other) = unpacked(&damaged) {
                // The filler of a group alone does not matter.
                let filler = other == content();
                assert!(filler || at > 2, "{at}");
            }
            let cut = unpacked(&PACKED[..at]);
            assert!(cut.is_err() || cut.unwrap().len() < content().len(), "{at}");
        }
        for header in [&b""[..], b"\x1f\x9d", b"\x1f\x9d\x08", b"\x1f\x9d\xf0"] {
            assert!(unpacked(header).is_err(), "{header:x?}");
        }
    }
}
