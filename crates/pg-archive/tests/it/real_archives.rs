//! Archives that real pg_dumps wrote.

use pg_archive::{
    Archive, ArchiveError, Compression, Contents, ErrorKind, Field, Row, TocEntry, Version, Visitor,
};

use crate::{fixtures, listing};

fn open(name: &str) -> Archive<std::io::Cursor<Vec<u8>>> {
    Archive::open(std::io::Cursor::new(fixtures::load(name))).unwrap()
}

fn verify(name: &str) -> Contents {
    open(name)
        .verify()
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn text(row: &Row, column: &str) -> Option<String> {
    row.get(column)
        .expect("the table has the column")
        .to_text()
        .map(Into::into)
}

#[test]
fn archives_of_every_version_and_compression_have_the_same_contents() {
    for name in fixtures::STORE {
        let contents = verify(name);
        let mut rows: Vec<_> = contents
            .tables
            .iter()
            .map(|table| {
                (
                    table.schema.as_deref().unwrap(),
                    &*table.name,
                    table.rows.unwrap(),
                )
            })
            .collect();
        rows.sort_unstable();
        assert_eq!(
            rows,
            [
                ("other", "tenant", 2),
                ("public", "empty_table", 0),
                ("public", "no_columns", 1),
                ("public", "tenant", 3),
                ("public", "workspace", 20),
            ],
            "{name}"
        );
        let large = contents.large_objects;
        assert_eq!((large.count, large.bytes), (3, 504), "{name}");
        assert_eq!(
            contents.archive_bytes,
            fixtures::load(name).len() as u64,
            "{name}"
        );
    }
}

#[test]
fn the_header_names_version_compression_and_database() {
    let expected = [
        ("pg15-none", 14, Compression::None, "15.18"),
        ("pg15-gzip", 14, Compression::Gzip, "15.18"),
        ("pg16-none", 15, Compression::None, "16.2"),
        ("pg16-gzip", 15, Compression::Gzip, "16.2"),
        ("pg17-lz4", 16, Compression::Lz4, "17.11"),
        ("pg17-zstd", 16, Compression::Zstd, "17.11"),
    ];
    for (name, minor, compression, pg_dump) in expected {
        let archive = open(name);
        let header = archive.header();
        assert_eq!(header.version, Version { major: 1, minor }, "{name}");
        assert_eq!(header.compression, compression, "{name}");
        assert_eq!(header.database.as_deref(), Some("store"), "{name}");
        assert!(
            header
                .server_version
                .as_ref()
                .unwrap()
                .starts_with("15.18 (Debian"),
            "{name}"
        );
        assert!(
            header
                .pg_dump_version
                .as_ref()
                .unwrap()
                .starts_with(pg_dump),
            "{name}"
        );
        assert_eq!(
            header.created.to_string()[..14],
            *"2026-11-22 21:",
            "{name}"
        );
    }
}

#[test]
fn entries_are_those_that_pg_restore_listed() {
    for name in ["pg16-gzip", "pg17-zstd"] {
        listing::assert_listed(&open(name), &fixtures::load_list(name));
    }
}

#[test]
fn a_dump_to_a_pipe_has_no_offsets_and_a_dump_to_a_file_has_all() {
    let recorded = |name| {
        open(name)
            .entries()
            .iter()
            .filter(|entry| entry.has_data)
            .map(|entry| entry.data_offset.is_some())
            .collect::<Vec<_>>()
    };
    assert_eq!(recorded("pg15-gzip"), [true; 6]);
    assert_eq!(recorded("pg15-gzip-piped"), [false; 6]);
}

#[test]
fn a_dump_to_a_redirected_standard_output_has_its_offsets_after_the_blocks() {
    for name in ["pg16-redirected", "pg18-statistics-redirected"] {
        let offsets = open(name)
            .entries()
            .iter()
            .filter(|entry| entry.has_data)
            .map(|entry| entry.data_offset)
            .collect::<Vec<_>>();
        assert_eq!(offsets, [None; 6], "{name}");
        let contents = verify(name);
        assert_eq!(contents.after_end, None, "{name}");
        assert_eq!(contents.archive_bytes, fixtures::load(name).len() as u64);
        assert_eq!(contents.tables.len(), 5);
    }
}

#[test]
fn rows_have_names_nulls_and_decoded_escapes() {
    for name in fixtures::STORE {
        let rows: Vec<_> = open(name)
            .rows(Some("public"), "tenant")
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(
            rows[0].columns(),
            ["tenant_id", "name", "region", "deleted", "config"],
            "{name}"
        );
        let ids: Vec<_> = rows.iter().map(|row| text(row, "tenant_id")).collect();
        assert_eq!(ids, ["t-1", "t-2", "t-3"].map(|id| Some(id.to_owned())));
        assert_eq!(
            text(&rows[1], "name").as_deref(),
            Some("tab\there\nline\\two")
        );
        assert_eq!(rows[1].get("deleted"), Some(Field::Null));
        assert_eq!(rows[2].get("name"), Some(Field::Value(b"")));
        assert_eq!(rows[0].get("no such column"), None);

        let notes: Vec<_> = open(name)
            .rows(Some("other"), "tenant")
            .unwrap()
            .map(|row| text(&row.unwrap(), "note"))
            .collect();
        assert_eq!(
            notes,
            [Some("\\.".to_owned()), Some("\u{8}\u{c}\u{b}\r".to_owned())]
        );
    }
}

#[test]
fn tables_without_rows_or_columns_can_be_read() {
    let mut empty = open("pg17-zstd").rows(None, "empty_table").unwrap();
    assert_eq!(empty.columns(), ["a", "Odd \"Name\""]);
    assert!(empty.next().is_none());
    let rows: Vec<_> = open("pg15-none")
        .rows(None, "no_columns")
        .unwrap()
        .collect();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].as_ref().unwrap().fields().len(), 0);
}

