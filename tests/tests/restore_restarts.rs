//! A restore that dies together with the machines it works on: API server and nodes are started again before anybody
//! looks after it.

use std::time::Duration;

use end_to_end::{Restored, World, run, sweep_random, sweep_rounds, wait_until};
use kube_sandbox::faults::{Effect, Matcher};
use rand::RngExt as _;
use rustix::process::Signal;
use wa_sandbox::world::Profile;

/// A restore writes its journal about so often.
const JOURNAL_WRITES: usize = 31;

/// Starts everything of the cluster again: its API server is away for that time, and every process in every pod ends.
fn restart_cluster(world: &World, away: Duration) {
    world.fault(Matcher::default(), None, Effect::RefuseConnections);
    world.sandbox().restart_nodes();
    std::thread::sleep(away);
    world.sandbox().faults().clear();
    let primary = world.sandbox().names().primary_pod();
    wait_until("the database serves again", || {
        let psql = [
            "exec", &primary, "-c", "postgres", "--", "psql", "-Atqc", "select 1",
        ];
        run(world.command("kubectl").args(psql)).code == 0
    });
    for pod in ["wa-postgres-16-1", "wa-postgres-16-2"] {
        let ready = ["wait", "pod", pod, "--for=condition=Ready", "--timeout=60s"];
        world.kubectl(&ready);
    }
}

/// How often pgmig was started.
fn pgmigs(restored: &Restored) -> usize {
    let requests = restored.world().sandbox().requests();
    let starts = requests.iter().filter(|one| one.uri.contains("--mapping"));
    starts.count()
}

fn kill_after(restored: &Restored, writes: usize) {
    let before = restored.journal_writes();
    let is_over = |restored: &Restored| {
        let journal = restored.journal();
        journal.is_some_and(|journal| journal["data"]["state"] == "done")
    };
    restored.signal_when(
        "the journal is written so often",
        Signal::KILL,
        |restored| {
            let written = restored.journal_writes() - before;
            written >= writes || (written > 1 && is_over(restored))
        },
    );
}

#[test]
fn a_restore_that_dies_with_api_server_and_nodes_is_resumed_when_they_are_back() {
    let restored = Restored::prepare(Profile::V5_2_1);
    restored.keep_original();
    let mut random = sweep_random();
    let rounds = sweep_rounds(3, JOURNAL_WRITES);
    for round in 0..rounds {
        let writes = if rounds == JOURNAL_WRITES {
            round + 1
        } else {
            random.random_range(1..=JOURNAL_WRITES)
        };
        let away = Duration::from_millis(random.random_range(0..3000));
        println!("killed after write {writes}, API server away for {away:?}");
        kill_after(&restored, writes);
        let is_over = restored.journal().unwrap()["data"]["state"] == "done";
        restart_cluster(restored.world(), away);
        let code = if is_over { 4 } else { 0 };
        let resumed = restored.restore(&["resume"]).expect_code(code);
        println!("{}", resumed.stderr);
        restored.assert_new();
        restored.assert_counts(&[2], 1);
        if !is_over {
            restored.assert_nothing_left();
        }
        restored.reset();
    }
}

#[test]
fn pgmig_that_went_with_its_node_is_settled_by_looking_and_run_again() {
    let restored = Restored::prepare(Profile::V5_2_1);
    restored.keep_original();
    for slow in ["silence=60", "slow-restore=60000"] {
        restored.pgmig_faults(slow);
        let before = pgmigs(&restored);
        restored.signal_when("pgmig is at work", Signal::KILL, |restored| {
            pgmigs(restored) > before
        });
        restart_cluster(restored.world(), Duration::from_secs(1));
        let status = restored.restore(&["status"]).expect_code(6);
        assert!(
            status.stdout.contains("ended from outside") || status.stdout.contains("not started"),
            "{status:?}"
        );
        restored.assert_counts(&[0], 0);
        restored.pgmig_faults("");
        if slow.starts_with("silence") {
            restored.restore(&["resume"]).expect_code(0);
            restored.assert_new();
        } else {
            restored.restore(&["rollback", "--yes=wa"]).expect_code(0);
            restored.assert_old();
        }
        restored.assert_counts(&[2], 1);
        restored.assert_nothing_left();
        restored.reset();
    }
}

