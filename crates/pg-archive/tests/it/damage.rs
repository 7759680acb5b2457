//! Sound archives, damaged: cut, flipped, rearranged.

use std::{
    io::{self, Read},
    ops::Range,
};

use pg_archive::{Archive, ArchiveError, Compression, Contents, Corruption, ErrorKind, Row};

use crate::{
    fixtures,
    writer::{self, Block, Dump},
};

fn verify(archive: impl Read) -> Result<Contents, ArchiveError> {
    Archive::open(archive)?.verify()
}

/// Damages the dump of a small table with one row, and tells what verification makes of it.
fn corruption(compression: Compression, damage: impl FnOnce(&mut Dump)) -> String {
    let mut dump = Dump::new(16, compression)
        .table("tenant", &["id", "name"], b"1\tone\n\\.\n\n\n")
        .table("workspace", &["id"], b"1\n\\.\n\n\n");
    verify(&*dump.to_bytes()).unwrap();
    damage(&mut dump);
    let error = verify(&*dump.to_bytes()).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Corrupt(_)), "{error}");
    error.to_string()
}

/// One archive a compression and a version; every byte of them takes a while.
const SAMPLES: [&str; 5] = [
    "pg15-gzip",
    "pg16-none",
    "pg17-none",
    "pg17-lz4",
    "pg17-zstd-piped",
];

#[test]
fn truncation_is_found_at_every_byte() {
    for name in SAMPLES {
        let archive = fixtures::load(name);
        for length in 0..archive.len() {
            let error = verify(&archive[..length]).unwrap_err();
            let said = match error.kind() {
                ErrorKind::Truncated { .. } | ErrorKind::MissingData { .. } => {
                    error.offset() == length as u64
                }
                ErrorKind::NotAnArchive(_) => length == 0,
                _ => false,
            };
            assert!(said, "{name} cut to {length} bytes: {error}");
        }
    }
}

#[test]
fn truncation_names_the_table_whose_data_is_cut() {
    let archive = fixtures::load("pg15-gzip");
    let begin = block_of("pg15-gzip", "workspace").start;
    let error = verify(&archive[..begin + 20]).unwrap_err().to_string();
    assert!(
        error.contains("is truncated") && error.contains("the data of table public.workspace"),
        "{error}"
    );
    let error = verify(&archive[..begin]).unwrap_err().to_string();
    assert!(
        error.contains("without the data of table public.workspace (2 of 6 data blocks"),
        "{error}"
    );
}

/// Where the data of a table is in a dump to a file.
fn block_of(archive: &str, table: &str) -> Range<usize> {
    let archive = fixtures::load(archive);
    let opened = Archive::open(&*archive).unwrap();
    let data = || opened.entries().iter().filter(|entry| entry.has_data);
    let offset = |offset: Option<u64>| usize::try_from(offset.unwrap()).unwrap();
    let begin = data()
        .find(|entry| entry.schema.as_deref() == Some("public") && entry.tag == table)
        .map(|entry| offset(entry.data_offset))
        .unwrap();
    let end = data()
        .map(|entry| offset(entry.data_offset))
        .filter(|&other| other > begin)
        .min();
    begin..end.unwrap_or(archive.len())
}

#[test]
fn nearly_every_flipped_bit_that_changes_gzip_data_is_found() {
    let everything = |archive: &[u8]| -> Result<_, ArchiveError> {
        let contents = verify(archive)?;
        let rows = Archive::open(archive)?.rows(None, "workspace")?;
        let rows: Vec<_> = rows
            .map(|row| row.map(|row| owned(&row)))
            .collect::<Result<_, _>>()?;
        Ok((contents.tables, rows))
    };
    for name in ["pg15-gzip", "pg16-gzip", "pg17-gzip"] {
        let sound = fixtures::load(name);
        let expected = everything(&sound).unwrap();
        let block = block_of(name, "workspace");
        let flips = 8 * block.len();
        let mut missed = 0;
        for position in block {
            for bit in 0..8 {
                let mut archive = sound.clone();
                archive[position] ^= 1 << bit;
                if everything(&archive).is_ok_and(|found| found != expected) {
                    missed += 1;
                }
            }
        }
        // Adler-32 is a weak checksum for short data: one flip in 4000 here has the same one.
        assert!(missed <= flips / 1000, "{name}: {missed} of {flips}");
    }
}

fn owned(row: &Row) -> Vec<Option<Vec<u8>>> {
    row.fields()
        .map(|field| field.as_bytes().map(<[u8]>::to_vec))
        .collect()
}

#[test]
fn a_flipped_byte_anywhere_never_panics_and_has_an_offset_in_the_file() {
    for name in SAMPLES {
        let sound = fixtures::load(name);
        for position in 0..sound.len() {
            let mut archive = sound.clone();
            archive[position] ^= 0xff;
            if let Err(error) = verify(&*archive) {
                assert!(error.offset() <= sound.len() as u64, "{name}: {error}");
            }
        }
    }
}

