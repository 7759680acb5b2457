//! Against the installed pg_dump and pg_restore, and a real server.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    process::Stdio,
};

use local_postgres::Server;
use pg_archive::{Archive, Compression, Contents, ErrorKind, Row, TocEntry, Visitor};

use crate::{
    cluster::{self, Cluster},
    listing,
    writer::{self, Dump},
};

const SCHEMAS: usize = 20;
const LARGE_ROW_BYTES: usize = 24 * 1024 * 1024;

/// A database with everything that can be special about data.
fn database(server: &Server) -> Cluster {
    let cluster = Cluster::start(server);
    let mut sql = String::from(
        r#"CREATE TABLE plain (id int PRIMARY KEY, body text);
        INSERT INTO plain SELECT g, repeat(md5(g::text), 20) FROM generate_series(1, 3000) g;
        CREATE TABLE empty (id int);
        CREATE TABLE columnless ();
        INSERT INTO columnless SELECT FROM generate_series(1, 7);
        CREATE TABLE "Odd, (""name"").x" ("a,b" int, "c)d" text, "e ""f""" text);
        INSERT INTO "Odd, (""name"").x" VALUES (1, NULL, 'x'), (2, '', NULL);
        CREATE TABLE escapes (id int, body text);
        INSERT INTO escapes SELECT g, 'a' || chr(g) || 'b' FROM generate_series(1, 300) g;
        INSERT INTO escapes VALUES (1001, E'\\N'), (1002, NULL), (1003, ''), (1004, E'\\.'), (1005, E'\\\n\t\\x41');
        CREATE TABLE generated (id int, twice int GENERATED ALWAYS AS (id * 2) STORED);
        INSERT INTO generated VALUES (21);
        CREATE TABLE parent (id int) PARTITION BY RANGE (id);
        CREATE TABLE child PARTITION OF parent FOR VALUES FROM (0) TO (10);
        INSERT INTO parent VALUES (1), (2);
        CREATE SEQUENCE counter; SELECT nextval('counter');
        CREATE MATERIALIZED VIEW seen AS SELECT id FROM plain;
        SELECT lo_from_bytea(70001, ''), lo_from_bytea(70002, decode(repeat('00ff', 100000), 'hex')),
               lo_from_bytea(4000000000, 'abc');"#,
    );
    write!(
        sql,
        "CREATE TABLE large (id int, body text);
        INSERT INTO large VALUES (1, 'small'), (2, repeat('x', {LARGE_ROW_BYTES})), (3, 'small');"
    )
    .unwrap();
    for schema in 0..SCHEMAS {
        write!(
            sql,
            "CREATE SCHEMA s{schema}; CREATE TABLE s{schema}.plain (id int);
            INSERT INTO s{schema}.plain SELECT generate_series(1, {schema});"
        )
        .unwrap();
    }
    cluster.sql(&sql);
    cluster
}

fn dump_to_file(cluster: &Cluster, arguments: &[&str]) -> File {
    let path = cluster.path().join("store.dump");
    cluster::run(
        cluster
            .command("pg_dump")
            .args(["--format=custom", "--file"])
            .arg(&path)
            .args(arguments),
    );
    File::open(path).unwrap()
}

/// `SELECT count(*)` of every table.
fn counts(cluster: &Cluster, contents: &Contents) -> BTreeMap<(String, String), u64> {
    let names = cluster.sql(
        "SELECT schemaname, tablename, quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
        WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND tablename <> 'parent'",
    );
    let tables: Vec<_> = names
        .lines()
        .map(|line| line.split('|').collect::<Vec<_>>())
        .collect();
    assert_eq!(tables.len(), contents.tables.len());
    let count = |table: &str| format!("SELECT count(*) FROM {table}");
    let union: Vec<_> = tables.iter().map(|table| count(table[2])).collect();
    let counted = cluster.sql(&union.join(" UNION ALL "));
    tables
        .iter()
        .zip(counted.lines())
        .map(|(table, rows)| ((table[0].into(), table[1].into()), rows.parse().unwrap()))
        .collect()
}

fn counted(contents: &Contents) -> BTreeMap<(String, String), u64> {
    contents
        .tables
        .iter()
        .map(|table| {
            (
                (table.schema.clone().unwrap(), table.name.clone()),
                table.rows.unwrap(),
            )
        })
        .collect()
}

