//! Files that are more or less than one archive: what this crate says of them, and what pg_restore does with them.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use pg_archive::{AfterEnd, Alteration, Archive, ArchiveError, Contents, Trailing, Verdict};

use crate::cluster::{self, Cluster};

fn verify(archive: &[u8]) -> Result<Contents, ArchiveError> {
    Archive::open(archive)?.verify()
}

/// A server with a small database, and what its programs do.
struct Database {
    cluster: Cluster,
    major: u32,
}

impl Database {
    fn all() -> impl Iterator<Item = Self> {
        cluster::servers().into_iter().map(|server| {
            let cluster = Cluster::start(&server);
            cluster.sql(include_str!("../fixtures/store.sql"));
            cluster.sql("ANALYZE");
            Self {
                cluster,
                major: server.major,
            }
        })
    }

    fn path(&self) -> PathBuf {
        self.cluster.path().join("store.dump")
    }

    fn pg_dump(&self, arguments: &[&str]) -> Command {
        let mut command = self.cluster.command("pg_dump");
        command.arg("--format=custom").args(arguments);
        command
    }

    /// A dump by `--file`.
    fn to_file(&self, arguments: &[&str]) -> Vec<u8> {
        cluster::run(self.pg_dump(arguments).arg("--file").arg(self.path()));
        fs::read(self.path()).unwrap()
    }

    /// A dump by `>`, or by `>>` onto what there is.
    fn to_standard_output(&self, arguments: &[&str], before: Option<&[u8]>) -> Vec<u8> {
        fs::write(self.path(), before.unwrap_or_default()).unwrap();
        let file = match before {
            Some(_) => File::options().append(true).open(self.path()),
            None => File::create(self.path()),
        };
        let status = self
            .pg_dump(arguments)
            .stdout(file.unwrap())
            .status()
            .unwrap();
        assert!(status.success());
        fs::read(self.path()).unwrap()
    }

    fn to_pipe(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self
            .pg_dump(arguments)
            .stdout(Stdio::piped())
            .output()
            .unwrap();
        assert!(output.status.success());
        output.stdout
    }

    fn pg_restore(&self, file: &[u8]) -> Output {
        fs::write(self.path(), file).unwrap();
        self.cluster
            .command("pg_restore")
            .arg("--file=-")
            .arg(self.path())
            .output()
            .unwrap()
    }

    /// The SQL that pg_restore makes of an archive, without the words that differ from time to time.
    fn restored(&self, file: &[u8]) -> String {
        let output = self.pg_restore(file);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", self.major);
        let script = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = script
            .lines()
            .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
            .collect();
        lines.join("\n")
    }

    /// Asserts that pg_restore does not restore all, although it may say that it did.
    fn assert_lost(&self, file: &[u8], script: &str) {
        let output = self.pg_restore(file);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() || self.restored(file) != script,
            "{}: {said}",
            self.major
        );
    }

    fn assert_not_restored(&self, file: &[u8]) {
        let output = self.pg_restore(file);
        assert!(!output.status.success(), "{}", self.major);
    }
}

#[test]
fn a_dump_is_intact_however_it_was_written() {
    for database in Database::all() {
        let mut options: Vec<&[&str]> = vec![&[], &["--compress=0"]];
        if database.major >= 18 {
            options.push(&["--statistics"]);
        }
        for arguments in options {
            let file = database.to_file(arguments);
            let expected = verify(&file).unwrap();
            assert_eq!(expected.tables.len(), 5);
            let script = database.restored(&file);
            let redirected = database.to_standard_output(arguments, None);
            let appended = database.to_standard_output(arguments, Some(b""));
            let piped = database.to_pipe(arguments);
            // What this is about happens.
            assert!(appended.len() > file.len());
            assert_eq!(redirected.len() > file.len(), database.major >= 16);
            for (way, dump) in [(">", redirected), (">>", appended), ("|", piped)] {
                let contents = verify(&dump)
                    .unwrap_or_else(|error| panic!("{way} of {}: {error}", database.major));
                assert_eq!(contents.after_end, None, "{way} of {}", database.major);
                assert_eq!(contents.archive_bytes, dump.len() as u64);
                assert_eq!(contents.tables, expected.tables);
                assert_eq!(database.restored(&dump), script);
            }
        }
    }
}

