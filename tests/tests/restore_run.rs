//! `kubectl wa-restore run`: the whole restore, on every release, and what it refuses.

use std::fs;
use std::time::Duration;

use end_to_end::{Restored, wait_until};
use kube_sandbox::api::LoggedRequest;
use kube_sandbox::faults::{Effect, Matcher};
use wa_sandbox::world::{Instances, Profile};

#[test]
fn every_release_is_restored_as_it_was_backed_up_and_comes_back_with_its_own_counts() {
    for profile in Profile::ALL {
        let restored = Restored::prepare_as(profile, |config| {
            config.variant.store_replicas = vec![3, 2];
            config.variant.operator_replicas = 2;
        });
        let report = restored.run(&["-o", "json"]).expect_code(0).json();
        assert_eq!(report["ready"], true, "{profile}: {report:#}");
        restored.assert_new();
        restored.assert_counts(&[3, 2], 2);
        restored.assert_nothing_left();
    }
}

#[test]
fn every_step_is_told_and_no_secret_is_in_what_is_reported_asked_or_left() {
    let restored = Restored::prepare(Profile::V5_2_1);
    let world = restored.world();
    let secret = |name: &str, key: &str| {
        let template = format!("go-template={{{{index .data {key:?}}}}}");
        world.kubectl(&["get", "secret", name, "-o", &template])
    };
    let token = "go-template={{.data.token | base64decode}}";
    let token = world.kubectl(&["get", "secret", "zen-service-broker-secret", "-o", token]);
    let key = secret("wa-auth-encryption", "authorization_encryption_key");
    let before = world.sandbox().requests().len();
    let ended = restored.run(&["--v", "9"]).expect_code(0);
    for step in 1..=12 {
        let line = format!("step {step} of 12:");
        assert!(
            ended.stderr.contains(&line),
            "no {line} in {}",
            ended.stderr
        );
    }
    for part in [
        "production was down for",
        "Not restored:",
        "kubectl wa-retrain run -n cpd -i wa",
    ] {
        assert!(ended.stdout.contains(part), "no {part} in {}", ended.stdout);
    }
    let mut told = ended.everything();
    let requests = world.sandbox().requests().split_off(before);
    let changes = |what: &str| {
        let of = |(_, request): &(usize, &LoggedRequest)| {
            request.method == "PATCH" && request.uri.contains(what)
        };
        let found: Vec<usize> = requests
            .iter()
            .enumerate()
            .filter(of)
            .map(|(at, _)| at)
            .collect();
        found
    };
    // Redis while nothing is there to fill its cache from the old database, and production is up before all is.
    let (store, redis) = (changes("deployments/wa-store/"), changes("wa-redis-server"));
    assert!(
        store.len() == 2 && store[0] < redis[0] && redis[0] < store[1],
        "{store:?} {redis:?}"
    );
    assert!(
        ended.stderr.contains("is up again, after "),
        "{}",
        ended.stderr
    );
    for request in requests {
        told.push_str(&request.uri);
    }
    told.push_str(&restored.journal().unwrap().to_string());
    for secret in [world.password(), key, token] {
        assert!(!secret.is_empty());
        assert!(!told.contains(&secret), "a secret in {told}");
    }
    let width = ended.stdout.lines().map(|line| line.chars().count()).max();
    assert!(width.unwrap() <= 120, "{}", ended.stdout);
    // The key that the target had is kept, and the backup's is in its place.
    let run = restored.journal().unwrap()["data"]["run"]
        .as_str()
        .unwrap()
        .to_owned();
    let kept = secret(&format!("{run}-key"), "old");
    assert_ne!(
        kept,
        secret("wa-auth-encryption", "authorization_encryption_key")
    );
    // A safety backup is not the latest one.
    let log = restored
        .directory()
        .join(format!("wa-backups/{run}.pgmig.log"));
    assert!(
        fs::read_to_string(log)
            .unwrap()
            .contains("The restore is complete")
    );
}

#[test]
fn what_cannot_work_is_refused_before_anything_is_changed() {
    let restored = Restored::prepare_as(Profile::V5_2_1, |config| {
        config.variant.instances = Instances::Fewer;
    });
    let world = restored.world();
    let unchanged = || {
        let is_change =
            |method: &str, uri: &str| method != "GET" && !uri.contains("/selfsubjectaccessreviews");
        let requests = world.sandbox().requests();
        let own = requests
            .iter()
            .filter(|request| request.agent.starts_with("kubectl-wa-restore"));
        for request in own {
            assert!(!is_change(&request.method, &request.uri), "{request:?}");
        }
    };
    let refused = restored.run(&[]).expect_code(4);
    assert!(
        refused.stdout.contains("the mapping cannot be used"),
        "{refused:?}"
    );
    let few = ["run", "sets/latest", "--yes=wa", "--pgmig", "none"];
    let refused = restored.restore(&few).expect_code(4);
    assert!(refused.stdout.contains("too few"), "{refused:?}");
    let forbidden = Effect::Forbid {
        verb: "patch".to_owned(),
        group: "apps".to_owned(),
        resource: "deployments".to_owned(),
        subresource: "scale".to_owned(),
    };
    world.fault(Matcher::default(), None, forbidden);
    let refused = restored.run(&[]).expect_code(4);
    assert!(
        refused.stdout.contains("patch deployments.apps/scale"),
        "{refused:?}"
    );
    world.sandbox().faults().clear();
    unchanged();
}