/// COPY rows of one table as psql prints them, fields apart by `|`.
struct Printed(String, &'static str);

impl Visitor for Printed {
    fn wants(&mut self, table: &TocEntry) -> bool {
        table.tag == self.1
    }

    fn row(&mut self, _: &TocEntry, row: &Row) {
        let fields: Vec<_> = row
            .fields()
            .map(|field| field.to_text().unwrap_or("NULL".into()))
            .collect();
        writeln!(self.0, "{}", fields.join("|")).unwrap();
    }
}

#[test]
fn every_kind_of_dump_has_the_rows_that_the_server_has() {
    let cluster = database(&cluster::newest());
    let mut expected = None;
    for level in 0..=9 {
        let mut printed = Printed(String::new(), "escapes");
        let file = dump_to_file(&cluster, &[&format!("--compress={level}")]);
        let contents = Archive::open(&file)
            .unwrap()
            .verify_with(&mut printed)
            .unwrap();
        let expected = expected.get_or_insert_with(|| counts(&cluster, &contents));
        assert_eq!(contents.header.compression == Compression::None, level == 0);
        assert_eq!(&counted(&contents), expected, "-Z {level}");
        assert_eq!(
            (contents.large_objects.count, contents.large_objects.bytes),
            (3, 200_003)
        );
        assert_eq!(contents.archive_bytes, file.metadata().unwrap().len());
        let selected = cluster.sql("SELECT id, coalesce(body, 'NULL') FROM escapes");
        assert_eq!(printed.0, selected, "-Z {level}");
    }
}

#[test]
fn a_dump_through_a_pipe_is_read_while_it_is_written() {
    let cluster = database(&cluster::newest());
    for level in ["0", "6"] {
        let mut pg_dump = cluster
            .command("pg_dump")
            .args(["--format=custom", "--compress", level])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let archive = Archive::open(pg_dump.stdout.take().unwrap()).unwrap();
        assert!(
            archive
                .entries()
                .iter()
                .all(|entry| entry.data_offset.is_none())
        );
        let contents = archive.verify().unwrap();
        assert!(pg_dump.wait().unwrap().success());
        assert_eq!(counted(&contents), counts(&cluster, &contents));
    }
}

#[test]
fn every_version_and_compression_has_the_list_of_its_pg_restore_and_the_rows_of_its_server() {
    for server in cluster::servers() {
        let cluster = database(&server);
        for (method, compression) in [
            ("0", Compression::None),
            ("6", Compression::Gzip),
            ("lz4", Compression::Lz4),
            ("zstd", Compression::Zstd),
        ] {
            let case = format!("PostgreSQL {} with {method}", server.major);
            if server.major < 16 && !method.starts_with(|c: char| c.is_ascii_digit()) {
                // Came with 16.
                continue;
            }
            let compress = format!("--compress={method}");
            if !builds_with(&cluster, &compress) {
                println!("skipped: {case} is not installed");
                continue;
            }
            dump_to_file(&cluster, &[&compress]);
            let path = cluster.path().join("store.dump");
            let list = cluster::run(
                cluster
                    .command("pg_restore")
                    .args(["--list", "--create"])
                    .arg(&path),
            );
            let archive = Archive::open(File::open(path).unwrap()).unwrap();
            assert_eq!(archive.header().compression, compression, "{case}");
            listing::assert_listed(&archive, &list);
            let contents = archive.verify().unwrap();
            assert_eq!(counted(&contents), counts(&cluster, &contents), "{case}");
        }
    }
}

/// Whether its pg_dump was built with that method.
fn builds_with(cluster: &Cluster, compress: &str) -> bool {
    let output = cluster
        .command("pg_dump")
        .args(["--format=custom", "--schema-only", compress])
        .output()
        .unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    !complaint.contains("this build does not support compression")
}

#[test]
fn rows_of_any_length_are_read_up_to_the_limit() {
    let cluster = database(&cluster::newest());
    let file = || dump_to_file(&cluster, &["--table=large"]);
    let rows: Vec<_> = Archive::open(file())
        .unwrap()
        .with_row_limit(LARGE_ROW_BYTES + 10)
        .rows(None, "large")
        .unwrap()
        .map(|row| row.unwrap().get("body").unwrap().as_bytes().unwrap().len())
        .collect();
    assert_eq!(rows, [5, LARGE_ROW_BYTES, 5]);
    let mut rows = Archive::open(file()).unwrap().rows(None, "large").unwrap();
    assert!(rows.next().unwrap().is_ok());
    let error = rows.next().unwrap().unwrap_err().to_string();
    assert!(error.contains("a row is larger than the limit"), "{error}");
}

#[test]
fn dumps_without_copy_data_are_verified() {
    let cluster = database(&cluster::newest());
    let schema_only = Archive::open(dump_to_file(&cluster, &["--schema-only"]))
        .unwrap()
        .verify()
        .unwrap();
    assert!(schema_only.tables.is_empty());
    let inserts = Archive::open(dump_to_file(&cluster, &["--inserts", "--table=plain"]))
        .unwrap()
        .verify()
        .unwrap();
    assert_eq!(inserts.tables[0].rows, None);
    assert!(inserts.tables[0].bytes > 0);
    let error = Archive::open(dump_to_file(&cluster, &["--inserts", "--table=plain"]))
        .unwrap()
        .rows(Some("public"), "plain")
        .unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NoCopyData(_)), "{error}");
}

/// The writer of the other tests, held against `pg_restore`; it stands in for the pg_dumps of 1.12 and 1.13.
#[test]
fn pg_restore_reads_what_the_test_writer_writes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.dump");
    for (minor, compression) in [
        (12, Compression::Gzip),
        (13, Compression::None),
        (14, Compression::Gzip),
    ] {
        let rows = [
            vec![Some("1".to_owned()), None],
            vec![Some("2".to_owned()), Some("a\tb".to_owned())],
        ];
        let data = writer::copy_data(&rows);
        let dump = Dump::new(minor, compression)
            .table("tenant", &["id", "name"], &data)
            .large_objects(&[(7, b"abc")]);
        fs::write(&path, dump.to_bytes()).unwrap();
        let pg_restore = cluster::newest().program("pg_restore");
        let script = cluster::run(
            std::process::Command::new(pg_restore)
                .args(["--data-only", "--file=-"])
                .arg(&path),
        );
        let data = String::from_utf8(data).unwrap();
        assert!(
            script.contains(&format!(
                "COPY public.tenant (id, name) FROM stdin;\n{data}"
            )),
            "{script}"
        );
        assert!(script.contains("lo_open('7'"), "{script}");
    }
}