#[test]
fn blocks_must_match_the_table_of_contents() {
    let none = Compression::None;
    let said = corruption(none, |dump| dump.blocks[1].dump_id = 5);
    assert!(
        said.contains("a second data block of table public.tenant"),
        "{said}"
    );
    let said = corruption(none, |dump| dump.blocks[0].dump_id = 77);
    assert!(
        said.contains("dump id 77, which no entry with data has"),
        "{said}"
    );
    let said = corruption(none, |dump| dump.entries[0].has_data = false);
    assert!(
        said.contains("dump id 5, which no entry with data has"),
        "{said}"
    );
    let said = corruption(none, |dump| dump.blocks[0].kind = 2);
    assert!(
        said.contains("the type of a data block is 2, expected 1"),
        "{said}"
    );
    let said = corruption(none, |dump| {
        dump.blocks[0].kind = writer::LARGE_OBJECTS;
    });
    assert!(
        said.contains("the type of a data block is 3, expected the one"),
        "{said}"
    );
    let said = corruption(none, |dump| dump.entries[1].dump_id = 5);
    assert!(said.contains("two entries"), "{said}");
    let said = corruption(none, |dump| dump.entries[1].dump_id = -5);
    assert!(
        said.contains("a dump id is -5, expected 1 or more"),
        "{said}"
    );
}

#[test]
fn a_block_that_moved_is_found_by_its_recorded_offset() {
    let mut archive = Dump::new(16, Compression::None)
        .table("first", &["id"], b"1\n\\.\n\n\n")
        .table("second", &["id"], b"1\n\\.\n\n\n")
        .to_bytes();
    // Both blocks are equally long: swap them.
    let offsets: Vec<_> = Archive::open(&*archive)
        .unwrap()
        .entries()
        .iter()
        .map(|entry| usize::try_from(entry.data_offset.unwrap()).unwrap())
        .collect();
    archive[offsets[0]..].rotate_left(offsets[1] - offsets[0]);
    let error = verify(&*archive).unwrap_err();
    assert!(
        matches!(
            error.kind(),
            ErrorKind::Corrupt(Corruption::MisplacedBlock { .. })
        ),
        "{error}"
    );
}

#[test]
fn copy_data_must_end_with_its_mark() {
    for data in [
        &b""[..],
        b"1\n",
        b"1\tone\n\\.\n\n",
        b"1\tone\\.\n\n\n",
        b"1\tone\n\\.\n\n\nx",
    ] {
        let said = corruption(Compression::Gzip, |dump| {
            dump.blocks[0].streams[0].1 = writer::compress(Compression::Gzip, data);
        });
        assert!(
            said.contains("do not end with the end-of-data line"),
            "{said}"
        );
    }
}

#[test]
fn a_compressed_stream_must_end_with_its_block() {
    for compression in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
        let stream = |edit: fn(&mut Vec<u8>)| {
            corruption(compression, |dump| edit(&mut dump.blocks[0].streams[0].1))
        };
        let said = stream(|stream| stream.push(0));
        assert!(said.contains("goes on after the end"), "{said}");
        let said = stream(Vec::clear);
        assert!(said.contains("in the middle of its compressed"), "{said}");
        let mut lengths = 1;
        loop {
            let mut emptied = false;
            let said = corruption(compression, |dump| {
                let stream = &mut dump.blocks[0].streams[0].1;
                stream.truncate(stream.len() - lengths);
                emptied = stream.is_empty();
            });
            assert!(
                said.contains("in the middle of its compressed"),
                "{compression}, {lengths} bytes less: {said}"
            );
            lengths += 1;
            if emptied {
                break;
            }
        }
    }
}

#[test]
fn a_wrong_checksum_is_found() {
    let said = corruption(Compression::Gzip, |dump| {
        *dump.blocks[0].streams[0].1.last_mut().unwrap() ^= 1;
    });
    assert!(said.contains("cannot decompress"), "{said}");
}

#[test]
fn rows_must_have_as_many_fields_as_the_table_has_columns() {
    let archive = Dump::new(14, Compression::None)
        .table("tenant", &["id", "name"], b"1\tone\n2\n\\.\n\n\n")
        .to_bytes();
    let mut rows = Archive::open(&*archive)
        .unwrap()
        .rows(None, "tenant")
        .unwrap();
    rows.next().unwrap().unwrap();
    let error = rows.next().unwrap().unwrap_err();
    assert!(
        error.to_string().contains("a row has 1 fields, expected 2"),
        "{error}"
    );
    assert!(rows.next().is_none());
}

#[test]
fn a_failing_reader_is_no_corruption() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::new(io::ErrorKind::TimedOut, "no answer"))
        }
    }
    for name in fixtures::STORE {
        let archive = fixtures::load(name);
        for length in (0..archive.len()).step_by(97) {
            let error = verify(archive[..length].chain(Failing)).unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::Io(cause) if cause.kind() == io::ErrorKind::TimedOut),
                "{name}: {error}"
            );
        }
    }
}

#[test]
fn large_objects_are_named_when_they_are_damaged() {
    let mut dump = Dump::new(16, Compression::Gzip).large_objects(&[(7, b"abc"), (u32::MAX, b"d")]);
    assert_eq!(verify(&*dump.to_bytes()).unwrap().large_objects.count, 2);
    let Block { streams, .. } = &mut dump.blocks[0];
    *streams[1].1.last_mut().unwrap() ^= 1;
    let error = verify(&*dump.to_bytes()).unwrap_err().to_string();
    assert!(error.contains("large object 4294967295"), "{error}");
}
