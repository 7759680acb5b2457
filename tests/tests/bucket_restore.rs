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
use std::process::Command;

use end_to_end::{World, binary, run, start, wait_until};
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
) -> Command {
    let mut command = world.command(binary(program));
    command
        .args(arguments)
        .current_dir(directory)
        .envs(server.variables());
    command
}

/// What a shell script prints in the pods that a restore may be staged in.
fn in_pods(world: &World, script: &str) -> String {
    let shell = ["-c", "postgres", "--", "sh", "-c", script];
    ["wa-postgres-16-1", "wa-postgres-16-2"]
        .map(|pod| world.kubectl(&[&["exec", pod], &shell[..]].concat()))
        .concat()
}

/// What restores have left in the pods.
fn staged(world: &World) -> String {
    in_pods(world, "ls -A /controller/tmp 2>/dev/null; true")
}

#[track_caller]
fn expect_in(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[test]
fn a_backup_in_a_bucket_is_rehearsed_and_restored_and_resumed_from_another_machine() {
    let (world, server) = (World::start(Profile::V5_2_1), Server::start());
    let scratch = world.scratch();
    let directory = scratch.path();
    fs::write(directory.join("key.txt"), KEY).unwrap();
    let url = format!("s3://{BUCKET}/wa");
    let latest = format!("{url}/latest");
    let backup = |arguments: &[&str]| {
        let command = with_keys(&world, &server, directory, "kubectl-wa-backup", arguments);
        run(&mut { command })
    };
    let restore_in = |directory: &Path, arguments: &[&str]| {
        with_keys(&world, &server, directory, "kubectl-wa-restore", arguments)
    };
    let restore = |arguments: &[&str]| run(&mut restore_in(directory, arguments));
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

    let closed = restore(&["check", &latest]).expect_code(4);
    expect_in(&closed.stdout, &["give its key with --identity FILE"]);
    let checked = restore(&[&["check"], &key[..]].concat()).expect_code(0);
    expect_in(&checked.stdout, &["as verified on 20"]);
    let plan = restore(&[&["plan"], &key[..]].concat()).expect_code(0);
    let commands = [
        "\nkubectl wa-backup copy s3://backups/wa/wa-cpd-",
        "\nage -d -i key.txt wa-restore-files/wa-cpd-",
    ];
    expect_in(&plan.stdout, &commands);
    let mapping = restore(&["mapping", &latest, "--identity", "key.txt"]).expect_code(0);
    expect_in(&mapping.stdout, &["Customer Care"]);

    restore(&["rehearse", &latest, "--identity", "key.txt"]).expect_code(0);
    let list = backup(&["list", &url]).expect_code(0);
    expect_in(&list.stdout, &["restored on 20"]);

    let workspaces = world.lines(WORKSPACES);
    world.sql(
        "DELETE FROM workspace WHERE workspace_id IN (SELECT workspace_id FROM workspace LIMIT 3)",
    );
    let options = ["--yes=wa", "--timeout", "2m", "--no-safety-backup"];
    let whole = [&["run"], &key[..], &options].concat();

    // Read once for the checks, and then to be staged.
    server.fail(&[(Kind::Dump, Fault::Pass)]);
    server.fail(&[(Kind::Dump, Fault::Denied); 9]);
    restore(&whole)
        .expect_code(1)
        .expect_error(&["these keys may not do that"]);
    assert_eq!(staged(&world), "");
    assert!(world.lines(WORKSPACES).len() < workspaces.len());
    let status = restore(&["status"]).expect_code(0);
    expect_in(&status.stdout, &["undone"]);

    // What passes is waited for, until the process is killed; another machine goes on.
    server.recover();
    server.fail(&[Fault::Pass, Fault::Busy, Fault::Busy].map(|fault| (Kind::Dump, fault)));
    server.fail(&[(Kind::Dump, Fault::Hang); 9]);
    let before = server.seen(Kind::Dump);
    let mut child = start(&mut restore_in(directory, &whole));
    wait_until("the dump is staged", || {
        server.seen(Kind::Dump) >= before + 4
    });
    child.kill().unwrap();
    child.wait().unwrap();
    server.recover();
    let journal = world.kubectl(&["get", "configmap", "wa-restore-wa", "-o", "yaml"]);
    assert!(
        journal.contains(&url) && !journal.contains("secret"),
        "{journal}"
    );
    let elsewhere = world.scratch();
    fs::write(elsewhere.path().join("key.txt"), KEY).unwrap();
    let resume = ["resume", "--identity", "key.txt", "--timeout", "2m"];
    run(&mut restore_in(elsewhere.path(), &resume)).expect_code(0);
    assert_eq!(world.lines(WORKSPACES), workspaces);
    assert_eq!(staged(&world), "");
    for entry in fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name();
        // The log of pgmig is in the other.
        assert!(name == "key.txt" || name == "wa-backups", "{name:?}");
    }

    // One that is not encrypted needs no key.
    backup(&["create", "--to", &url]).expect_code(0);
    restore(&["check", &latest, "--pgmig", &pgmig]).expect_code(0);
}

