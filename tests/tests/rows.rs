//! What stands in a backup: rows read without PostgreSQL, as PostgreSQL gives them, and what differs between two.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use end_to_end::{World, run};
use serde_json::{Value, json};

/// Every escape of COPY's text format, NULL beside the empty text, quotes, ends of lines, and a value of 20 MB.
const TABLE: &str = r#"
create schema "odd.one";
create table "odd.one"."a ""table""" (id int primary key, "the text" text, other text);
insert into "odd.one"."a ""table""" values
  (1, null, ''),
  (2, E'\b\f\n\r\t\v\\', E'\\N'),
  (3, 'a,b', 'say "hello"'),
  (4, E'\x01\x7f', 'ünï – 漢字'),
  (5, ' blanks ', E'\\.'),
  (6, repeat('0123456789', 2000000), 'long'),
  (7, E'carriage\rreturn', E'new\nline');
create table "odd.one".alone (it text);
insert into "odd.one".alone values (E'\\.'), (''), (null), ('plain');
"#;

/// Runs SQL in the store database, or in one of these tests.
fn sql(world: &World, script: &str, arguments: &[&str]) -> Vec<u8> {
    let scratch = world.scratch();
    let file = scratch.path().join("script.sql");
    fs::write(&file, script).unwrap();
    let output = world
        .psql_command()
        .args(["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1"])
        .args(arguments)
        .arg("--file")
        .arg(&file)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

/// A backup into a directory of that name.
#[track_caller]
fn back_up(world: &World, directory: &Path, name: &str) -> std::path::PathBuf {
    let arguments = ["create", "--to", name];
    world.backup(directory, &arguments).expect_code(0);
    world.only_set(&directory.join(name))
}

fn inspect(world: &World, set: &Path, arguments: &[&str]) -> Vec<u8> {
    let mut command: Command = world.backup_command(set, &["inspect", "."]);
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn rows_are_as_postgresql_gives_them() {
    let world = World::shared();
    sql(&world, TABLE, &[]);
    let scratch = world.scratch();
    let set = back_up(&world, scratch.path(), "sets");
    for (table, quoted) in [
        (r#"odd.one.a "table""#, r#""odd.one"."a ""table""""#),
        ("alone", r#""odd.one".alone"#),
    ] {
        // The name alone where it is the only one, and with its schema, which has a dot here.
        let name = table.strip_prefix("odd.one.").unwrap_or(table);
        let copy = format!("copy (select * from {quoted}) to stdout (format csv, header)");
        let ours = inspect(&world, &set, &["--rows", name, "-o", "csv"]);
        assert!(ours == sql(&world, &copy, &[]), "{table} differs");
        assert!(ours == inspect(&world, &set, &["--rows", name]));

        let array = format!(
            "select coalesce(json_agg(row_to_json(one_row)), '[]') from (select * from {quoted}) as one_row"
        );
        let theirs: Value =
            serde_json::from_slice(&sql(&world, &array, &["--no-align", "--tuples-only"])).unwrap();
        let ours: Value =
            serde_json::from_slice(&inspect(&world, &set, &["--rows", name, "-o", "json"]))
                .unwrap();
        assert!(ours == as_text(theirs), "{table} differs");
    }

    let where_ = |condition: &str| {
        let rows = inspect(
            &world,
            &set,
            &["--rows", r#"a "table""#, "--where", condition, "-o", "json"],
        );
        let rows: Vec<Value> = serde_json::from_slice(&rows).unwrap();
        rows.iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(where_("the text=\\N"), ["1"]);
    assert_eq!(where_("other="), ["1"]);
    assert_eq!(where_("other=long"), ["6"]);
    assert_eq!(where_("other=short"), Vec::<String>::new());
    sql(&world, r#"drop schema "odd.one" cascade"#, &[]);
}

/// Numbers as PostgreSQL prints them.
fn as_text(rows: Value) -> Value {
    let text = |value: Value| match value {
        Value::Number(number) => json!(number.to_string()),
        other => other,
    };
    let row = |row: Value| match row {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| (name, text(value)))
                .collect(),
        ),
        other => other,
    };
    match rows {
        Value::Array(rows) => rows.into_iter().map(row).collect(),
        other => other,
    }
}

#[test]
fn what_cannot_be_printed_as_rows_is_refused_before_anything_is_printed() {
    let world = World::shared();
    let scratch = world.scratch();
    let set = back_up(&world, scratch.path(), "sets");
    let dump = set.join("store.dump");
    let refused = |arguments: &[&str], code: i32, parts: &[&str]| {
        let outcome = run(&mut world.backup_command(scratch.path(), arguments));
        let outcome = outcome.expect_code(code).expect_error(parts);
        assert_eq!(outcome.stdout, "");
    };
    let set = set.display().to_string();
    refused(&["inspect", &set, "--rows", "absent"], 1, &["absent"]);
    refused(
        &["inspect", &set, "--rows", "tenant", "--where", "absent=1"],
        1,
        &["has no column absent", "tenant_id"],
    );
    refused(
        &["inspect", &set, &set, "--rows", "tenant"],
        1,
        &["one backup"],
    );
    refused(
        &[
            "inspect", &set, "--rows", "tenant", "-o", "wide", "--where", "x",
        ],
        1,
        &["COLUMN=VALUE"],
    );
    refused(&["list", "-o", "csv"], 1, &["--rows TABLE"]);
    let mut bytes = fs::read(&dump).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&dump, bytes).unwrap();
    refused(
        &["inspect", &set, "--rows", "tenant"],
        3,
        &["not an intact"],
    );
}

#[test]
fn what_came_or_went_between_two_backups_is_reported() {
    let world = World::shared();
    let scratch = world.scratch();
    sql(
        &world,
        "create table came_and_went (id int); insert into came_and_went values (1), (2)",
        &[],
    );
    let old = back_up(&world, scratch.path(), "wa-backups");
    let gone = sql(
        &world,
        "begin;
         create temp table kept as select * from tenant;
         select tenant_id from tenant order by tenant_id limit 1;",
        &["--no-align", "--tuples-only"],
    );
    let gone = String::from_utf8(gone).unwrap().trim().to_owned();
    sql(
        &world,
        &format!(
            "create table kept as select * from tenant where tenant_id = '{gone}';
             delete from tenant where tenant_id = '{gone}';
             delete from came_and_went where id = 1;"
        ),
        &[],
    );
    let live = diff_to_live(&world, scratch.path(), &old);
    let new = back_up(&world, scratch.path(), "new");
    sql(
        &world,
        "insert into tenant select * from kept; drop table kept; drop table came_and_went",
        &[],
    );
    let [old, new] = [old, new].map(|set| set.display().to_string());
    let diff = |arguments: &[&str]| {
        let arguments = [&["diff"], arguments].concat();
        world.backup(scratch.path(), &arguments).expect_code(0)
    };

    let found = diff(&[&old, &new, "-o", "json"]).json();
    // What the dump will say, the database says before.
    for list in ["instances", "tables"] {
        assert_eq!(live[list], found[list]);
    }
    let change = |list: &str, key: &str, value: &str| {
        let changes = found[list].as_array().unwrap();
        let found = changes.iter().find(|change| change[key] == value);
        found.unwrap_or(&Value::Null).clone()
    };
    assert_eq!(change("instances", "id", &gone)["change"], "gone");
    let rows = |table: &str| {
        let change = change("tables", "table", table);
        (change["oldRows"].as_u64(), change["newRows"].as_u64())
    };
    assert_eq!(rows("public.came_and_went"), (Some(2), Some(1)));
    assert_eq!(rows("public.kept"), (None, Some(1)));
    let text = diff(&[&old, &new]).stdout;
    for part in [gone.as_str(), "gone", "public.came_and_went", "-1"] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
    let backwards = diff(&[&new, &old, "-o", "json"]).json();
    assert_eq!(backwards["instances"][0]["change"], "new");
    let same = diff(&[&old, &old]).stdout;
    assert!(same.contains("The same service instances"), "{same}");
}

/// What differs between a backup and the live database; by every way to say it.
#[track_caller]
fn diff_to_live(world: &World, directory: &Path, old: &Path) -> Value {
    let name = old.file_name().unwrap().to_str().unwrap();
    let day = name.rsplit_once('-').unwrap().1;
    let (year, month, date) = (&day[..4], &day[4..6], &day[6..8]);
    let diff = |old: &str, new: &[&str]| {
        let arguments = [&["diff", old], new, &["-o", "json"]].concat();
        let mut found = world.backup(directory, &arguments).expect_code(0).json();
        assert_eq!(found["old"]["path"], *format!("wa-backups/{name}"), "{old}");
        assert_eq!(found["new"]["path"], Value::Null);
        found["new"]["created"].take();
        found
    };
    let found = diff("latest", &["live"]);
    for old in ["wa-", name, &format!("{year}-{month}-{date}"), &day[..8]] {
        assert_eq!(diff(old, &[]), found, "{old}");
    }
    found
}

#[test]
fn a_word_that_means_several_backups_names_them_and_latest_of_several_owners_is_refused() {
    let world = World::shared();
    let scratch = world.scratch();
    let first = back_up(&world, scratch.path(), "wa-backups");
    let inspect = |word: &str| world.backup(scratch.path(), &["inspect", word]);
    inspect("wa-").expect_code(0);
    // Another cluster's, of the same day.
    let other = scratch
        .path()
        .join("wa-backups/wa-elsewhere-20200101T000000Z");
    fs::create_dir(&other).unwrap();
    for file in fs::read_dir(&first).unwrap() {
        let file = file.unwrap().path();
        fs::copy(&file, other.join(file.file_name().unwrap())).unwrap();
    }
    let manifest = other.join("backup.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let mut json: Value = serde_json::from_str(&text).unwrap();
    json["cluster"]["server"] = "https://elsewhere.example:6443".into();
    fs::write(&manifest, json.to_string()).unwrap();
    let names = [
        first.file_name().unwrap().to_str().unwrap(),
        "wa-elsewhere-20200101T000000Z",
    ];
    inspect("wa-").expect_code(1).expect_error(&names);
    let day = json["startedAt"].as_str().unwrap()[..10].to_owned();
    inspect(&day).expect_code(1).expect_error(&names);
    inspect("latest")
        .expect_code(1)
        .expect_error(&["several", "elsewhere.example"]);
    inspect("wa-else").expect_code(0);
    inspect("2019-01-01").expect_code(1);
}
