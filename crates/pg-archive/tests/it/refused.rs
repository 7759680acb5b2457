//! Files that are no archive, or one of a kind this crate does not read.

use pg_archive::{
    Archive, Compression, Compressor, ErrorKind, Lookalike, NoArchive, Verdict, Version,
};

use crate::writer::Dump;

/// What a file is found to be that is no archive.
fn no_archive(file: &[u8]) -> NoArchive {
    let error = Archive::open(file).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("not a pg_dump custom-format archive: "),
        "{error}"
    );
    match error.kind() {
        ErrorKind::NotAnArchive(file) => file.clone(),
        other => panic!("{other}"),
    }
}

#[test]
fn what_a_file_is_instead_of_an_archive_is_named() {
    let tar = |first: &[u8]| {
        let mut tar = first.to_vec();
        tar.resize(257, 0);
        tar.extend(b"ustar\x0000");
        tar
    };
    let (pg_tar, other_tar) = (tar(b"toc.dat"), tar(b"store.dump"));
    let compressed = Lookalike::Compressed;
    let base64 = b"SGVsbG8gV29ybGQh".repeat(20);
    let files: [(&[u8], Lookalike); 42] = [
        (b"", Lookalike::Empty),
        (&[0; 700], Lookalike::Nuls),
        (
            b"--\n-- PostgreSQL database dump\n--\n",
            Lookalike::PlainSql,
        ),
        (
            b"Defaulted container \"postgres\"\n--\n-- PostgreSQL database dump\n--\n",
            Lookalike::PlainSql,
        ),
        (
            b"\n--\n-- PostgreSQL database cluster dump\n",
            Lookalike::ClusterSql,
        ),
        (&pg_tar, Lookalike::TarDump),
        (&other_tar, Lookalike::Tar),
        (b"\x1f\x8b\x08\x00", compressed(Compressor::Gzip)),
        (b"\x1f\x9d\x90P", compressed(Compressor::Compress)),
        (b"\x28\xb5\x2f\xfd\x04", compressed(Compressor::Zstd)),
        (b"\x04\x22\x4d\x18d", compressed(Compressor::Lz4)),
        (b"\xfd7zXZ\0\0", compressed(Compressor::Xz)),
        (b"BZh91AY&SY", compressed(Compressor::Bzip2)),
        (b"\x5d\0\0\x80\0", compressed(Compressor::Lzma)),
        (b"\x89LZO\0\x0d\x0a", compressed(Compressor::Lzop)),
        (b"PK\x03\x04\x14", Lookalike::Zip),
        (b"7z\xbc\xaf\x27\x1c", Lookalike::SevenZip),
        (b"age-encryption.org/v1\n", Lookalike::Age),
        (b"-----BEGIN AGE ENCRYPTED FILE-----\n", Lookalike::Age),
        (b"-----BEGIN PGP MESSAGE-----\n", Lookalike::Gpg),
        (b"\x85\x01\x0c\x03\xff\xff", Lookalike::Gpg),
        (b"\x8c\x0d\x04\x09\x03\x02", Lookalike::Gpg),
        (b"\xc1\xc0\x4c\x03\xff", Lookalike::Gpg),
        (b"Salted__\x01\x02", Lookalike::OpenSsl),
        (b"U2FsdGVkX1+abc\n", Lookalike::OpenSsl),
        (b"UEdETVABDgAECAEB/w==\n", Lookalike::Base64),
        (&base64, Lookalike::Base64),
        (b"5047444d50010e00", Lookalike::Hex),
        (b"00000000: 5047 444d 5001 0e00 0408 01", Lookalike::Hex),
        (b"\xff\xfeP\0G\0D\0M\0P\0", Lookalike::Utf16),
        (b"P\0G\0D\0M\0P\0\x01\0", Lookalike::Utf16),
        (b"<!DOCTYPE html>\n<html>", Lookalike::Html),
        (b"{\"kind\":\"Status\"}", Lookalike::Json),
        (
            b"error: unable to upgrade connection: container not found\n",
            Lookalike::ErrorMessage,
        ),
        (
            b"Defaulted container \"a\" out of: a, b\ncommand terminated with exit code 1\n",
            Lookalike::ErrorMessage,
        ),
        (
            b"pg_dump: error: connection to server failed\n",
            Lookalike::ErrorMessage,
        ),
        (
            b"pg_dump dumps a database.\n\nUsage:\n  pg_dump [OPTION]...\n",
            Lookalike::Usage,
        ),
        (b"hello\n", Lookalike::Text),
        (b"PGDMX", Lookalike::Text),
        (b"PGDMX\x01\x0e", Lookalike::Unknown),
        (b"\xde\xad\xbe\xef", Lookalike::Unknown),
        (b"\x84\x05\x09", Lookalike::Unknown),
    ];
    for (file, expected) in files {
        assert_eq!(no_archive(file).lookalike, expected, "{expected}");
    }
}

#[test]
fn the_first_line_of_a_text_is_quoted_and_its_escapes_are_shown_not_obeyed() {
    let quoted = |file: &[u8]| no_archive(file).first_line;
    assert_eq!(
        quoted(b"\n\n  error: it\x1b[2J failed \nsecond\n").as_deref(),
        Some("error: it\u{1b}[2J failed")
    );
    let said = Archive::open(&b"error: it\x1b[2J failed\n"[..])
        .unwrap_err()
        .to_string();
    assert!(
        said.contains(r#"it begins with "error: it\u{1b}[2J failed""#),
        "{said}"
    );
    assert_eq!(
        quoted("ü".repeat(5000).as_bytes()).unwrap(),
        "ü".repeat(160)
    );
    assert_eq!(quoted(b"\x1f\x8b\x08\x00\n"), None);
    assert_eq!(quoted(b"UEdETVABDgAECAEB/w==\n"), None);
}

#[test]
fn the_toc_of_a_directory_dump_is_no_archive() {
    for format in [3, 5] {
        let mut toc = Dump::new(14, Compression::None);
        toc.format = format;
        assert_eq!(no_archive(&toc.to_bytes()).lookalike, Lookalike::TocOnly);
    }
}

/// What pg_restore might read all the same.
#[test]
fn what_is_too_new_or_too_large_is_not_judged() {
    let verdict = |file: &[u8]| {
        let error = Archive::open(file).unwrap_err();
        (error.verdict(), error.to_string())
    };
    for minor in [0, 11, 17, 255] {
        let dump = Dump::new(minor, Compression::None).to_bytes();
        let error = Archive::open(&*dump).unwrap_err();
        let expected = Version { major: 1, minor };
        assert!(matches!(error.kind(), ErrorKind::UnsupportedVersion(found) if *found == expected));
        let (verdict, said) = verdict(&dump);
        assert_eq!(verdict, Verdict::NotJudged);
        assert!(said.contains(&format!("version 1.{minor}, ")), "{said}");
    }
    let mut archive = Dump::new(16, Compression::None).to_bytes();
    archive[11] = 4;
    let (found, said) = verdict(&archive);
    assert_eq!(found, Verdict::NotJudged);
    assert!(said.contains("compression method 4"), "{said}");
    let mut tar = b"toc.dat".to_vec();
    tar.resize(257, 0);
    tar.extend(b"ustar\x0000");
    assert_eq!(verdict(&tar).0, Verdict::NotJudged);
    assert_eq!(verdict(b"error: no\n").0, Verdict::NoArchive);
    assert_eq!(verdict(b"PGDM").0, Verdict::Damaged);
}
