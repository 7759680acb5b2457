//! A backup in a bucket is rehearsed and restored from there: nothing of it is on a disk of this machine, and what goes wrong
//! with the bucket costs no more than another attempt.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

#[path = "../../crates/object-sets/tests/store/server.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod server;

use std::fs;
use std::path::Path;

use end_to_end::{Outcome, World, binary, run};
use server::{BUCKET, Fault, Kind, Server};
use wa_sandbox::world::Profile;

const KEY: &str = "AGE-SECRET-KEY-1Q0KA87M57FEG5TFJSE8GDDP7K6YKHHFS9WLN543MZ0XFUGEGE36S5Z4RME";
const RECIPIENT: &str = "age1dra64a87cdwa9ltujqthsht3n07g4g9p4ukcpmukqugk5sx3aujqsw4fn4";
const WORKSPACES: &str = "SELECT workspace_id FROM workspace ORDER BY 1";

/// A plugin with the bucket's keys in its environment.
fn with_keys(
    world: &World,
    server: &Server,
    directory: &Path,
    program: &str,
    arguments: &[&str],
) -> Outcome {
    let mut command = world.command(binary(program));
    command.args(arguments).current_dir(directory).envs([
        ("AWS_ENDPOINT_URL", server.endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "us-east-1"),
    ]);
    run(&mut command)
}

/// What restores have left in the pods.
fn staged(world: &World) -> String {
    let pods = ["wa-postgres-16-1", "wa-postgres-16-2"];
    let list = [
        "-c",
        "postgres",
        "--",
        "sh",
        "-c",
        "ls -A /controller/tmp 2>/dev/null; true",
    ];
    pods.map(|pod| world.kubectl(&[&["exec", pod], &list[..]].concat()))
        .concat()
}

#[test]
fn a_backup_in_a_bucket_is_rehearsed_and_restored_and_gone_on_with_from_another_machine() {
    let (world, server) = (World::start(Profile::V5_2_1), Server::start());
    let scratch = world.scratch();
    let directory = scratch.path();
    fs::write(directory.join("key.txt"), KEY).unwrap();
    let url = format!("s3://{BUCKET}/wa");
    let latest = format!("{url}/latest");
    let backup =
        |arguments: &[&str]| with_keys(&world, &server, directory, "kubectl-wa-backup", arguments);
    let restore_in = |directory: &Path, arguments: &[&str]| {
        with_keys(&world, &server, directory, "kubectl-wa-restore", arguments)
    };
    let restore = |arguments: &[&str]| restore_in(directory, arguments);
    let create = [
        "create",
        "--to",
        &url,
        "--encrypt-to",
        RECIPIENT,
        "--read-back",
    ];
    backup(&create)
        .expect_code(0)
        .expect_error(&["as they were written"]);
    let pgmig = binary("pgmig").display().to_string();
    let key = [&latest[..], "--identity", "key.txt", "--pgmig", &pgmig];

    restore(&["check", &latest])
        .expect_code(4)
        .stdout
        .contains("give its key with --identity FILE")
        .then_some(())
        .unwrap();
    let checked = restore(&[&["check"], &key[..]].concat()).expect_code(0);
    assert!(
        checked.stdout.contains("as verified on 20"),
        "{}",
        checked.stdout
    );
    let plan = restore(&[&["plan"], &key[..]].concat()).expect_code(0);
    for command in [
        "\nkubectl wa-backup copy s3://backups/wa/wa-cpd-",
        "\nage -d -i key.txt wa-restore-files/wa-cpd-",
    ] {
        assert!(
            plan.stdout.contains(command),
            "no {command:?} in {}",
            plan.stdout
        );
    }
    let mapping = restore(&["mapping", &latest, "--identity", "key.txt"]).expect_code(0);
    assert!(mapping.stdout.contains("Customer Care"));

    restore(&["rehearse", &latest, "--identity", "key.txt"]).expect_code(0);
    let list = backup(&["list", &url]).expect_code(0);
    assert!(list.stdout.contains("restored on 20"), "{}", list.stdout);

    let workspaces = world.lines(WORKSPACES);
    world.sql(
        "DELETE FROM workspace WHERE workspace_id IN (SELECT workspace_id FROM workspace LIMIT 3)",
    );
    let options = ["--yes=wa", "--timeout", "2m", "--no-safety-backup"];
    let run = [&["run"], &key[..], &options].concat();

    // Read once for the checks, and then to be staged.
    server.fail(&[(Kind::Dump, Fault::Pass), (Kind::Dump, Fault::Denied)]);
    restore(&run)
        .expect_code(1)
        .expect_error(&["these keys may not do that"]);
    assert_eq!(staged(&world), "");
    assert!(world.lines(WORKSPACES).len() < workspaces.len());
    restore(&["status"])
        .expect_code(0)
        .stdout
        .contains("undone")
        .then_some(())
        .unwrap();

    // What passes is waited for; what does not, when pgmig is through, is gone on with.
    let passes = [
        Fault::Pass,
        Fault::Busy,
        Fault::Pass,
        Fault::Busy,
        Fault::Pass,
    ];
    server.fail(&passes.map(|fault| (Kind::Dump, fault)));
    server.fail(&[(Kind::Dump, Fault::Denied)]);
    restore(&run)
        .expect_code(6)
        .expect_error(&["cannot be held against s3://"]);
    let journal = world.kubectl(&["get", "configmap", "wa-restore-wa", "-o", "yaml"]);
    assert!(
        journal.contains(&url) && !journal.contains("secret"),
        "{journal}"
    );
    let elsewhere = world.scratch();
    fs::write(elsewhere.path().join("key.txt"), KEY).unwrap();
    let resume = ["resume", "--identity", "key.txt", "--timeout", "2m"];
    restore_in(elsewhere.path(), &resume).expect_code(0);
    assert_eq!(world.lines(WORKSPACES), workspaces);
    assert_eq!(staged(&world), "");
    let here: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        here.iter()
            .all(|name| name == "key.txt" || name == "wa-backups"),
        "{here:?}"
    );

    // Not encrypted, and on this machine: pgmig's place is taken by a PostgreSQL that is fed.
    backup(&["create", "--to", &url]).expect_code(0);
    restore(&["check", &latest, "--pgmig", &pgmig]).expect_code(0);
}