#[test]
fn a_node_that_restarts_under_a_running_restore_is_reported_and_the_restore_resumed() {
    let restored = Restored::prepare(Profile::V5_2_1);
    restored.pgmig_faults("silence=60");
    let said = tempfile::NamedTempFile::new().unwrap();
    let mut child = restored.start(&["--no-safety-backup"], &said);
    wait_until("pgmig is at work", || {
        std::fs::read_to_string(said.path())
            .unwrap()
            .contains("Restoring")
    });
    restored.world().sandbox().restart_nodes();
    let code = child.wait().unwrap().code();
    let told = std::fs::read_to_string(said.path()).unwrap();
    assert_eq!(code, Some(6), "{told}");
    // As it finds the pod: started again, or not yet.
    assert!(
        told.contains("pgmig was ended from outside") || told.contains("is gone or not Ready"),
        "{told}"
    );
    restored.assert_counts(&[0], 0);
    restart_cluster(restored.world(), Duration::ZERO);
    restored.pgmig_faults("");
    restored.restore(&["resume"]).expect_code(0);
    restored.assert_new();
    restored.assert_counts(&[2], 1);
    restored.assert_nothing_left();
}

#[test]
fn what_was_staged_in_a_pod_that_is_evicted_under_pgmig_is_staged_anew_though_the_pod_stays() {
    let restored = Restored::prepare_as(Profile::V5_2_1, |config| {
        config.variant.scratch_size = Some("64Mi".to_owned());
    });
    restored.pgmig_faults("silence=60");
    let said = tempfile::NamedTempFile::new().unwrap();
    let mut child = restored.start(&["--no-safety-backup"], &said);
    wait_until("pgmig is at work", || {
        std::fs::read_to_string(said.path())
            .unwrap()
            .contains("Restoring")
    });
    let world = restored.world();
    let staged_in = "wa-postgres-16-2";
    let uid = || {
        let get = ["get", "pod", staged_in, "--ignore-not-found", "-o"];
        world.kubectl(&[&get[..], &["jsonpath={.metadata.uid}"]].concat())
    };
    let before = uid();
    // The object of the evicted pod stays for now.
    let keep = |finalizers: &str| {
        let patch = format!(r#"{{"metadata":{{"finalizers":{finalizers}}}}}"#);
        world.kubectl(&["patch", "pod", staged_in, "--type=merge", "-p", &patch]);
    };
    keep(r#"["example.com/keeps-it"]"#);
    // Somebody else fills it.
    let fill = "head -c 80000000 /dev/zero >/controller/core.1; exec sleep 60";
    let exec = ["exec", staged_in, "-c", "postgres", "--", "sh", "-c", fill];
    run(world.command("kubectl").args(exec));
    wait_until("it is evicted", || {
        let phase = ["get", "pod", staged_in, "-o", "jsonpath={.status.phase}"];
        world.kubectl(&phase) == "Failed"
    });
    let code = child.wait().unwrap().code();
    let told = std::fs::read_to_string(said.path()).unwrap();
    assert_eq!(code, Some(6), "{told}");
    assert!(told.contains("kubectl wa-restore resume"), "{told}");
    restored.assert_counts(&[0], 0);
    let resumed = restored.restore(&["resume"]).expect_code(0);
    assert!(resumed.stderr.contains("is staged again"), "{resumed:?}");
    assert_eq!(uid(), before);
    keep("null");
    wait_until("there is another pod of that name", || {
        let now = uid();
        !now.is_empty() && now != before
    });
    let ready = [
        "wait",
        "pod",
        staged_in,
        "--for=condition=Ready",
        "--timeout=60s",
    ];
    world.kubectl(&ready);
    restored.assert_new();
    restored.assert_counts(&[2], 1);
    restored.assert_nothing_left();
}
