//! An encrypted backup is restored and rehearsed with its key, and its plaintext is on no disk of this machine.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs;
use std::path::{Path, PathBuf};

use end_to_end::{World, binary};
use wa_sandbox::world::Profile;

const KEY: &str = "AGE-SECRET-KEY-1Q0KA87M57FEG5TFJSE8GDDP7K6YKHHFS9WLN543MZ0XFUGEGE36S5Z4RME";
const RECIPIENT: &str = "age1dra64a87cdwa9ltujqthsht3n07g4g9p4ukcpmukqugk5sx3aujqsw4fn4";
const OTHER_KEY: &str =
    "AGE-SECRET-KEY-184JMZMVQH3E6U0PSL869004Y3U2NYV7R30EU99CSEDNPH02YUVFSZW44VU";
const WORKSPACES: &str = "SELECT workspace_id FROM workspace ORDER BY 1";
const SECRET: [&str; 2] = ["wa-auth-encryption", "authorization_encryption_key"];

/// The value of the encryption key in the cluster.
fn key_in(world: &World) -> String {
    let [name, key] = SECRET;
    let template = format!("go-template={{{{index .data {key:?}}}}}");
    world.kubectl(&["get", "secret", name, "-o", &template])
}

/// Every file below the directory.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn an_encrypted_backup_is_rehearsed_and_restored_with_its_key_and_refused_without() {
    let world = World::start(Profile::V5_2_1);
    let scratch = world.scratch();
    let directory = scratch.path();
    fs::write(directory.join("key.txt"), KEY).unwrap();
    fs::write(directory.join("other.txt"), OTHER_KEY).unwrap();
    let encrypted = ["create", "--to", "sets", "--encrypt-to", RECIPIENT];
    world.backup(directory, &encrypted).expect_code(0);
    let (workspaces, key) = (world.lines(WORKSPACES), key_in(&world));
    let pgmig = binary("pgmig").display().to_string();

    // Told with everything else that stands in the way.
    for (arguments, why) in [
        (&[][..], "give its key with --identity FILE"),
        (
            &["--identity", "other.txt"],
            "none of the given keys opens sets/",
        ),
    ] {
        let run = ["run", "sets/latest", "--yes=wa", "--pgmig", "none"];
        let refused = world.restore(directory, &[&run, arguments].concat());
        let refused = refused.expect_code(4);
        for part in [why, "none: No such file"] {
            assert!(
                refused.stdout.contains(part),
                "no {part:?} in {}",
                refused.stdout
            );
        }
    }
    let identity = ["sets/latest", "--identity", "key.txt"];
    let with_key = |before: &[&str], after: &[&str]| {
        world.restore(directory, &[before, &identity, after].concat())
    };
    let plan = with_key(&["plan"], &["--pgmig", &pgmig]).expect_code(0);
    assert!(
        plan.stdout.contains("\nage -d -i key.txt sets/"),
        "{}",
        plan.stdout
    );
    let mapping = with_key(&["mapping"], &[]).expect_code(0);
    assert!(mapping.stdout.contains("Customer Care"));

    with_key(&["rehearse", "--local"], &[])
        .expect_code(4)
        .expect_error(&["would put its plaintext on a disk of this machine"]);
    let rehearsed = with_key(&["rehearse"], &[]).expect_code(0);
    assert!(
        rehearsed.stdout.contains("as in the archive"),
        "{rehearsed:?}"
    );
    let list = world.backup(directory, &["list", "sets"]).expect_code(0);
    assert!(list.stdout.contains("restored on 20"), "{}", list.stdout);

    world.sql(
        "DELETE FROM workspace WHERE workspace_id IN (SELECT workspace_id FROM workspace LIMIT 3)",
    );
    let changed = world.lines(WORKSPACES);
    let patch = format!(r#"{{"stringData":{{"{}":"another"}}}}"#, SECRET[1]);
    let patch = ["patch", "secret", SECRET[0], "--type=merge", "-p", &patch];
    world.kubectl(&patch);
    assert!(changed.len() < workspaces.len() && key_in(&world) != key);
    with_key(
        &["run"],
        &["--yes=wa", "--timeout", "2m", "--pgmig", &pgmig],
    )
    .expect_code(0);
    assert_eq!(world.lines(WORKSPACES), workspaces);
    assert_eq!(key_in(&world), key);

    // The safety backup is as it always is, and the only plaintext.
    for file in files_below(directory) {
        let is_dump = fs::read(&file).unwrap().starts_with(b"PGDMP");
        let is_of_safety_backup = file.starts_with(directory.join("wa-backups"));
        assert_eq!(
            is_dump,
            is_of_safety_backup && file.ends_with("store.dump"),
            "{}",
            file.display()
        );
    }
}
