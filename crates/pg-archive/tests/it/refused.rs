//! Files that are no archive, or one of a kind this crate does not read.

use pg_archive::{Archive, Compression, ErrorKind, Lookalike, Version};

use crate::writer::Dump;

fn refusal(file: &[u8]) -> ErrorKind {
    let error = Archive::open(file).unwrap_err();
    assert!(error.to_string().ends_with("in the header)"), "{error}");
    match error.kind() {
        ErrorKind::NotAnArchive(lookalike) => ErrorKind::NotAnArchive(*lookalike),
        ErrorKind::UnsupportedVersion(version) => ErrorKind::UnsupportedVersion(*version),
        ErrorKind::UnsupportedCompression(method) => ErrorKind::UnsupportedCompression(*method),
        other => panic!("{other}"),
    }
}

#[test]
fn what_a_file_is_instead_of_an_archive_is_named() {
    let mut tar = b"toc.dat".to_vec();
    tar.resize(257, 0);
    tar.extend(b"ustar\x0000");
    let files: [(&[u8], Lookalike); 10] = [
        (b"", Lookalike::Empty),
        (
            b"--\n-- PostgreSQL database dump\n--\n",
            Lookalike::PlainSql,
        ),
        (
            b"\n--\n-- PostgreSQL database cluster dump\n",
            Lookalike::PlainSql,
        ),
        (&tar, Lookalike::Tar),
        (b"\x1f\x8b\x08\x00", Lookalike::Gzip),
        (b"\x28\xb5\x2f\xfd\x04", Lookalike::Zstd),
        (b"age-encryption.org/v1\n", Lookalike::Age),
        (b"\xff\xfeP\0G\0D\0M\0P\0", Lookalike::Utf16),
        (b"PGDMX", Lookalike::Unknown),
        (b"\0", Lookalike::Unknown),
    ];
    for (file, expected) in files {
        assert!(
            matches!(refusal(file), ErrorKind::NotAnArchive(found) if found == expected),
            "{expected}"
        );
    }
}

#[test]
fn the_toc_of_a_directory_dump_is_no_archive() {
    for format in [3, 5] {
        let mut toc = Dump::new(14, Compression::None);
        toc.format = format;
        assert!(matches!(
            refusal(&toc.to_bytes()),
            ErrorKind::NotAnArchive(Lookalike::TocOnly)
        ));
    }
}

#[test]
fn unknown_versions_are_named() {
    for minor in [0, 11, 17, 255] {
        let dump = Dump::new(minor, Compression::None);
        let kind = refusal(&dump.to_bytes());
        let expected = Version { major: 1, minor };
        assert!(matches!(kind, ErrorKind::UnsupportedVersion(found) if found == expected));
        let said = kind.to_string();
        assert!(
            said.contains(&format!("version 1.{minor} is not")),
            "{said}"
        );
    }
}

#[test]
fn unknown_compression_is_named() {
    let mut archive = Dump::new(16, Compression::None).to_bytes();
    archive[11] = 4;
    assert!(matches!(
        refusal(&archive),
        ErrorKind::UnsupportedCompression(4)
    ));
}