#[test]
fn a_safety_backup_goes_into_a_bucket_encrypted_and_leads_back_from_there_where_nothing_else_does()
{
    let (world, server) = (World::start(Profile::V5_2_1), Server::start());
    let scratch = world.scratch();
    let directory = scratch.path();
    fs::write(directory.join("key.txt"), KEY).unwrap();
    world
        .backup(directory, &["create", "--to", "sets"])
        .expect_code(0);
    let restore = |arguments: &[&str]| {
        let command = with_keys(&world, &server, directory, "kubectl-wa-restore", arguments);
        run(&mut { command })
    };
    let pgmig = binary("pgmig").display().to_string();
    let given = ["sets/latest", "--pgmig", &pgmig, "--encrypt-to", RECIPIENT];
    let with = |command: &str, to: &str, more: &[&str]| {
        restore(&[&[command], &given[..], &["--safety-to", to], more].concat())
    };
    let url = format!("s3://{BUCKET}/safety");

    let nowhere = with("check", "s3://nobody/wa", &[]).expect_code(4);
    expect_in(&nowhere.stdout, &["there is no such bucket"]);
    // Without an end, there is no room to tell of.
    let checked = with("check", &url, &[]).expect_code(0);
    expect_in(&checked.stdout, &[&format!("goes to {url}\n")]);
    let plan = with("plan", &url, &[]).expect_code(0);
    let create = format!("create -n cpd -i wa --to {url} --encrypt-to {RECIPIENT}\n");
    expect_in(&plan.stdout, &[&create]);

    world.sql(
        "DELETE FROM workspace WHERE workspace_id IN (SELECT workspace_id FROM workspace LIMIT 3)",
    );
    let before = world.lines(WORKSPACES);
    for has_copy in [true, false] {
        in_pods(
            &world,
            "echo crash-before-mapping >/controller/pgmig-faults",
        );
        let failed = with("run", &url, &["--yes=wa", "--timeout", "2m"]).expect_code(6);
        failed.expect_error(&[&format!("into {url}, encrypted")]);
        let status = restore(&["status", "-o", "json"]).expect_code(6).json();
        let set = status["safetyBackup"].as_str().unwrap();
        assert!(set.starts_with(&format!("{url}/wa-cpd-")), "{set}");
        let back = ["rollback", "--yes=wa"];
        if has_copy {
            // Which needs neither the bucket nor its keys.
            world.restore(directory, &back).expect_code(0);
        } else {
            let copy = "SELECT datname FROM pg_database WHERE datname LIKE 'wa-restore-%-copy'";
            world.sql(&format!("DROP DATABASE \"{}\"", world.lines(copy)[0]));
            world
                .restore(directory, &back)
                .expect_code(1)
                .expect_error(&["there are no keys for the object storage"]);
            restore(&back).expect_code(6).expect_error(&["--identity"]);
            restore(&[&back[..], &["--identity", "key.txt"]].concat()).expect_code(0);
        }
        assert_eq!(world.lines(WORKSPACES), before);
    }
    assert_eq!(staged(&world), "");
    assert_eq!(server.unfinished(), 0);
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    // The log of pgmig.
    assert_eq!(names, ["key.txt", "sets", "wa-backups"]);
}
