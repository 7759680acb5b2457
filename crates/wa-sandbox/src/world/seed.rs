//! How much is in the store database.
//!
//! Everything but the size is always the same: the schema's own rows, and on top of them snapshots whose random content
//! comes from a generator with a fixed seed, so that a dump is of about the size asked for however it is compressed.

use std::fmt;
use std::str::FromStr;

use bytes::{BufMut, Bytes, BytesMut};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

/// Workspaces in the database, and in etcd.
pub(super) const WORKSPACES: u64 = 24;
/// The statement that reads what [`Snapshots`] writes.
pub(super) const COPY: &str =
    "COPY snapshot (snapshot_id, workspace_id, taken, content) FROM STDIN (FORMAT binary)";

const SMALL_BYTES: u64 = 256 << 10;
const LARGE_BYTES: u64 = 1 << 30;
/// What pg_dump needs for the schema and the rows that are always there.
const BASE_BYTES: u64 = 60 << 10;
/// A dump holds a random byte as two hexadecimal digits, which deflate packs into this many thousandths of it.
const DUMPED_PER_THOUSAND: u64 = 1135;
/// Content of one snapshot: large values, but never so large that there are only a few of them.
const SNAPSHOT_BYTES: std::ops::RangeInclusive<u64> = 4 << 10..=256 << 10;
const LEAST_SNAPSHOTS: u64 = 16;
const RANDOM_SEED: u64 = 0x0057_a750_4e5e_ed00;

/// How large a dump of the store database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Seed {
    /// A few hundred kilobytes.
    #[default]
    Small,
    /// About one gibibyte.
    Large,
    /// About so many bytes of a compressed custom-format dump, though never less than the schema takes.
    Bytes(u64),
}

/// The text is no size of a database.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no size for the database: say small, large or a number of bytes")]
pub struct UnknownSeed(String);

impl FromStr for Seed {
    type Err = UnknownSeed;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "small" => Ok(Self::Small),
            "large" => Ok(Self::Large),
            number => number
                .parse()
                .map(Self::Bytes)
                .map_err(|_| UnknownSeed(text.to_owned())),
        }
    }
}

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Small => f.pad("small"),
            Self::Large => f.pad("large"),
            Self::Bytes(number) => number.fmt(f),
        }
    }
}

impl Seed {
    fn random_bytes(self) -> u64 {
        let dump = match self {
            Self::Small => SMALL_BYTES,
            Self::Large => LARGE_BYTES,
            Self::Bytes(number) => number,
        };
        u64::try_from(
            u128::from(dump.saturating_sub(BASE_BYTES)) * 1000 / u128::from(DUMPED_PER_THOUSAND),
        )
        .unwrap_or(u64::MAX)
    }
}

/// The rows of the table `snapshot` in the binary format of COPY, one piece a row.
pub(super) struct Snapshots {
    first_workspace: u64,
    random: Xoshiro256PlusPlus,
    left: u64,
    each: u64,
    number: u64,
    at: Position,
}

enum Position {
    Start,
    Rows,
    End,
}

impl Snapshots {
    pub(super) fn new(seed: Seed, first_workspace: u64) -> Self {
        let left = seed.random_bytes();
        let (least, most) = SNAPSHOT_BYTES.into_inner();
        Self {
            first_workspace,
            random: Xoshiro256PlusPlus::seed_from_u64(RANDOM_SEED),
            left,
            each: (left / LEAST_SNAPSHOTS).clamp(least, most),
            number: 0,
            at: Position::Start,
        }
    }

    fn row(&mut self) -> Bytes {
        let length = self.left.min(self.each);
        self.left -= length;
        self.number += 1;
        let workspace = self.first_workspace + self.number % WORKSPACES;
        let mut content = vec![0; usize::try_from(length).unwrap_or_default()];
        self.random.fill_bytes(&mut content);

        let mut row = BytesMut::with_capacity(content.len() + 64);
        row.put_i16(4);
        field(&mut row, &self.number.to_be_bytes());
        field(&mut row, workspace_id(workspace).as_bytes());
        // Microseconds since 2000: one snapshot a minute from 27 years on.
        field(
            &mut row,
            &((852_076_800 + self.number * 60) * 1_000_000).to_be_bytes(),
        );
        field(&mut row, &content);
        row.freeze()
    }
}

fn field(row: &mut BytesMut, value: &[u8]) {
    row.put_u32(u32::try_from(value.len()).unwrap_or(u32::MAX));
    row.put_slice(value);
}

/// The id of a workspace, as the schema numbers them from 1.
pub(super) fn workspace_id(number: u64) -> uuid::Uuid {
    uuid::Uuid::from_u64_pair(0x4000, 0x8000_0000_0000_0000 | hexadecimal(number))
}

/// The digits of a decimal number, read as hexadecimal ones: `12` becomes `0x12`.
fn hexadecimal(number: u64) -> u64 {
    if number == 0 {
        0
    } else {
        (hexadecimal(number / 10) << 4) | (number % 10)
    }
}

impl Iterator for Snapshots {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        match self.at {
            Position::Start => {
                self.at = Position::Rows;
                // Signature, flags, length of the header's extension.
                Some(Bytes::from_static(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"))
            }
            Position::Rows if self.left > 0 => Some(self.row()),
            Position::Rows => {
                self.at = Position::End;
                Some(Bytes::from_static(&[0xff, 0xff]))
            }
            Position::End => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_shown() {
        for seed in [Seed::Small, Seed::Large, Seed::Bytes(123_456)] {
            assert_eq!(seed.to_string().parse::<Seed>().expect("a size"), seed);
        }
        for text in ["", "tiny", "1.5", "-1"] {
            let error = text.parse::<Seed>().expect_err("no size");
            assert!(error.to_string().contains("small, large"), "{error}");
        }
    }

    #[test]
    fn snapshots_are_the_same_every_time() {
        let all = || Snapshots::new(Seed::Small, 1).collect::<Vec<_>>().concat();
        assert!(all() == all(), "two runs differ");
        assert!(all().len() > 150_000);
    }

    #[test]
    fn workspaces_have_the_ids_of_the_schema() {
        assert_eq!(
            workspace_id(7).to_string(),
            "00000000-0000-4000-8000-000000000007"
        );
        assert_eq!(
            workspace_id(24).to_string(),
            "00000000-0000-4000-8000-000000000024"
        );
    }

    #[test]
    fn a_size_below_the_schema_s_own_adds_nothing() {
        assert_eq!(
            Snapshots::new(Seed::Bytes(1), 1)
                .collect::<Vec<_>>()
                .concat()
                .len(),
            21
        );
    }
}