#[test]
fn a_second_table_of_contents_that_is_cut_or_changed_is_reported_and_nothing_is_missing() {
    for database in Database::all() {
        let blocks_end = database.to_pipe(&[]).len();
        let dump = database.to_standard_output(&[], Some(b""));
        let script = database.restored(&dump);
        let second = dump.len() - blocks_end;
        for bytes in [6, 100, second / 2, second - 1] {
            let cut = &dump[..blocks_end + bytes];
            assert_eq!(
                verify(cut).unwrap().after_end,
                Some(AfterEnd::CutTableOfContents {
                    offset: blocks_end as u64,
                    bytes: bytes as u64
                }),
                "{}: {bytes} of {second}",
                database.major
            );
            assert_eq!(database.restored(cut), script);
        }
        assert_eq!(verify(&dump[..blocks_end]).unwrap().after_end, None);
        let mut changed = dump.clone();
        let name = dump[blocks_end..]
            .windows(9)
            .position(|window| window == b"workspace")
            .unwrap();
        changed[blocks_end + name] = b'W';
        assert!(matches!(
            verify(&changed).unwrap().after_end,
            Some(AfterEnd::Bytes { bytes, .. }) if bytes == second as u64
        ));
        assert_eq!(database.restored(&changed), script);
        let followed = [&*dump, b"\n"].concat();
        assert_eq!(
            verify(&followed).unwrap().after_end,
            Some(AfterEnd::Bytes {
                offset: dump.len() as u64,
                bytes: 1,
                what: Trailing::Blanks
            })
        );
    }
}

#[test]
fn bytes_after_an_archive_are_reported_and_do_no_harm() {
    for database in Database::all() {
        let dump = database.to_file(&[]);
        let script = database.restored(&dump);
        for (after, expected) in [
            (&b"\n"[..], Trailing::Blanks),
            (b"\r\n", Trailing::Blanks),
            (&[0; 512], Trailing::Nuls),
            (
                b"command terminated with exit code 1\n",
                Trailing::Text("command terminated with exit code 1".to_owned()),
            ),
            (b"\xff\x01\x02", Trailing::Other),
        ] {
            let file = [&*dump, after].concat();
            assert_eq!(
                verify(&file).unwrap().after_end,
                Some(AfterEnd::Bytes {
                    offset: dump.len() as u64,
                    bytes: after.len() as u64,
                    what: expected
                })
            );
            assert_eq!(database.restored(&file), script);
        }
    }
}

#[test]
fn of_two_dumps_in_one_file_pg_restore_takes_the_first() {
    for database in Database::all() {
        let first = database.to_standard_output(&[], None);
        let script = database.restored(&first);
        database.cluster.sql("INSERT INTO tenant VALUES ('new')");
        for (between, dump) in [
            (0, database.to_standard_output(&[], Some(&first))),
            (7, [&*first, b"-- two\n", &database.to_pipe(&[])].concat()),
        ] {
            let begin = first.len() + between;
            assert_eq!(
                verify(&dump).unwrap().after_end,
                Some(AfterEnd::AnotherArchive {
                    offset: begin as u64
                })
            );
            assert_eq!(database.restored(&dump), script);
            // Both can be had from the file.
            for part in [&dump[..first.len()], &dump[begin..]] {
                assert_eq!(verify(part).unwrap().after_end, None);
            }
            assert!(database.restored(&dump[begin..]).contains("\nnew\t"));
        }
    }
}