#[test]
fn a_table_that_is_missing_or_in_two_schemas_is_named() {
    let error = |schema, table| {
        open("pg15-gzip")
            .rows(schema, table)
            .unwrap_err()
            .to_string()
    };
    let missing = error(Some("other"), "workspace");
    assert!(
        missing.contains("no data of a table other.workspace"),
        "{missing}"
    );
    let ambiguous = error(None, "tenant");
    assert!(ambiguous.contains("table tenant: "), "{ambiguous}");
    assert!(
        ambiguous.contains("public") && ambiguous.contains("other"),
        "{ambiguous}"
    );
}

#[derive(Default)]
struct Tenants {
    names: Vec<Option<String>>,
    asked: Vec<String>,
    large: usize,
}

impl Visitor for Tenants {
    fn wants(&mut self, table: &TocEntry) -> bool {
        self.asked.push(table.tag.clone());
        table.schema.as_deref() == Some("public") && table.tag == "tenant"
    }

    fn row(&mut self, _: &TocEntry, row: &Row) {
        self.names.push(text(row, "name"));
    }

    fn large_row(&mut self, _: &TocEntry) {
        self.large += 1;
    }
}

#[test]
fn a_visitor_gets_the_rows_it_wants_while_everything_is_verified() {
    for name in fixtures::STORE {
        let mut tenants = Tenants::default();
        let contents = open(name).verify_with(&mut tenants).unwrap();
        assert_eq!(contents, verify(name));
        assert_eq!(
            tenants.names,
            ["Support bot", "tab\there\nline\\two", ""].map(|name| Some(name.to_owned()))
        );
        assert_eq!(tenants.asked.len(), 5);
    }
}

#[test]
fn a_row_above_the_limit_is_no_fault_of_the_archive() {
    let too_large = |error: ArchiveError| {
        assert!(
            matches!(
                error.kind(),
                ErrorKind::TooLarge {
                    what: "a row",
                    limit_bytes: 20
                }
            ),
            "{error}"
        );
    };
    let limited = || open("pg17-gzip").with_row_limit(20);
    let contents = limited().verify().unwrap();
    // It is passed over, and counted as it is when nobody asks.
    let mut tenants = Tenants::default();
    assert_eq!(limited().verify_with(&mut tenants).unwrap(), contents);
    assert_eq!((tenants.names.len(), tenants.large), (0, 3));
    let mut rows = limited().rows(None, "workspace").unwrap();
    too_large(rows.next().unwrap().unwrap_err());
    assert!(rows.next().is_none());
}
