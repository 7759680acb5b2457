//! What `kubectl wa-restore run` finds out beforehand and refuses: nothing is changed, in the cluster and in its pods.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs;

use std::path::Path;

use end_to_end::{Restored, World};
use kube_sandbox::faults::{Effect, Matcher};
use serde_json::Value;
use wa_sandbox::world::{Instances, Profile};

/// Runs a restore that must be refused because a condition fails, and tells why in these words.
#[track_caller]
fn refused(restored: &Restored, arguments: &[&str], condition: &str, told: &[&str]) {
    let before = restored.world().sandbox().requests().len();
    let report = restored
        .restore(&[arguments, &["-o", "json"]].concat())
        .expect_code(4)
        .json();
    let checks = report["checks"].as_array().unwrap().iter();
    let failed: Vec<&Value> = checks.filter(|check| check["result"] == "failed").collect();
    let names: Vec<&Value> = failed.iter().map(|check| &check["name"]).collect();
    let found = failed.iter().find(|check| check["name"] == condition);
    assert!(found.is_some(), "{condition} is not one of {names:?}");
    let detail = found.unwrap()["detail"].as_str().unwrap();
    for part in told {
        assert!(detail.contains(part), "no {part:?} in {detail}");
    }
    restored.assert_nothing_changed(before);
    restored.assert_counts(&[2], 1);
}

/// The arguments of a restore, of that backup and with that pgmig.
fn arguments<'a>(backup: &'a str, pgmig: &'a str) -> Vec<&'a str> {
    vec![
        "run",
        backup,
        "--mapping",
        "mapping.yaml",
        "--yes=wa",
        "--pgmig",
        pgmig,
    ]
}

fn pgmig() -> String {
    end_to_end::binary("pgmig").display().to_string()
}

/// The head of a program for that machine, as ELF numbers machines.
fn program_for(machine: u16, little_endian: bool) -> Vec<u8> {
    let mut head = vec![0; 64];
    let order = if little_endian { 1 } else { 2 };
    head[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, order, 1]);
    let number = |value: u16| {
        if little_endian {
            value.to_le_bytes()
        } else {
            value.to_be_bytes()
        }
    };
    // An executable.
    head[16..18].copy_from_slice(&number(2));
    head[18..20].copy_from_slice(&number(machine));
    head
}

#[test]
fn a_pgmig_for_another_machine_does_not_get_into_the_pod() {
    let restored = Restored::prepare(Profile::V5_2_1);
    for (name, machine, little_endian) in [
        ("aarch64", 183, true),
        ("ppc64le", 21, true),
        ("s390x", 22, false),
    ] {
        let program = program_for(machine, little_endian);
        fs::write(restored.directory().join(name), program).unwrap();
        refused(
            &restored,
            &arguments("sets/latest", name),
            "architecture",
            &[&format!("pgmig is for {name}"), "take the pgmig for x86_64"],
        );
    }
}

#[test]
fn a_dump_that_the_pods_pg_restore_cannot_read_is_not_sent_there() {
    let restored = Restored::prepare(Profile::V5_2_1);
    let own = restored.world().sandbox().postgres_version();
    let fixtures =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/pg-archive/tests/fixtures");
    let pgmig = pgmig();
    for (dump, version, major) in [("pg16-gzip", "1.15", 16), ("pg17-gzip", "1.16", 17)] {
        if own >= major {
            println!("skipped: PostgreSQL {own} reads what {major} has dumped");
            continue;
        }
        let dump = fixtures.join(format!("{dump}.dump")).display().to_string();
        let release = ["--from-release", "5.2.1"];
        let told = [
            format!("archive version {version} is read from PostgreSQL {major} on"),
            format!("the pod has pg_restore {own}"),
        ];
        refused(
            &restored,
            &[&arguments(&dump, &pgmig)[..], &release].concat(),
            "pg_restore",
            &told.each_ref().map(String::as_str),
        );
    }
}

#[test]
fn a_wrong_password_in_the_secret_is_reported_without_it() {
    let restored = Restored::prepare(Profile::V5_2_1);
    let right = restored.world().password();
    restored.set_password("not-the-password");
    assert_eq!(restored.world().password(), "not-the-password");
    let pgmig = pgmig();
    let arguments = arguments("sets/latest", &pgmig);
    refused(
        &restored,
        &arguments,
        "service instances",
        &["password authentication failed for user"],
    );
    let told = restored.restore(&arguments).everything();
    assert!(!told.contains("not-the-password"), "{told}");
    restored.set_password(&right);
    restored.run(&["--no-safety-backup"]).expect_code(0);
    restored.assert_new();
}