#[test]
fn what_is_in_front_of_an_archive_can_be_cut() {
    let notice = "Defaulted container \"postgres\" out of: postgres, \u{1b}[1mother\n";
    for database in Database::all() {
        let dumps = [
            [notice.as_bytes(), &database.to_pipe(&[])].concat(),
            [notice.as_bytes(), &database.to_file(&[])].concat(),
            database.to_standard_output(&[], Some(notice.as_bytes())),
            [&b"\xef\xbb\xbf"[..], &database.to_file(&[])].concat(),
        ];
        for dump in dumps {
            database.assert_not_restored(&dump);
            let error = verify(&dump).unwrap_err();
            assert_eq!(error.verdict(), Verdict::Damaged);
            let bytes = usize::try_from(error.bytes_to_cut().unwrap()).unwrap();
            assert_eq!(verify(&dump[bytes..]).unwrap().after_end, None);
            database.restored(&dump[bytes..]);
        }
        let broken = [notice.as_bytes(), &database.to_pipe(&[])[..3000]].concat();
        let error = verify(&broken).unwrap_err();
        assert_eq!(
            (error.verdict(), error.bytes_to_cut()),
            (Verdict::Damaged, None)
        );
        let said = error.to_string();
        assert!(
            said.contains("in front of the archive") && said.contains("truncated"),
            "{said}"
        );
        assert!(
            said.contains(r#""Defaulted container \"postgres\" out of: postgres, \u{1b}[1mother""#),
            "{said}"
        );
    }
}

fn replaced(bytes: &[u8], change: impl Fn(u8) -> Vec<u8>) -> Vec<u8> {
    bytes.iter().flat_map(|&byte| change(byte)).collect()
}

#[test]
fn what_was_done_to_the_whole_file_is_reported_in_place_of_where_it_first_shows() {
    for database in Database::all() {
        for arguments in [&["--compress=0"][..], &["--compress=6"]] {
            let dump = database.to_pipe(arguments);
            let script = database.restored(&dump);
            let crlf = replaced(&dump, |byte| match byte {
                b'\n' => b"\r\n".to_vec(),
                byte => vec![byte],
            });
            let latin1 = dump.iter().copied().map(char::from).collect::<String>();
            let mut blank = dump.clone();
            let end = blank.len() + 4096;
            blank.truncate(dump.len() - 1000);
            blank.resize(end, 0);
            for (file, expected) in [
                (crlf.clone(), Alteration::CarriageReturns),
                (
                    String::from_utf8_lossy(&dump).into_owned().into_bytes(),
                    Alteration::DecodedAsUtf8,
                ),
                (latin1.clone().into_bytes(), Alteration::Latin1ToUtf8),
                (
                    replaced(&dump, |byte| if byte == 0 { vec![] } else { vec![byte] }),
                    Alteration::NulsRemoved,
                ),
                (blank, Alteration::Blank),
            ] {
                // In an uncompressed dump there may be hardly a byte that is not ASCII.
                let few = dump.iter().filter(|byte| !byte.is_ascii()).count() < 200;
                if few
                    && matches!(
                        expected,
                        Alteration::DecodedAsUtf8 | Alteration::Latin1ToUtf8
                    )
                {
                    continue;
                }
                database.assert_lost(&file, &script);
                let error = verify(&file).unwrap_err();
                assert_eq!(error.alteration(), Some(expected), "{arguments:?}: {error}");
                assert_eq!(error.verdict(), Verdict::Damaged);
                assert!(error.to_string().starts_with(&expected.to_string()));
                let behind_a_notice = [&b"a notice\n"[..], &file].concat();
                let error = verify(&behind_a_notice).unwrap_err();
                assert!(error.to_string().contains(&expected.to_string()), "{error}");
            }
            // What is said to undo it does.
            let without_returns: Vec<_> = crlf
                .split_inclusive(|&byte| byte == b'\n')
                .map(|line| match line {
                    [line @ .., b'\r', b'\n'] => [line, b"\n"].concat(),
                    line => line.to_vec(),
                })
                .collect();
            for undone in [replaced_back(&latin1), without_returns.concat()] {
                assert_eq!(database.restored(&undone), script);
            }
        }
    }
}

/// What `iconv -f UTF-8 -t ISO-8859-1` does.
fn replaced_back(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect()
}

#[test]
fn a_small_damage_is_not_blamed_on_the_whole_file() {
    for database in Database::all() {
        for arguments in [&["--compress=0"][..], &["--compress=6"]] {
            let dump = database.to_file(arguments);
            for cut in (0..dump.len()).step_by(89) {
                let error = verify(&dump[..cut]).unwrap_err();
                assert_eq!(error.alteration(), None, "{cut}: {error}");
            }
            for position in (11..dump.len()).step_by(61) {
                let mut changed = dump.clone();
                changed[position] ^= 0x41;
                if let Err(error) = verify(&changed) {
                    assert_eq!(error.alteration(), None, "{position}: {error}");
                }
            }
        }
    }
}
