//! `-o json`: every line of standard error is an object, to the last one, which names the exit code; what a result is made
//! of stands in docs/output.md.

#![expect(
    clippy::unwrap_used,
    reason = "what cannot be unwrapped here fails the test"
)]

use std::process::Command;
use std::time::{Duration, Instant};

use end_to_end::{FETCH, Outcome, Request, Shapes, World, binary, run};
use rustix::process::Signal;
use serde_json::{Value, json};

const FETCHES: Request = ("GET", FETCH);
const DELETES_POD: Request = ("DELETE", "/pods/");
const PULL: &[&str] = &["pull", "--latest", "--via", "debug", "-o", "json"];

/// The lines of a command that ended with that code.
#[track_caller]
fn lines(outcome: Outcome, code: i32) -> Vec<Value> {
    let outcome = outcome.expect_code(code);
    let parse = |line: &str| -> Value {
        let line: Value = serde_json::from_str(line)
            .unwrap_or_else(|error| panic!("{error} in {line:?} of\n{}", outcome.stderr));
        for field in ["time", "level", "event", "message"] {
            assert!(line[field].is_string(), "no {field} in {line}");
        }
        line
    };
    let lines: Vec<Value> = outcome.stderr.lines().map(parse).collect();
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["event"], &last["exitCode"]),
        (&json!("ended"), &json!(code))
    );
    lines
}

fn events<'a>(lines: &'a [Value], event: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["event"] == event).collect()
}

#[test]
fn an_error_is_an_object() {
    let world = World::shared();
    let scratch = world.scratch();
    let nowhere = ["create", "-n", "nowhere", "-o", "json", "-v", "6"];
    let lines = lines(world.backup(scratch.path(), &nowhere), 1);
    let errors = events(&lines, "error");
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0]["exitCode"], 1);
    assert!(!events(&lines, "log").is_empty(), "{lines:?}");
}

/// What came of the step of that name, as fields.
#[track_caller]
fn data<'a>(lines: &'a [Value], step: &str) -> &'a Value {
    let mut finished = events(lines, "stepFinished").into_iter();
    let finished = finished.find(|line| line["step"] == step);
    let finished = finished.unwrap_or_else(|| panic!("no step {step} in {lines:?}"));
    assert_eq!(finished["outcome"], "done");
    assert!(finished["durationSeconds"].is_number(), "{finished}");
    let began = events(lines, "stepStarted");
    assert!(began.iter().any(|line| line["id"] == finished["id"]));
    &finished["data"]
}

#[test]
fn what_came_of_a_step_is_in_fields() {
    let world = World::shared();
    let scratch = world.scratch();
    let create = world.backup(scratch.path(), &["create", "--to", "made", "-o", "json"]);
    let pull = world.pvc(scratch.path(), &[PULL, &["--to", "sets"]].concat());
    for (outcome, arrived) in [(create, "store.dump"), (pull, "fetched")] {
        let lines = lines(outcome, 0);
        let dump = data(&lines, arrived);
        assert!(dump["bytes"].as_u64().unwrap() > 0, "{dump}");
        assert_eq!(dump["sha256"].as_str().unwrap().len(), 64, "{dump}");
        let verified = data(&lines, "verified");
        assert_eq!(verified["serviceInstances"], 5, "{verified}");
        assert!(verified["tables"].as_u64().unwrap() > 0, "{verified}");
        assert!(verified["rows"].as_u64().unwrap() > 0, "{verified}");
        assert!(data(&lines, "auth-encryption.yaml")["bytes"].is_number());
    }
}

#[test]
fn wrong_usage_is_an_object() {
    let world = World::shared();
    let scratch = world.scratch();
    let wrong = world.backup(scratch.path(), &["create", "-o", "json", "--retries", "x"]);
    let lines = lines(wrong, 1);
    assert!(lines[0]["message"].as_str().unwrap().contains("--retries"));
}

