//! Watching a retraining: restarts, an API server that is away, forms of the log, and a user who presses Ctrl-C.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::fs;
use std::io::Write as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use end_to_end::{Objects, Outcome, World, binary, run, start, wait_until};
use kube_sandbox::faults::{Effect, Matcher};
use wa_sandbox::world::{RetrainFault, SummaryForm};

const IMPATIENT: [&str; 3] = ["--timeout", "3m", "--force"];
const WATCH: [&str; 4] = ["status", "--watch", "--interval", "200ms"];

/// A world in which patches take effect within seconds, and training takes some.
fn world(speed: u32) -> World {
    World::start_as(|config| {
        config.variant.operator_period = Duration::from_secs(2);
        config.variant.retrain_speed = speed;
    })
}

fn faults(world: &World, faults: &[RetrainFault]) {
    world.sandbox().set_retrain_faults(faults).unwrap();
}

#[track_caller]
fn start_job(world: &World) {
    let start = [
        "start",
        "--in",
        "6s",
        "--yes",
        "--batch-size",
        "6",
        "--batch-wait",
        "60",
    ];
    world
        .retrain(&[&start[..], &IMPATIENT].concat())
        .expect_code(0);
}

#[track_caller]
fn until_trained(world: &World, count: &str) {
    wait_until(&format!("{count} are trained"), || {
        // A pod may go between the list and its log.
        let logs = ["logs", "-l", "component=store-admin", "--tail=-1"];
        let log = run(world.command("kubectl").args(logs)).stdout;
        log.contains(&format!("Total: {count}"))
    });
}

#[test]
fn every_form_of_the_summary_is_read_and_one_that_is_not_known_is_shown_and_no_success() {
    let world = world(600);
    for form in [
        SummaryForm::Json,
        SummaryForm::Reversed,
        SummaryForm::TwoLines,
    ] {
        faults(&world, &[RetrainFault::Form(form)]);
        start_job(&world);
        let watched = world.retrain(&WATCH).expect_code(0);
        assert!(
            watched.stdout.contains("24 (100 %)"),
            "{}",
            watched.everything()
        );
        world
            .retrain(&[&["finish"][..], &IMPATIENT].concat())
            .expect_code(0);
    }
    faults(&world, &[RetrainFault::Form(SummaryForm::Unknown)]);
    start_job(&world);
    let watched = world
        .retrain(&[&WATCH[..], &["--stall", "15s"]].concat())
        .expect_code(3);
    let shown = "[RETRAIN-ALL-SUMMARY] retraining is under way";
    assert!(watched.stdout.contains(shown), "{}", watched.stdout);
}

#[test]
fn training_is_followed_over_a_restart_of_store_admin_and_a_lost_api_server() {
    let world = world(60);
    faults(
        &world,
        &[RetrainFault::CrashAfter(12), RetrainFault::Resume],
    );
    start_job(&world);
    let watching = start(&mut world.retrain_command(&WATCH));
    until_trained(&world, "6");
    world.fault(Matcher::default(), None, Effect::RefuseConnections);
    std::thread::sleep(Duration::from_secs(3));
    world.sandbox().faults().clear();
    let outcome: Outcome = watching.wait_with_output().unwrap().into();
    let outcome = outcome.expect_code(0);
    assert!(
        outcome.stdout.contains("24 (100 %)"),
        "{}",
        outcome.everything()
    );
    assert!(
        outcome.stderr.contains("store-admin runs anew"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn without_watching_status_says_where_it_is_and_that_it_goes_on() {
    let world = world(60);
    world.retrain(&["status"]).expect_code(7);
    faults(&world, &[RetrainFault::StallAfter(6)]);
    start_job(&world);
    until_trained(&world, "6");
    let status = world
        .retrain(&["status", "-o", "json"])
        .expect_code(5)
        .json();
    assert_eq!(status["phase"], "training");
    assert_eq!(
        (
            &status["progress"]["affected"],
            &status["progress"]["retrained"]
        ),
        (&24.into(), &6.into())
    );
    let stalled = || world.retrain(&["status", "--stall", "1s"]);
    wait_until("nothing has changed for a second", || stalled().code == 3);
    stalled().expect_error(&["18 of 24 models (75 %) are not trained"]);
}

/// A command on a terminal of its own.
struct OnTerminal {
    child: Child,
    output: tempfile::NamedTempFile,
}

impl OnTerminal {
    fn start(world: &World, arguments: &[&str]) -> Self {
        let output = tempfile::NamedTempFile::new().unwrap();
        let program = binary("kubectl-wa-retrain");
        let command = format!("{} {}", program.display(), arguments.join(" "));
        let child = world
            .on_terminal(&command)
            .stdin(Stdio::piped())
            .stdout(output.reopen().unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, output }
    }

    #[track_caller]
    fn until_shown(&self, part: &str) {
        wait_until(&format!("{part:?} is shown"), || {
            self.shown().contains(part)
        });
    }

    #[track_caller]
    fn until_shown_twice(&self, part: &str) {
        wait_until(&format!("{part:?} is shown twice"), || {
            self.shown().matches(part).count() == 2
        });
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.output.path()).unwrap()).into_owned()
    }

    fn types(&mut self, keys: &str) {
        self.child
            .stdin
            .as_mut()
            .unwrap()
            .write_all(keys.as_bytes())
            .unwrap();
    }

    fn code(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }
}

#[test]
fn ctrl_c_asks_whether_to_leave_training_running_or_to_undo() {
    let world = world(60);
    let before = Objects::from_world(&world);
    let run = [
        &["run", "--in", "40m", "--interval", "300ms"][..],
        &IMPATIENT,
    ]
    .concat();
    let mut first = OnTerminal::start(&world, &run);
    first.until_shown("Nobody should use the assistants");
    first.types("yes\n");
    first.until_shown("waiting for schedule");
    first.types("\u{3}");
    first.until_shown("[leave/undo/continue]");
    first.types("continue\n");
    // One that comes before the answer is read ends the command.
    first.until_shown("Ctrl-C asks again");
    first.types("\u{3}");
    first.until_shown_twice("[leave/undo/continue]");
    first.types("l\n");
    assert_eq!(first.code(), 5);
    world.retrain(&["status"]).expect_code(5);

    let mut again = OnTerminal::start(&world, &run);
    again.until_shown("waiting for schedule");
    again.types("\u{3}");
    again.until_shown("[leave/undo/continue]");
    again.types("undo\n");
    assert_eq!(again.code(), 130);
    before.assert_same_as(&Objects::from_world(&world));
}
