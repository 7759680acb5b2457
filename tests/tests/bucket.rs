//! Backups in a bucket of a real S3 server, and of the servers that stand for the other clouds: taken, read, copied and deleted there, and what cannot work refused.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

#[path = "../../crates/object-sets/tests/store/server.rs"]
#[expect(dead_code, reason = "other tests use more of it")]
mod server;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use end_to_end::{Outcome, World, binary, run, wait_until};
use kube_sandbox::faults::{Effect, Matcher};
use rustix::process::{Pid, Signal, kill_process};
use server::{BUCKET, Cloud, Fault, Kind, Server};

const KEY: &str = "AGE-SECRET-KEY-1Q0KA87M57FEG5TFJSE8GDDP7K6YKHHFS9WLN543MZ0XFUGEGE36S5Z4RME";
const RECIPIENT: &str = "age1dra64a87cdwa9ltujqthsht3n07g4g9p4ukcpmukqugk5sx3aujqsw4fn4";

/// A place, what is different in the environment, and what is said then.
type Case<'a> = (&'a String, &'a [(&'a str, Option<&'a str>)], &'a str);

/// A plugin with the bucket's keys in its environment; `changed` variables are different, or not set.
fn command(
    world: &World,
    server: &Server,
    directory: &Path,
    arguments: &[&str],
    changed: &[(&str, Option<&str>)],
) -> Command {
    let mut command = world.backup_command(directory, arguments);
    command.envs(server.variables());
    for (name, value) in changed {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

#[test]
fn a_backup_in_a_bucket_is_taken_read_copied_protected_and_pruned_as_one_in_a_directory() {
    let (world, server) = (World::shared(), Server::start());
    let scratch = world.scratch();
    let directory = scratch.path();
    fs::write(directory.join("key.txt"), KEY).unwrap();
    let url = format!("s3://{BUCKET}/wa");
    let latest = format!("{url}/latest");
    let with = |arguments: &[&str]| run(&mut command(&world, &server, directory, arguments, &[]));

    let created = with(&["create", "--to", &url, "--encrypt-to", RECIPIENT]).expect_code(0);
    assert!(created.stdout.contains(&url), "{}", created.stdout);
    let list = with(&["list", &url, "-o", "json"]).expect_code(0).json();
    assert_eq!(list["backups"][0]["state"], "complete", "{list:#}");
    let set = list["backups"][0]["path"].as_str().unwrap().to_owned();

    with(&["verify", &latest]).expect_code(7);
    let identity = ["--identity", "key.txt"];
    let verified = with(&[&["verify", &latest], &identity[..]].concat()).expect_code(0);
    assert!(verified.stdout.contains(&set), "{}", verified.stdout);
    let inspected = with(&[&["inspect", &set], &identity[..]].concat()).expect_code(0);
    assert!(inspected.stdout.contains("Customer Care"));
    let day = set.rsplit('-').next().unwrap()[..8].to_owned();
    let of_day = format!("{url}/{day}");
    let same = with(&[&["diff", &of_day, &latest], &identity[..]].concat()).expect_code(0);
    assert!(same.stdout.contains("The same service instances"));
    with(&["status", &url, "--max-age", "1h"]).expect_code(0);

    // Here it is what it is there, and there once.
    with(&["copy", &latest, "sets"]).expect_code(0);
    world
        .backup(
            directory,
            &["verify", "sets/latest", "--identity", "key.txt"],
        )
        .expect_code(0);
    let again = with(&["copy", "sets/latest", &url]).expect_code(0);
    assert!(
        again.stdout.contains("was there already"),
        "{}",
        again.stdout
    );

    with(&["protect", &latest]).expect_code(0);
    with(&["create", "--to", &url]).expect_code(0);
    let prune = ["prune", &url, "--keep-last", "1", "--yes"];
    with(&prune).expect_code(0);
    let names = |list: Outcome| list.json()["backups"].as_array().unwrap().len();
    let count = || names(with(&["list", &url, "-o", "json"]).expect_code(0));
    assert_eq!(count(), 2, "a protected one stays");
    with(&["protect", &set, "--remove"]).expect_code(0);
    with(&prune).expect_code(0);
    assert_eq!(count(), 1);
    assert_eq!(server.unfinished(), 0);
    assert!(!directory.join("s3:").exists());
}

#[test]
fn google_s_and_azure_s_stores_are_taken_wherever_s3_is() {
    let world = World::shared();
    let scratch = world.scratch();
    let directory = scratch.path();
    for cloud in [Cloud::Google, Cloud::Azure] {
        let Some(server) = Server::of(cloud) else {
            continue;
        };
        let with =
            |arguments: &[&str]| run(&mut command(&world, &server, directory, arguments, &[]));
        let url = server.url();
        let latest = format!("{url}/latest");
        let created = with(&["create", "--to", &url, "--read-back"]).expect_code(0);
        assert!(created.stdout.contains(&url), "{}", created.stdout);
        with(&["verify", &latest]).expect_code(0);
        let sets = format!("sets-{cloud:?}");
        with(&["copy", &latest, &sets]).expect_code(0);
        let copied = world.only_set(&directory.join(&sets));
        let renamed = copied.with_file_name("wa-cpd-20260101T000000Z");
        fs::rename(&copied, &renamed).unwrap();
        with(&["copy", renamed.to_str().unwrap(), &url]).expect_code(0);
        with(&["prune", &url, "--keep-last", "1", "--yes"]).expect_code(0);
        let list = with(&["list", &url, "-o", "json"]).expect_code(0).json();
        let backups = list["backups"].as_array().unwrap();
        assert!(
            backups.len() == 1 && backups[0]["state"] == "complete",
            "{list:#}"
        );
        let mut check = world.command(binary("kubectl-wa-restore"));
        check.args(["mapping", &latest]).current_dir(directory);
        run(check.envs(server.variables())).expect_code(0);
    }
}

#[test]
fn the_dumps_of_the_nightly_backup_go_from_their_volume_into_a_bucket() {
    let (world, server) = (World::shared(), Server::start());
    let scratch = world.scratch();
    let directory = scratch.path();
    fs::write(directory.join("key.txt"), KEY).unwrap();
    let url = format!("s3://{BUCKET}/wa");
    let with = |program: &str, arguments: &[&str]| {
        let mut command = world.command(binary(program));
        command.args(arguments).current_dir(directory);
        run(command.envs(server.variables()))
    };
    let pull = |arguments: &[&str]| {
        with(
            "kubectl-wa-pvc",
            &[&["pull", "--latest", "--to", &url], arguments].concat(),
        )
    };
    pull(&["--resume"])
        .expect_code(1)
        .expect_error(&["--resume goes on with what is in a directory here"]);
    let read = Matcher {
        path: Some("command=cat&command=%2Fstore-backups%2Fstore.dump".to_owned()),
        ..Matcher::default()
    };
    world.fault(read, Some(1), Effect::CutAfter { bytes: 10_000 });
    let pulled = pull(&["--read-back"]).expect_code(0).expect_error(&[
        "fetch failed",
        "retry 1",
        "read back",
        "as they were written",
    ]);
    let set = pulled.stdout.split_whitespace().nth(1).unwrap().to_owned();
    let name = set.rsplit('/').next().unwrap();
    let stored = |file: &str| fs::read(server.object(&format!("{name}/{file}"))).unwrap();
    assert!(stored("store.dump") == world.newest_dump());
    assert!(stored("auth-encryption.yaml").starts_with(b"apiVersion"));
    let again = pull(&[]).expect_code(0);
    assert!(
        again.stdout.contains("is there already"),
        "{}",
        again.stdout
    );

    let trigger = ["trigger", "--pull", "--to", &url, "--encrypt-to", RECIPIENT];
    let trigger = [&trigger[..], &["--read-back"]].concat();
    with("kubectl-wa-backup", &trigger)
        .expect_code(0)
        .expect_error(&["read back", "as they were written"]);
    let verify = ["verify", &format!("{url}/latest"), "--identity", "key.txt"];
    with("kubectl-wa-backup", &verify).expect_code(0);
    assert_eq!(server.unfinished(), 0);
    world.expect_nothing_left();

    let status = ["status", &url, "--volume", "--metrics", "wa.prom"];
    let status = |arguments: &[&str]| with("kubectl-wa-backup", &[&status[..], arguments].concat());
    let json = status(&["--max-age", "1h", "-o", "json"])
        .expect_code(0)
        .json();
    assert_eq!(
        json["volume"]["newest"]["name"],
        world.dumps()[0],
        "{json:#}"
    );
    assert_eq!(json["volume"]["newest"]["verified"], true);
    assert_eq!(
        json["volume"]["newest"]["fetchedAs"],
        json["installations"][0]["newest"]["name"]
    );
    let metrics = fs::read_to_string(directory.join("wa.prom")).unwrap();
    assert!(
        metrics.contains("wa_backup_volume_age_seconds{instance_name=\"wa\","),
        "{metrics}"
    );
    let old = status(&["--max-age", "1s"]).expect_code(3);
    old.expect_error(&["the newest dump on the volume of wa in cpd is"]);
    world.expect_nothing_left();
}

#[test]
fn what_cannot_work_is_told_in_words_and_no_key_is_shown() {
    let (world, server) = (World::shared(), Server::start());
    let scratch = world.scratch();
    let url = format!("s3://{BUCKET}/wa");
    let other = "s3://nobody/wa".to_owned();
    let (gs, az) = ("gs://bucket/wa".to_owned(), "az://container/wa".to_owned());
    let wrong = "a-secret-that-is-wrong";
    let sas = format!("sv=2022-11-02&sp=rw&sig={wrong}%3D");
    let with_sas = [
        format!("az://container/wa?{sas}"),
        format!("https://a.blob/c?{sas}"),
    ];
    let account = ("AZURE_STORAGE_ACCOUNT_NAME", Some("account"));
    let sas = ("AZURE_STORAGE_SAS_TOKEN", Some(&*sas));
    let nobody = ("AZURE_STORAGE_ENDPOINT", Some("http://127.0.0.1:1/account"));
    let cases: [Case<'_>; 18] = [
        (
            &url,
            &[("AWS_SECRET_ACCESS_KEY", Some(wrong))],
            "the keys do not fit",
        ),
        (
            &url,
            &[("AWS_ACCESS_KEY_ID", Some("odd"))],
            "AWS_ACCESS_KEY_ID",
        ),
        (
            &url,
            &[("AWS_ACCESS_KEY_ID", None), ("AWS_PROFILE", Some("p"))],
            "profiles are not read",
        ),
        (
            &url,
            &[("AWS_ALLOW_HTTP", None)],
            "use https://, or set AWS_ALLOW_HTTP=true",
        ),
        (
            &url,
            &[("AWS_ENDPOINT_URL", Some("http://127.0.0.1:1"))],
            "no answer from the store: Connection refused",
        ),
        (
            &url,
            &[("AWS_CA_BUNDLE", Some("/nowhere"))],
            "cannot read the certificates in /nowhere",
        ),
        (&other, &[], "there is no such bucket"),
        (&gs, &[], "set GOOGLE_APPLICATION_CREDENTIALS"),
        (
            &gs,
            &[("GOOGLE_APPLICATION_CREDENTIALS", Some("/nowhere"))],
            "cannot read the keys in /nowhere",
        ),
        (
            &gs,
            &[(
                "GOOGLE_SERVICE_ACCOUNT_KEY",
                Some("\"a-secret-that-is-wrong\""),
            )],
            "neither the JSON of a service account",
        ),
        (&az, &[], "set AZURE_STORAGE_ACCOUNT_NAME"),
        (&az, &[account], "set AZURE_STORAGE_ACCOUNT_KEY or"),
        (
            &az,
            &[account, sas, nobody],
            "use https://, or set AZURE_ALLOW_HTTP=true",
        ),
        (
            &az,
            &[account, sas, nobody, ("AZURE_ALLOW_HTTP", Some("true"))],
            "no answer from the store: Connection refused",
        ),
        (
            &az,
            &[account, sas, ("AZURE_STORAGE_ENDPOINT", Some(&with_sas[1]))],
            "has a user, a password or a query in it",
        ),
        (
            &az,
            &[account, ("AZURE_STORAGE_ACCOUNT_KEY", Some(wrong))],
            "cannot be used",
        ),
        (&with_sas[0], &[], "it is az://CONTAINER/PREFIX alone"),
        (&with_sas[1], &[], "https:// is not supported"),
    ];
    for (url, changed, told) in cases {
        for arguments in [&["create", "-v9", "--to", url][..], &["list", "-v9", url]] {
            let mut command = command(&world, &server, scratch.path(), arguments, changed);
            let outcome = run(&mut command).expect_code(1).expect_error(&[told]);
            let said = outcome.everything();
            assert!(!said.contains(wrong) && !said.contains("<Error>"), "{said}");
        }
    }
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0);
}

/// A set whose dump takes several parts.
fn large_set(world: &World, directory: &Path) {
    world
        .backup(directory, &["create", "--to", "sets"])
        .expect_code(0);
    let set = world.only_set(&directory.join("sets"));
    let dump: Vec<u8> = (0..20_u32 << 20)
        .map(|at| u8::try_from(at / 7 % 251).unwrap())
        .collect();
    fs::write(set.join("store.dump"), &dump).unwrap();
    let sum = run(Command::new("sha256sum").arg(set.join("store.dump"))).expect_code(0);
    let manifest = set.join("backup.json");
    let mut json: serde_json::Value =
        serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    for file in json["files"].as_array_mut().unwrap() {
        if file["name"] == "store.dump" {
            let own = serde_json::json!({"bytes": dump.len(), "sha256": &sum.stdout[..64]});
            file["plaintext"] = own.clone();
            file["bytes"] = own["bytes"].clone();
            file["sha256"] = own["sha256"].clone();
        }
    }
    fs::write(manifest, json.to_string()).unwrap();
}

#[test]
fn ctrl_c_aborts_the_upload_and_tells_its_id_where_that_is_refused() {
    let (world, server) = (World::shared(), Server::start());
    let scratch = world.scratch();
    large_set(&world, scratch.path());
    let url = format!("s3://{BUCKET}/wa");
    for is_refused in [false, true] {
        let before = server.seen(Kind::Part);
        server.fail(&[(Kind::Part, Fault::Hang); 3]);
        if is_refused {
            server.fail(&[(Kind::Abort, Fault::Denied)]);
        }
        let copy = ["copy", "sets/latest", &url];
        let mut copy = command(&world, &server, scratch.path(), &copy, &[]);
        let child = copy
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_until("a part is on its way", || {
            server.seen(Kind::Part) >= before + 3
        });
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        let outcome: Outcome = child.wait_with_output().unwrap().into();
        let outcome = outcome.expect_code(130);
        server.recover();
        let ids = server.upload_ids();
        if is_refused {
            assert_eq!(ids.len(), 1);
            assert!(outcome.stderr.contains(&ids[0]), "{}", outcome.stderr);
        } else {
            assert_eq!(server.unfinished(), 0);
        }
    }
    let list = run(&mut command(
        &world,
        &server,
        scratch.path(),
        &["list", &url],
        &[],
    ));
    assert!(!list.expect_code(0).stdout.contains("complete"));
}