#[test]
fn nobody_is_taken_to_agree_who_has_not_named_the_instance() {
    let restored = Restored::prepare(Profile::V5_1);
    let pgmig = end_to_end::binary("pgmig").display().to_string();
    let run = |yes: &[&str]| {
        let backup = [
            "sets/latest",
            "--mapping",
            "mapping.yaml",
            "--pgmig",
            &pgmig,
        ];
        let tokens = restored.token_arguments();
        let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
        restored.restore(&[&backup, &tokens[..], yes].concat())
    };
    for (yes, told) in [
        (&[][..], "--yes=wa"),
        (&["--yes"], "a bare --yes"),
        (&["--yes=wo"], "does not name the instance"),
    ] {
        let refused = run(yes).expect_code(4);
        assert!(refused.stderr.contains(told), "{yes:?}: {refused:?}");
    }
    assert!(restored.journal().is_none());
    restored.assert_old();
}

#[test]
fn a_wrong_token_comes_out_while_everything_still_runs() {
    let restored = Restored::prepare(Profile::V5_1);
    fs::write(restored.directory().join("expired"), "ey.expired\n").unwrap();
    let pgmig = end_to_end::binary("pgmig").display().to_string();
    let failed = restored.restore(&[
        "sets/latest",
        "--mapping",
        "mapping.yaml",
        "--pgmig",
        &pgmig,
        "--yes=wa",
        "--rc-form",
        "user-tokens",
        "--token-file",
        "expired",
    ]);
    let failed = failed.expect_code(1);
    assert!(failed.stderr.contains("401 Unauthorized"), "{failed:?}");
    assert!(!failed.stderr.contains("ey.expired"), "{failed:?}");
    assert!(!failed.stderr.contains("is down from"), "{failed:?}");
    restored.assert_old();
    restored.assert_counts(&[2], 1);
    restored.assert_nothing_left();
}

#[test]
fn two_at_once_do_not_get_into_each_others_way_and_the_nightly_backup_waits() {
    let restored = Restored::prepare(Profile::V5_2_1);
    let world = restored.world();
    let cron_job = world.sandbox().names().cron_job();
    let schedule = |text: &str| {
        let patch = format!(r#"{{"spec":{{"schedule":"{text}"}}}}"#);
        world.kubectl(&["patch", "cronjob", &cron_job, "--type=merge", "-p", &patch]);
    };
    // As long as a minute begins in the middle.
    restored.pgmig_faults("silence=65");
    let said = tempfile::NamedTempFile::new().unwrap();
    let mut first = restored.start(&["--no-safety-backup"], &said);
    wait_until("pgmig is started", || restored.pgmig_is_started());
    let jobs = || world.kubectl(&["get", "jobs", "-o", "name"]);
    let before = jobs();
    schedule("* * * * *");
    let second = restored.run(&["--no-safety-backup"]).expect_code(4);
    assert!(
        second.stderr.contains("holds the lease wa-restore-wa"),
        "{second:?}"
    );
    let status = restored.restore(&["status"]).expect_code(0);
    assert!(status.stdout.contains("runs"), "{status:?}");
    assert!(status.stdout.contains("at work in pod"), "{status:?}");
    // A minute begins meanwhile.
    while restored.state_of("migrate").as_deref() == Some("started") {
        assert_eq!(
            jobs(),
            before,
            "a backup of a database that is half restored"
        );
        std::thread::sleep(Duration::from_millis(300));
    }
    schedule("0 5 31 12 *");
    assert!(
        first.wait().unwrap().success(),
        "{}",
        fs::read_to_string(said.path()).unwrap()
    );
    restored.assert_new();
    restored.assert_nothing_left();
}

#[test]
fn another_instance_of_the_same_operator_is_not_restored_at_the_same_time() {
    let restored = Restored::prepare_as(Profile::V5_2_1, |config| {
        config.variant.orchestrate = true;
    });
    let own = ["create", "-i", "wo-wa", "--to", "own"];
    restored
        .world()
        .backup(restored.directory(), &own)
        .expect_code(0);
    restored.pgmig_faults("silence=20");
    let said = tempfile::NamedTempFile::new().unwrap();
    let mut first = restored.start(&["-i", "wa", "--no-safety-backup"], &said);
    // Before the operator is stopped, which the conditions of the other one would find.
    wait_until("the locks are taken", || {
        restored.state_of("stage").is_some()
    });
    let pgmig = end_to_end::binary("pgmig").display().to_string();
    let other = [
        "run",
        "own/latest",
        "-i",
        "wo-wa",
        "--yes=wo-wa",
        "--pgmig",
        &pgmig,
        "--no-safety-backup",
    ];
    let refused = restored.restore(&other).expect_code(4);
    let why = refused.everything();
    assert!(
        why.contains("kubectl-wa-ibm-watson-assistant-operator") || why.contains("is scaled to 0"),
        "{why}"
    );
    assert!(
        first.wait().unwrap().success(),
        "{}",
        fs::read_to_string(said.path()).unwrap()
    );
    assert!(
        fs::read_to_string(said.path())
            .unwrap()
            .contains("nobody looks after wo-wa in cpd")
    );
    restored.assert_new();
}
