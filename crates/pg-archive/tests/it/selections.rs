//! Dumps of a part of a database, by real programs of every version on this machine.

use std::{fs::File, path::PathBuf};

use pg_archive::{Archive, Contents, ErrorKind, Lookalike, TableName, Verdict};

use crate::cluster::{self, Cluster};

/// How many large objects the database has, each an entry of its own before PostgreSQL 17.
const LARGE_OBJECTS: u64 = 20_000;

fn databases(sql: &str) -> impl Iterator<Item = Cluster> {
    cluster::servers().into_iter().map(move |server| {
        let cluster = Cluster::start(&server);
        cluster.sql(sql);
        cluster
    })
}

fn dump(cluster: &Cluster, format: &str, arguments: &[&str]) -> PathBuf {
    let path = cluster.path().join(format!("store.{format}"));
    cluster::run(
        cluster
            .command("pg_dump")
            .arg(format!("--format={format}"))
            .args(arguments)
            .arg("--file")
            .arg(&path),
    );
    path
}

fn contents(cluster: &Cluster, arguments: &[&str]) -> Contents {
    let archive = Archive::open(File::open(dump(cluster, "custom", arguments)).unwrap()).unwrap();
    archive.verify().unwrap()
}

fn names(tables: &[TableName]) -> Vec<String> {
    let qualified =
        |table: &TableName| format!("{}.{}", table.schema.as_deref().unwrap(), table.name);
    let mut names: Vec<_> = tables.iter().map(qualified).collect();
    names.sort_unstable();
    names
}

#[test]
fn tables_that_are_defined_without_their_data_are_named() {
    let sql = "CREATE TABLE kept (id int); INSERT INTO kept VALUES (1);
        CREATE TABLE empty (id int);
        CREATE SCHEMA other; CREATE TABLE other.left_out (id int); INSERT INTO other.left_out VALUES (1);
        CREATE TABLE parent (id int) PARTITION BY RANGE (id);
        CREATE TABLE child PARTITION OF parent FOR VALUES FROM (0) TO (10);
        CREATE UNLOGGED TABLE passing (id int);
        CREATE VIEW seen AS SELECT * FROM kept; CREATE MATERIALIZED VIEW stored AS SELECT * FROM kept;
        SELECT lo_from_bytea(0, 'abc');";
    for cluster in databases(sql) {
        let all = contents(&cluster, &[]);
        assert_eq!(all.tables_without_data, []);
        assert_eq!(
            (all.tables.len(), all.has_data(), all.defines_no_table),
            (5, true, false)
        );
        let left_out = |arguments: &[&str]| {
            let contents = contents(&cluster, arguments);
            assert!(contents.has_data());
            names(&contents.tables_without_data)
        };
        assert_eq!(
            left_out(&["--exclude-table-data=other.left_out"]),
            ["other.left_out"]
        );
        assert_eq!(left_out(&["--no-unlogged-table-data"]), ["public.passing"]);
        assert_eq!(
            left_out(&["--exclude-table-data=other.left_out", "--inserts"]),
            ["other.left_out"]
        );
        for arguments in [
            ["--table=kept"],
            ["--schema=public"],
            ["--exclude-table=kept"],
        ] {
            assert_eq!(left_out(&arguments), [""; 0], "{arguments:?}");
        }
        for arguments in [["--schema-only"], ["--section=pre-data"]] {
            let contents = contents(&cluster, &arguments);
            assert!(!contents.has_data());
            assert_eq!(
                names(&contents.tables_without_data),
                [
                    "other.left_out",
                    "public.child",
                    "public.empty",
                    "public.kept",
                    "public.passing"
                ]
            );
        }
        let post = contents(&cluster, &["--section=post-data"]);
        assert!(!post.has_data() && post.defines_no_table);
        for arguments in [["--data-only"], ["--section=data"]] {
            let contents = contents(&cluster, &arguments);
            assert!(
                contents.has_data() && contents.defines_no_table,
                "{arguments:?}"
            );
            assert_eq!(contents.tables_without_data, []);
        }
        let inserts = contents(&cluster, &["--inserts"]);
        assert!(inserts.tables.iter().all(|table| table.rows.is_none()));
    }
}

#[test]
fn the_tar_format_that_pg_restore_reads_is_not_judged() {
    for cluster in databases("CREATE TABLE kept (id int)") {
        let tar = dump(&cluster, "tar", &[]);
        cluster::run(cluster.command("pg_restore").arg("--list").arg(&tar));
        let error = Archive::open(File::open(tar).unwrap()).unwrap_err();
        assert_eq!(error.verdict(), Verdict::NotJudged);
        let plain = dump(&cluster, "plain", &[]);
        let error = Archive::open(File::open(plain).unwrap()).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::NotAnArchive(file) if file.lookalike == Lookalike::PlainSql),
            "{error}"
        );
        let toc = dump(&cluster, "directory", &[]).join("toc.dat");
        let error = Archive::open(File::open(toc).unwrap()).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::NotAnArchive(file) if file.lookalike == Lookalike::TocOnly),
            "{error}"
        );
    }
}

#[test]
fn any_number_of_large_objects_is_read() {
    let sql = format!(
        "CREATE TABLE kept (id int); CREATE TABLE left_out (id int);
        SELECT count(lo_from_bytea(0, 'abc')) FROM generate_series(1, {LARGE_OBJECTS})"
    );
    for cluster in databases(&sql) {
        let contents = contents(&cluster, &["--exclude-table-data=left_out"]);
        assert_eq!(contents.large_objects.count, LARGE_OBJECTS);
        assert_eq!(names(&contents.tables_without_data), ["public.left_out"]);
        assert_eq!(contents.after_end, None);
    }
}