#[test]
fn whoever_may_not_scale_the_store_is_reported_before_anything_stops() {
    let restored = Restored::prepare(Profile::V5_2_1);
    let forbidden = Effect::Forbid {
        verb: "patch".to_owned(),
        group: "apps".to_owned(),
        resource: "deployments".to_owned(),
        subresource: "scale".to_owned(),
    };
    restored.world().fault(Matcher::default(), None, forbidden);
    let before = restored.world().sandbox().requests().len();
    let refused = restored.run(&[]).expect_code(4);
    for condition in ["permissions ", "permissions of the operator"] {
        let lines = refused.stdout.lines();
        let mut lines = lines.filter(|line| line.contains(condition));
        assert!(
            lines.any(|line| line.contains("patch deployments.apps/scale")),
            "{condition}: {}",
            refused.stdout
        );
    }
    let refused = restored.run(&["-o", "json"]).expect_code(4);
    refused.expect_shape("CheckReport");
    restored.world().sandbox().faults().clear();
    restored.assert_nothing_changed(before);
    restored.assert_counts(&[2], 1);
}

#[test]
fn a_volume_that_is_too_small_is_not_filled_and_another_directory_serves() {
    let restored = Restored::prepare_as(Profile::V5_2_1, |config| {
        config.variant.scratch_size = Some("8Mi".to_owned());
    });
    refused(
        &restored,
        &arguments("sets/latest", &pgmig()),
        "space in the pod",
        &[
            "the volume's sizeLimit is 8.0 MiB",
            "would evict the pod",
            "--stage-dir",
        ],
    );
    let elsewhere = ["--no-safety-backup", "--stage-dir", "/dev/shm"];
    restored.run(&elsewhere).expect_code(0);
    restored.assert_new();
    restored.assert_nothing_left();
    let world = restored.world();
    for pod in ["wa-postgres-16-1", "wa-postgres-16-2"] {
        let ls = ["exec", pod, "-c", "postgres", "--", "ls", "/dev/shm"];
        assert!(!world.kubectl(&ls).contains("wa-restore"), "{pod}");
    }
}

#[test]
fn a_file_system_that_is_too_small_is_not_filled() {
    let restored = Restored::prepare_as(Profile::V5_2_1, |config| {
        config.variant.shm_size = Some("8Mi".to_owned());
    });
    let elsewhere = ["--stage-dir", "/dev/shm"];
    refused(
        &restored,
        &[&arguments("sets/latest", &pgmig())[..], &elsewhere].concat(),
        "space in the pod",
        &["are needed in /dev/shm of pod", "are free", "--stage-dir"],
    );
}

#[test]
fn fewer_instances_than_the_backup_has_are_counted_and_named() {
    let restored = Restored::prepare_as(Profile::V5_2_1, |config| {
        config.variant.instances = Instances::Fewer;
    });
    let pgmig = pgmig();
    refused(
        &restored,
        &["run", "sets/latest", "--yes=wa", "--pgmig", &pgmig],
        "service instances",
        &["too few"],
    );
    // Of two instances that are to become one, one would be lost.
    let mapping = fs::read_to_string(restored.directory().join("mapping.yaml")).unwrap();
    let target = mapping.lines().nth(1).unwrap().rsplit(' ').next().unwrap();
    let everything_into_one: Vec<String> = mapping
        .lines()
        .map(|line| match line.rsplit_once(": ") {
            Some((source, _)) => format!("{source}: {target}\n"),
            None => format!("{line}\n"),
        })
        .collect();
    fs::write(
        restored.directory().join("mapping.yaml"),
        everything_into_one.concat(),
    )
    .unwrap();
    refused(
        &restored,
        &arguments("sets/latest", &pgmig),
        "service instances",
        &["the mapping cannot be used"],
    );
}

/// Without a mapping it is refused; with one it goes through.
#[track_caller]
fn one_name_twice_needs_a_mapping(restored: &Restored) {
    let pgmig = pgmig();
    refused(
        restored,
        &["run", "sets/latest", "--yes=wa", "--pgmig", &pgmig],
        "service instances",
        &["Customer Care"],
    );
    restored.run(&["--no-safety-backup"]).expect_code(0);
    restored.assert_new();
    restored.assert_counts(&[2], 1);
    restored.assert_nothing_left();
}

#[test]
fn instances_of_one_name_are_paired_by_the_user_alone() {
    let restored = Restored::prepare_as(Profile::V5_2_1, |config| {
        config.variant.instances = Instances::SameNames;
    });
    one_name_twice_needs_a_mapping(&restored);
}

#[test]
fn instances_of_one_name_in_the_backup_are_paired_by_the_user_alone() {
    let rename = |source: &World| {
        let renamed = source
            .lines("UPDATE tenant SET name = 'Customer Care' WHERE name LIKE 'Hilfe%' RETURNING 1");
        assert_eq!(renamed.len(), 1);
    };
    let restored = Restored::prepare_from(Profile::V5_2_1, rename, |_| ());
    one_name_twice_needs_a_mapping(&restored);
}
