//! A backup of a healthy installation.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use end_to_end::{Outcome, World, run, start};
use serde_json::Value;
use wa_sandbox::world::Profile;

fn manifest(set: &Path) -> Value {
    serde_json::from_slice(&fs::read(set.join("backup.json")).unwrap()).unwrap()
}

#[test]
fn every_release_is_backed_up_with_its_own_names() {
    for profile in Profile::ALL {
        let world = World::start(profile);
        let scratch = world.scratch();
        let outcome = world
            .backup(scratch.path(), &["create", "-o", "json"])
            .expect_code(0);
        let created: Value = serde_json::from_str(&outcome.stdout).unwrap();
        let set = scratch.path().join(created["path"].as_str().unwrap());
        assert_eq!(
            created["release"].as_str().unwrap(),
            world.sandbox().names().version,
            "{profile}"
        );
        assert_eq!(
            set.join("auth-encryption.yaml").exists(),
            world.sandbox().names().auth_encryption_secret.is_some(),
            "{profile}"
        );
        assert!(created["verifiedAt"].is_string());
        world
            .backup(scratch.path(), &["verify", set.to_str().unwrap()])
            .expect_code(0);
    }
}

#[test]
fn pg_restore_gives_back_the_rows_that_were_dumped() {
    let world = World::shared();
    let scratch = world.scratch();
    world
        .backup(scratch.path(), &["create", "--to", "sets"])
        .expect_code(0);
    let set = world.only_set(&scratch.path().join("sets"));

    let dump = File::open(set.join("store.dump")).unwrap();
    world.in_postgres_pod(
        "createdb restored && pg_restore --no-owner --no-privileges --exit-on-error --dbname=restored",
        dump.into(),
    );
    let store = world.sandbox().names().database();
    let tables = manifest(&set)["tables"].as_array().unwrap().clone();
    assert!(tables.len() >= 4, "{tables:?}");
    for table in tables {
        let name = format!(
            "{}.{}",
            table["schema"].as_str().unwrap(),
            table["name"].as_str().unwrap()
        );
        let rows_in = |database: &str| {
            let query = format!(
                "select count(*), md5(string_agg(t::text, '|' order by t::text)) from {name} t"
            );
            world.in_postgres_pod(
                &format!("psql -XAtd {database} -c \"{query}\""),
                Stdio::null(),
            )
        };
        let restored = rows_in("restored");
        assert_eq!(restored, rows_in(&store), "{name}");
        assert!(
            restored.starts_with(&format!("{}|", table["rows"])),
            "{name}: {restored}"
        );
    }
    world.in_postgres_pod("dropdb restored", Stdio::null());
}

#[test]
fn the_dump_is_written_to_standard_output_and_nothing_else() {
    let world = World::shared();
    let scratch = world.scratch();
    let path = scratch.path().join("store.dump");
    let status = world
        .backup_command(scratch.path(), &["create", "--stdout"])
        .stdout(File::create(&path).unwrap())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    world
        .backup(scratch.path(), &["verify", "store.dump"])
        .expect_code(0);
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
}