#[test]
fn an_interruption_and_a_refusal_are_objects() {
    let world = World::shared();
    let scratch = world.scratch();
    world.slow_fetches();
    let mut running = world.start_pvc(scratch.path(), PULL);
    running.until(FETCHES);
    let refused = world.pvc(scratch.path(), &["cleanup", "-o", "json"]);
    assert_eq!(refused.json()["runs"][0]["outcome"], "refused");
    lines(refused, 4);
    running.signal(Signal::INT);
    let lines = lines(running.end(), 130);
    assert_eq!(events(&lines, "interrupted")[0]["undoing"], true);
    world.expect_nothing_left();
}

#[test]
fn commands_hear_signals_though_the_test_was_started_to_ignore_them() {
    let ignore =
        "trap '' HUP INT TERM; exec \"$0\" --exact an_interruption_and_a_refusal_are_objects";
    let mut ignoring = Command::new("sh");
    ignoring
        .args(["-c", ignore])
        .arg(std::env::current_exe().unwrap());
    let outcome = run(&mut ignoring).expect_code(0);
    assert!(outcome.stdout.contains("1 passed"), "{outcome:?}");
}

#[test]
fn what_is_left_behind_is_in_an_object() {
    let world = World::shared();
    let scratch = world.scratch();
    world.slow_fetches();
    let mut running = world.start_pvc(scratch.path(), PULL);
    running.until(FETCHES);
    let pod = format!("{}-helper", world.only_lease());
    let finalizers = |finalizers: &[&str]| {
        let patch = json!({ "metadata": { "finalizers": finalizers } }).to_string();
        world.kubectl(&["patch", "pod", &pod, "--type=merge", "-p", &patch]);
    };
    finalizers(&["example.com/keep"]);
    let first = Instant::now();
    running.signal(Signal::INT);
    running.until(DELETES_POD);
    // Signals that come sooner belong to the first.
    while first.elapsed() < Duration::from_millis(1200) {
        std::thread::sleep(Duration::from_millis(50));
    }
    running.signal(Signal::INT);
    let lines = lines(running.end(), 6);
    let left = &events(&lines, "error")[0]["leftovers"][0];
    assert_eq!(left["what"], format!("pod {pod}"));
    assert!(
        left["byHand"]
            .as_str()
            .unwrap()
            .contains("kubectl delete pod")
    );
    finalizers(&[]);
    world.cleanup(0);
    world.expect_nothing_left();
}

/// The commands below one, or of a plugin, that print a result.
fn commands_of(plugin: &str, above: &[&str]) -> Vec<String> {
    let none = ["help", "completion", "options"];
    let mut help = std::process::Command::new(binary(&format!("kubectl-{plugin}")));
    let help = run(help.args(above).arg("-h")).expect_code(0).stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    // A description may go on in a second line.
    let names = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    names
        .filter(|command| !command.is_empty() && !none.contains(command))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_has_a_section_in_the_documentation_of_output() {
    let shapes = Shapes::documented();
    for plugin in ["wa-backup", "wa-pvc", "wa-restore", "wa-retrain"] {
        let commands = commands_of(plugin, &[]);
        assert!(commands.len() > 3, "{commands:?}");
        for command in commands {
            let below = commands_of(plugin, &[&command]);
            let below: Vec<String> = below
                .iter()
                .map(|below| format!("{command} {below}"))
                .collect();
            let group = !below.is_empty();
            for command in if group { below } else { vec![command] } {
                let heading = format!("kubectl {plugin} {command}");
                assert!(shapes.has(&heading), "no {heading} in docs/output.md");
            }
        }
    }
    // What is not as documented is found.
    let report = json!({"namespace": "cpd", "ok": 1, "checks": [{"name": "a", "result": "ok", "detail": "", "more": ""}]});
    assert_eq!(
        shapes.problems("kubectl wa-backup check", &report),
        [
            "kubectl wa-backup check: ok is no boolean: 1",
            "kubectl wa-backup check: checks has more, which is not documented",
        ]
    );
    assert_eq!(
        shapes.problems("Tool", &json!({"name": "a"})),
        ["Tool has no version"]
    );
    assert_eq!(
        shapes.problems(
            "kubectl wa-backup inspect --rows",
            &json!([{"a": "1", "b": 2}])
        ),
        ["kubectl wa-backup inspect --rows: b is no string: 2"]
    );
}
