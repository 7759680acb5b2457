//! How much memory reading takes, whatever the archive says or holds.
//!
//! One test, because the allocator counts for the whole process.

#[cfg(test)]
#[path = "it/writer.rs"]
#[expect(dead_code, reason = "the other tests use all of it")]
mod writer;

#[cfg(test)]
mod peak {
    use std::io::{self, Read};

    use peak_alloc::PeakAlloc;
    use pg_archive::{Archive, ArchiveError, Compression, ErrorKind};

    use crate::writer::{DATA, Dump};

    #[global_allocator]
    static ALLOCATOR: PeakAlloc = PeakAlloc;

    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;

    /// The same bytes, again and again.
    struct Repeat {
        bytes: Vec<u8>,
        times: usize,
        position: usize,
    }

    fn repeat(bytes: Vec<u8>, times: usize) -> Repeat {
        Repeat {
            bytes,
            times,
            position: 0,
        }
    }

    impl Read for Repeat {
        fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
            if self.times == 0 {
                return Ok(0);
            }
            let read = (&self.bytes[self.position..]).read(target)?;
            self.position += read;
            if self.position == self.bytes.len() {
                self.position = 0;
                self.times -= 1;
            }
            Ok(read)
        }
    }

    /// What a call returns, and by how many bytes the heap grew meanwhile.
    fn growth<T>(call: impl FnOnce() -> T) -> (T, usize) {
        let before = ALLOCATOR.current_usage();
        ALLOCATOR.reset_peak_usage();
        let returned = call();
        (returned, ALLOCATOR.peak_usage() - before)
    }

    /// An archive of one table, whose content is this chunk as often as that, and an end-of-data mark.
    fn large(chunk: &[u8], times: usize) -> impl Read + use<> {
        let mut dump = Dump::new(16, Compression::None).table("tenant", &["id"], b"");
        dump.records_offsets = false;
        dump.blocks.clear();
        let framed = |payload: &[u8]| {
            let length = u32::try_from(payload.len()).unwrap().to_le_bytes();
            [&[0][..], &length, payload].concat()
        };
        let begin = [dump.to_bytes(), vec![DATA, 0, 5, 0, 0, 0]].concat();
        let end = [framed(b"\n\\.\n\n\n"), framed(b"")].concat();
        io::Cursor::new(begin)
            .chain(repeat(framed(chunk), times))
            .chain(io::Cursor::new(end))
    }

    fn compressed(compression: Compression, content: &[u8]) -> Vec<u8> {
        Dump::new(16, compression)
            .table("tenant", &["id"], content)
            .to_bytes()
    }

    fn verify(archive: impl Read) -> Result<u64, ArchiveError> {
        Archive::open(archive)?
            .verify()
            .map(|contents| contents.tables[0].bytes)
    }

    fn read_rows(archive: impl Read) -> Result<usize, ArchiveError> {
        Archive::open(archive)?
            .with_row_limit(MIB)
            .rows(None, "tenant")?
            .try_fold(0, |rows, row| row.map(|_| rows + 1))
    }

    #[test]
    fn memory_is_bounded_for_any_archive() {
        large_archives();
        large_rows();
        content_much_larger_than_the_archive();
        zstd_windows();
        lengths_that_promise_gigabytes();
        endless_contents();
        large_objects_with_an_entry_each();
    }

    fn large_archives() {
        let archive = large(b"1\n2\n3\n", 2_000_000);
        let (bytes, grew) = growth(|| verify(archive));
        assert_eq!(bytes.unwrap(), 12_000_006);
        assert!(grew < 256 * KIB, "{grew}");
    }

    fn large_rows() {
        let row = || large(&vec![b'x'; MIB], 128);
        let archive = row();
        let (bytes, grew) = growth(|| verify(archive));
        assert_eq!(bytes.unwrap(), 128 * MIB as u64 + 6);
        assert!(grew < 256 * KIB, "{grew}");
        let archive = row();
        let (rows, grew) = growth(|| read_rows(archive));
        assert!(matches!(
            rows.unwrap_err().kind(),
            ErrorKind::TooLarge { .. }
        ));
        assert!(grew < 4 * MIB, "{grew}");
    }

    fn content_much_larger_than_the_archive() {
        let content = [vec![b'x'; 64 * MIB], b"\n\\.\n\n\n".to_vec()].concat();
        for (compression, limit) in [
            (Compression::Gzip, 512 * KIB),
            (Compression::Lz4, 13 * MIB),
            (Compression::Zstd, 8 * MIB),
        ] {
            let archive = compressed(compression, &content);
            let (bytes, grew) = growth(|| verify(&*archive));
            assert_eq!(bytes.unwrap(), content.len() as u64);
            assert!(grew < limit, "{compression}: {grew}");
        }
    }

    /// A window of 128 MiB, and one of 256 MiB, with nothing to put there.
    fn zstd_windows() {
        for (window, accepted, limit) in [(17 << 3, true, 129 * MIB), (18 << 3, false, MIB)] {
            let mut dump = Dump::new(16, Compression::Zstd).table("tenant", &["id"], b"");
            let header = [0x28, 0xb5, 0x2f, 0xfd, 0x00, window];
            let last_raw_block_of_five = [41, 0, 0];
            dump.blocks[0].streams[0].1 =
                [&header[..], &last_raw_block_of_five, b"\\.\n\n\n"].concat();
            let archive = dump.to_bytes();
            let (bytes, grew) = growth(|| verify(&*archive));
            assert_eq!(bytes.is_ok(), accepted, "{bytes:?}");
            assert!(grew < limit, "{grew}");
        }
    }

    fn lengths_that_promise_gigabytes() {
        let sound = compressed(Compression::None, b"\\.\n\n\n");
        for position in 0..sound.len() - 4 {
            let mut archive = sound.clone();
            archive[position..position + 4].copy_from_slice(&i32::MAX.to_le_bytes());
            let (_, grew) = growth(|| verify(&*archive));
            assert!(grew < MIB, "{position}: {grew}");
        }
    }

    fn endless_contents() {
        let archive = endless_archive();
        let (opened, grew) = growth(|| Archive::open(archive).map(drop));
        let error = opened.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::TooLarge { .. }),
            "{error}"
        );
        assert!(grew < 160 * MIB, "{grew}");
    }

    /// As pg_dump writes them until version 16, and again after the data where it can only append.
    fn large_objects_with_an_entry_each() {
        const OBJECTS: u32 = 500_000;
        let none = Dump::new(14, Compression::None);
        let one = none
            .clone()
            .define("BLOB", "16400", "SELECT pg_catalog.lo_create('16400');\n");
        let mut head = none.to_bytes();
        let entry = one.to_bytes().split_off(head.len());
        let table = none.table("tenant", &["id"], b"");
        let mut table_entry = table.to_bytes().split_off(head.len());
        table_entry.truncate(table_entry.len() - 11);
        let state = table_entry.len() - 9;
        table_entry[state] = 1;
        let count = head.len() - 4;
        head[count..].copy_from_slice(&(OBJECTS + 1).to_le_bytes());
        let contents = |state_byte: u8| {
            let mut table_entry = table_entry.clone();
            table_entry[state] = state_byte;
            io::Cursor::new(table_entry).chain(repeat(entry.clone(), OBJECTS as usize))
        };
        let number = head[count - 1..].to_vec();
        let mut block = vec![DATA, 0, 5, 0, 0, 0, 0, 5, 0, 0, 0];
        block.extend(b"\\.\n\n\n\0\0\0\0\0");
        let archive = io::Cursor::new(head)
            .chain(contents(1))
            .chain(io::Cursor::new([block, number].concat()))
            .chain(contents(2));
        let (read, grew) = growth(|| Archive::open(archive)?.verify());
        assert_eq!(read.unwrap().after_end, None);
        assert!(grew < 40 * MIB, "{grew}");
    }

    /// The number of entries is the largest there is, and they keep coming.
    fn endless_archive() -> impl Read {
        struct Entries {
            next: u32,
            entry: Vec<u8>,
            position: usize,
        }
        impl Read for Entries {
            fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
                if self.position == 0 {
                    self.entry[1..5].copy_from_slice(&self.next.to_le_bytes());
                    self.next += 1;
                }
                let read = (&self.entry[self.position..]).read(target)?;
                self.position = (self.position + read) % self.entry.len();
                Ok(read)
            }
        }
        let none = Dump::new(16, Compression::None);
        let mut head = none.to_bytes();
        let one = none.table("t", &["id"], b"");
        let mut entry = one.to_bytes().split_off(head.len());
        entry.truncate(entry.len() - 11);
        let count = head.len() - 4;
        head[count..].copy_from_slice(&i32::MAX.to_le_bytes());
        io::Cursor::new(head).chain(Entries {
            next: 1,
            entry,
            position: 0,
        })
    }
}