#[test]
fn the_key_that_standard_output_does_not_get_is_reported_of_or_written_to_a_file() {
    let world = World::shared();
    let scratch = world.scratch();
    let to_stdout = |more: &[&str], code: i32| {
        let arguments = [&["create", "--stdout"], more].concat();
        let mut create = world.backup_command(scratch.path(), &arguments);
        create.stdout(File::create(scratch.path().join("store.dump")).unwrap());
        let output = create.stdin(Stdio::null()).stderr(Stdio::piped());
        let output = output.spawn().unwrap().wait_with_output().unwrap();
        Outcome::from(output).expect_code(code)
    };
    to_stdout(&[], 0).expect_error(&["cannot be read without the secret", "--key-file"]);
    let told = to_stdout(&["--key-file", "key.yaml"], 0);
    assert!(!told.stderr.contains("warning:"), "{}", told.stderr);
    let key = scratch.path().join("key.yaml");
    let mode = fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let content = fs::read_to_string(&key).unwrap();
    assert!(content.contains("authorization_encryption_key"));
    // The same key is there already.
    to_stdout(&["--key-file", "key.yaml"], 0);

    fs::write(&key, "of another dump").unwrap();
    let before = dumps_started(&world);
    to_stdout(&["--key-file", "key.yaml"], 1).expect_error(&["other content"]);
    to_stdout(&["--key-file", "no/where.yaml"], 1).expect_error(&["no/where.yaml"]);
    assert_eq!(dumps_started(&world), before, "refused before the dump");
    assert_eq!(fs::read_to_string(&key).unwrap(), "of another dump");
    let mut left: Vec<_> = fs::read_dir(scratch.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    left.sort();
    assert_eq!(left, ["key.yaml", "store.dump"]);
}

#[test]
fn who_holds_the_lock_that_a_silent_pg_dump_waits_for_is_reported() {
    let world = World::shared();
    let scratch = world.scratch();
    let pod = world.sandbox().names().primary_pod();
    let database = world.sandbox().names().database();
    let mut holder = world
        .command("kubectl")
        .args(["exec", "-i", &pod, "--", "env", "PGAPPNAME=holds it"])
        .args(["psql", "-XAtq", &database])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = holder.stdin.take().unwrap();
    let mut output = BufReader::new(holder.stdout.take().unwrap()).lines();
    let lock = "select format('lock table %I.%I in access exclusive mode', schemaname, tablename) from pg_tables \
                where schemaname not in ('pg_catalog', 'information_schema') limit 1 \\gexec";
    writeln!(input, "begin;\n{lock}\nselect pg_backend_pid();").unwrap();
    let pid = output.next().unwrap().unwrap();

    let mut create = world.backup_command(scratch.path(), &["create", "-o", "json"]);
    create.env("KUBECTL_WA_SILENT_AFTER", "200ms");
    let mut create = start(&mut create);
    let mut told = BufReader::new(create.stderr.take().unwrap()).lines();
    let mut warning = |part: &str| {
        let mut told = told.by_ref().map(Result::unwrap);
        told.find(|line| line.contains(part)).unwrap()
    };
    let first = warning("it waits for a lock");
    for part in [&format!("session {pid} (user ")[..], "application holds it"] {
        assert!(first.contains(part), "no {part:?} in {first}");
    }
    // What other users' sessions do is only for those to see who may; asked again, it is told.
    let monitor = format!(
        "psql -Xq {database} <<'END'\n\
        select format('grant pg_monitor to %I', pg_get_userbyid(datdba)) from pg_database where datname = current_database() \\gexec\nEND"
    );
    world.in_postgres_pod(&monitor, Stdio::null());
    let warning = warning("state idle in transaction, since 20");
    assert!(!warning.contains("lock table"), "a query: {warning}");
    // It went on waiting, and now gets its lock.
    drop(input);
    let rest: Vec<String> = told.map(Result::unwrap).collect();
    let outcome = Outcome::from(create.wait_with_output().unwrap());
    assert_eq!(outcome.code, 0, "{rest:?}");
    holder.wait().unwrap();
}

#[test]
fn a_dry_run_writes_nothing_and_starts_no_dump() {
    let world = World::shared();
    let scratch = world.scratch();
    let before = dumps_started(&world);
    let outcome = world
        .backup(scratch.path(), &["create", "--dry-run"])
        .expect_code(0);
    assert!(
        outcome.stdout.contains("would be created"),
        "{}",
        outcome.stdout
    );
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
    assert_eq!(dumps_started(&world), before);
}

fn dumps_started(world: &World) -> usize {
    let requests = world.sandbox().requests();
    requests
        .iter()
        .filter(|request| request.uri.contains("format%3Dcustom"))
        .count()
}

#[test]
fn compression_is_as_asked() {
    let world = World::shared();
    let mut methods = vec![("none", "none"), ("9", "gzip")];
    if world.sandbox().postgres_version() >= 16 {
        methods.extend([("lz4", "lz4"), ("zstd", "zstd")]);
    } else {
        println!("skipped: PostgreSQL 16 is not installed");
    }
    for (method, shown) in methods {
        let scratch = world.scratch();
        world
            .backup(
                scratch.path(),
                &["create", "--to", "s", "--compress", method],
            )
            .expect_code(0);
        let set = world.only_set(&scratch.path().join("s"));
        let inspection = world
            .backup(
                scratch.path(),
                &["inspect", set.to_str().unwrap(), "-o", "json"],
            )
            .expect_code(0);
        let inspection: Value = serde_json::from_str(&inspection.stdout).unwrap();
        assert!(
            inspection["archive"]["compression"]
                .as_str()
                .unwrap()
                .starts_with(shown),
            "{inspection}"
        );
    }
}

#[test]
fn an_unverified_set_says_so() {
    let world = World::shared();
    let scratch = world.scratch();
    let outcome = world
        .backup(scratch.path(), &["create", "--to", "s", "--no-verify"])
        .expect_code(0);
    assert!(
        outcome.stdout.contains("not verified"),
        "{}",
        outcome.stdout
    );
    assert!(manifest(&world.only_set(&scratch.path().join("s")))["verifiedAt"].is_null());
}

#[test]
fn the_password_shows_neither_in_requests_nor_in_anything_printed() {
    let world = World::shared();
    let scratch = world.scratch();
    let password = world.password();
    let mut printed = String::new();
    for arguments in [
        &["check", "-v", "9"][..],
        &["create", "-v", "9", "--to", "s"],
        &["create", "-o", "json", "--to", "t", "-v", "9"],
        &["create", "--dry-run"],
    ] {
        printed += &world
            .backup(scratch.path(), arguments)
            .expect_code(0)
            .everything();
    }
    let set = world.only_set(&scratch.path().join("s"));
    printed += &fs::read_to_string(set.join("backup.json")).unwrap();
    let seen: Vec<String> = world
        .sandbox()
        .requests()
        .into_iter()
        .map(|request| request.uri)
        .collect();
    assert!(seen.iter().any(|uri| uri.contains("/exec?")));
    for form in [
        password.clone(),
        percent_encoded(&password),
        serde_json::to_string(&password)
            .unwrap()
            .trim_matches('"')
            .to_owned(),
    ] {
        assert!(!printed.contains(&form), "printed: {form}");
        assert!(
            !seen.iter().any(|uri| uri.contains(&form)),
            "requested: {form}"
        );
    }
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| {
            if byte.is_ascii_alphanumeric() {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[test]
fn kubectl_finds_the_plugin_under_both_spellings() {
    let world = World::shared();
    let scratch = world.scratch();
    for spelling in [&["wa-backup", "check"][..], &["wa", "backup", "check"]] {
        let outcome = run(world
            .command("kubectl")
            .args(spelling)
            .current_dir(scratch.path()))
        .expect_code(0);
        assert!(
            outcome.stdout.contains("pg_dump          ok"),
            "{}",
            outcome.stdout
        );
    }
}

#[test]
fn results_are_for_programs_too() {
    let world = World::shared();
    let scratch = world.scratch();
    let name = world
        .backup(scratch.path(), &["create", "-o", "name"])
        .expect_code(0)
        .stdout;
    assert!(
        scratch
            .path()
            .join(name.trim())
            .join("backup.json")
            .exists(),
        "{name}"
    );
    let path = |arguments: &[&str]| {
        world
            .backup(scratch.path(), arguments)
            .expect_code(0)
            .stdout
    };
    assert_eq!(
        path(&["list", "-o", "jsonpath={.backups[0].path}"]).trim(),
        name.trim()
    );
    let events = world
        .backup(scratch.path(), &["create", "-o", "json", "--to", "other"])
        .expect_code(0)
        .stderr;
    for line in events.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(event["event"].is_string(), "{line}");
    }
}

#[test]
fn an_encrypted_backup_is_never_on_the_disk_as_plaintext_and_read_with_its_key() {
    const KEY: &str = "AGE-SECRET-KEY-1Q0KA87M57FEG5TFJSE8GDDP7K6YKHHFS9WLN543MZ0XFUGEGE36S5Z4RME";
    const RECIPIENT: &str = "age1dra64a87cdwa9ltujqthsht3n07g4g9p4ukcpmukqugk5sx3aujqsw4fn4";
    let world = World::shared();
    let scratch = world.scratch();
    fs::write(scratch.path().join("key.txt"), KEY).unwrap();
    let created = world
        .backup(
            scratch.path(),
            &["create", "--to", "sets", "--encrypt-to", RECIPIENT],
        )
        .expect_code(0);
    assert!(
        created.stdout.contains("verified, encrypted, in"),
        "{}",
        created.stdout
    );
    let set = world.only_set(&scratch.path().join("sets"));
    for entry in fs::read_dir(&set).unwrap() {
        let path = entry.unwrap().path();
        let content = fs::read(&path).unwrap();
        let is_age = content.starts_with(b"age-encryption.org/v1\n");
        assert!(
            is_age || path.ends_with("backup.json"),
            "{}",
            path.display()
        );
    }
    // `uid` of the WatsonAssistant: whose it is, whatever the API server is called.
    assert!(manifest(&set)["instanceUid"].is_string());
    let set = set.to_str().unwrap();
    let without = world
        .backup(scratch.path(), &["verify", set])
        .expect_code(7);
    assert!(
        without.stderr.contains("give its key with --identity FILE"),
        "{}",
        without.stderr
    );
    let verified = world.backup(scratch.path(), &["verify", set, "--identity", "key.txt"]);
    assert!(verified.expect_code(0).stdout.contains("intact"));
    let shown = world.backup(scratch.path(), &["inspect", set, "--identity", "key.txt"]);
    assert!(shown.expect_code(0).stdout.contains("Customer Care"));
    world
        .backup(
            scratch.path(),
            &["create", "--to", "sets", "--encrypt-to", "age1nobody"],
        )
        .expect_code(1);
}
