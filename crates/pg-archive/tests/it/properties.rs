//! What holds for any archive, and for any bytes at all.

use std::io::{self, Read};

use pg_archive::{AfterEnd, Archive, ArchiveError, Compression, Contents};
use proptest::prelude::*;

use crate::writer::{self, Dump};

type Rows = Vec<Vec<Option<String>>>;

fn compression() -> impl Strategy<Value = Compression> {
    prop_oneof![
        Just(Compression::None),
        Just(Compression::Gzip),
        Just(Compression::Lz4),
        Just(Compression::Zstd),
    ]
}

/// Rows of two columns, with all that COPY has to escape.
fn rows() -> impl Strategy<Value = Rows> {
    let field = proptest::option::of("[a-zN.\\\\\t\n\r\u{8}\u{b}\u{c}ä€]{0,40}");
    proptest::collection::vec(proptest::collection::vec(field, 2), 0..40)
}

prop_compose! {
    fn dump()(
        first in rows(),
        second in rows(),
        large in proptest::collection::vec((1..u32::MAX, proptest::collection::vec(any::<u8>(), 0..300)), 0..3),
        compression in compression(),
        minor in 12..=16_u8,
        wide in any::<bool>(),
        records_offsets in any::<bool>(),
        appended in any::<bool>(),
        chunk_bytes in 1..300_usize,
    ) -> (Dump, Rows) {
        // lz4 and zstd came with 1.15.
        let minor = if matches!(compression, Compression::Lz4 | Compression::Zstd) { minor.max(15) } else { minor };
        let large: Vec<_> = large.iter().map(|(oid, data)| (*oid, &**data)).collect();
        let mut dump = Dump::new(minor, compression)
            .table("first", &["a", "b"], &writer::copy_data(&first))
            .large_objects(&large)
            .table("second", &["a", "b"], &writer::copy_data(&second));
        dump = dump.define("TABLE", "third", "CREATE TABLE third ();").define("STATISTICS DATA", "first", "SELECT 1;");
        dump.records_offsets = records_offsets;
        dump.appended = appended;
        dump.chunk_bytes = chunk_bytes;
        (dump.int_bytes, dump.offset_bytes) = if wide { (8, 4) } else { (4, 8) };
        (dump, second)
    }
}

fn verify(archive: impl Read) -> Result<Contents, ArchiveError> {
    Archive::open(archive)?.verify()
}

fn read_rows(archive: &[u8], table: &str) -> Result<Rows, ArchiveError> {
    Archive::open(archive)?
        .rows(None, table)?
        .map(|row| {
            row.map(|row| {
                row.fields()
                    .map(|field| field.to_text().map(Into::into))
                    .collect()
            })
        })
        .collect()
}

/// Gives a few bytes at a time, with interruptions.
struct Dribble<'a> {
    rest: &'a [u8],
    interrupted: bool,
}

impl Read for Dribble<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.interrupted = !self.interrupted;
        if self.interrupted {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let few = target.len().min(3);
        self.rest.read(&mut target[..few])
    }
}

#[derive(Clone, Debug)]
enum Mutation {
    Set(prop::sample::Index, u8),
    Remove(prop::sample::Index, usize),
    Insert(prop::sample::Index, Vec<u8>),
    Repeat(prop::sample::Index, usize),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    prop_oneof![
        4 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Mutation::Set(at, byte)),
        1 => (any::<prop::sample::Index>(), 1..40_usize).prop_map(|(at, length)| Mutation::Remove(at, length)),
        1 => (any::<prop::sample::Index>(), any::<[u8; 7]>()).prop_map(|(at, bytes)| Mutation::Insert(at, bytes.to_vec())),
        1 => (any::<prop::sample::Index>(), 1..40_usize).prop_map(|(at, length)| Mutation::Repeat(at, length)),
    ]
}

impl Mutation {
    fn apply(self, archive: &mut Vec<u8>) {
        let end = archive.len();
        if end == 0 {
            return;
        }
        let range = |at: prop::sample::Index, length: usize| {
            let begin = at.index(end);
            begin..end.min(begin + length)
        };
        match self {
            Self::Set(at, byte) => archive[range(at, 1)].fill(byte),
            Self::Remove(at, length) => drop(archive.drain(range(at, length))),
            Self::Insert(at, bytes) => drop(archive.splice(range(at, 0), bytes)),
            Self::Repeat(at, length) => archive.extend_from_within(range(at, length)),
        }
    }
}

proptest! {
    #[test]
    fn what_was_written_is_read((dump, second) in dump()) {
        let archive = dump.to_bytes();
        let contents = verify(&*archive).unwrap();
        prop_assert_eq!(contents.archive_bytes, archive.len() as u64);
        prop_assert_eq!(&contents.after_end, &None);
        prop_assert_eq!(contents.tables_without_data.len(), 1);
        prop_assert_eq!(contents.tables[1].rows, Some(second.len() as u64));
        prop_assert_eq!(contents.tables[1].bytes, writer::copy_data(&second).len() as u64);
        prop_assert_eq!(contents.large_objects.count, dump.blocks[1].streams.len() as u64);
        prop_assert_eq!(read_rows(&archive, "second").unwrap(), second);
    }

    #[test]
    fn the_size_of_reads_does_not_matter((dump, _) in dump()) {
        let archive = dump.to_bytes();
        let dribbled = verify(Dribble { rest: &archive, interrupted: false }).unwrap();
        prop_assert_eq!(dribbled, verify(&*archive).unwrap());
    }

    #[test]
    fn no_truncated_archive_is_sound((mut dump, _) in dump(), at in any::<prop::sample::Index>()) {
        dump.appended = false;
        let archive = dump.to_bytes();
        let cut = at.index(archive.len());
        prop_assert!(verify(&archive[..cut]).is_err());
    }

    #[test]
    fn an_archive_is_distinguished_from_what_is_after_and_in_front_of_it(
        (dump, _) in dump(),
        other in "[a-z\\PC\n]{1,300}",
    ) {
        let archive = dump.to_bytes();
        let sound = verify(&*archive).unwrap();
        let followed = verify(&*[&archive, other.as_bytes()].concat()).unwrap();
        prop_assert_eq!(followed.archive_bytes, archive.len() as u64);
        let found = match followed.after_end.unwrap() {
            AfterEnd::Bytes { offset, bytes, .. } => (offset, bytes),
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(found, (archive.len() as u64, other.len() as u64));
        prop_assert_eq!(followed.tables, sound.tables);
        let error = verify(&*[other.as_bytes(), &archive].concat()).unwrap_err();
        prop_assert_eq!(error.bytes_to_cut(), Some(other.len() as u64));
    }

    #[test]
    fn a_mutated_archive_never_panics(
        (dump, _) in dump(),
        mutations in proptest::collection::vec(mutation(), 1..4),
    ) {
        let mut archive = dump.to_bytes();
        for mutation in mutations {
            mutation.apply(&mut archive);
        }
        for error in [verify(&*archive).err(), read_rows(&archive, "second").err()].into_iter().flatten() {
            prop_assert!(error.offset() <= archive.len() as u64);
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), as_archive in any::<bool>()) {
        let archive = if as_archive { [b"PGDMP\x01\x10\x00\x04\x08\x01\x01", &*bytes].concat() } else { bytes };
        prop_assert!(verify(&*archive).is_err());
    }
}
