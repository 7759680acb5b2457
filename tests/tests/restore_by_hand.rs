//! The commands that `kubectl wa-restore plan` prints, typed in a shell with the real kubectl.
//!
//! What shows for ever is left when it has shown what was wanted, as a person would; everything else is typed as it stands.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what cannot be unwrapped here fails the test, and a test that fails shows what it printed"
)]

use std::fs;

use end_to_end::{Outcome, Restored, run, wait_until};
use serde_json::Value;
use wa_sandbox::world::Profile;

/// Somebody with a shell in which `oc` is kubectl.
struct Typist<'a>(&'a Restored);

impl Typist<'_> {
    fn try_to_type(&self, command: &str) -> Outcome {
        let script = format!("oc() {{ kubectl \"$@\"; }}\n{command}");
        let restored = self.0;
        let mut bash = restored.world().command("bash");
        let typed = run(bash.args(["-c", &script]).current_dir(restored.directory()));
        println!("$ {command}\n{}", typed.everything());
        typed
    }

    #[track_caller]
    fn type_in(&self, command: &str) -> Outcome {
        self.try_to_type(command).expect_code(0)
    }

    /// Types a command of the plan.
    #[track_caller]
    fn follow(&self, command: &str) {
        if command.ends_with("tail -n +1 -f pgmig.log'") {
            let ended = command.replace("tail -n +1 -f pgmig.log", "cat pgmig.exit");
            assert_ne!(command, ended);
            wait_until("pgmig has ended", || self.try_to_type(&ended).code == 0);
        } else if command.ends_with("cat pgmig.exit'") {
            assert_eq!(self.type_in(command).stdout.trim(), "0");
        } else if command.ends_with(" -w") {
            wait_until("the status is well", || {
                let shown = self.try_to_type(
                    &format!("timeout 2 {command}").replace("timeout 2 oc", "timeout 2 kubectl"),
                );
                shown.stdout.contains("Completed 100%")
            });
        } else {
            self.type_in(command);
        }
    }
}

/// The plan, a step after the other: name, and commands.
fn plan(restored: &Restored) -> Vec<(String, Vec<String>)> {
    let pgmig = end_to_end::binary("pgmig").display().to_string();
    let arguments = [
        "plan",
        "sets/latest",
        "--mapping",
        "mapping.yaml",
        "--pgmig",
        &pgmig,
    ];
    let plan = restored
        .restore(&[&arguments[..], &["-o", "json"]].concat())
        .expect_code(0)
        .json();
    let steps = plan["steps"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    steps
        .map(|step| {
            let commands = step["commands"].as_array().unwrap().iter();
            (text(&step["name"]), commands.map(text).collect())
        })
        .collect()
}

fn counts_of_three_and_two(profile: Profile) -> Restored {
    Restored::prepare_as(profile, |config| {
        config.variant.store_replicas = vec![3, 2];
        config.variant.operator_replicas = 2;
        config.variant.operator_keeps_counts = true;
    })
}

/// A backup by hand that is at work now, and fails in the end.
fn start_failing_backup(restored: &Restored) {
    let world = restored.world();
    let cron_job = format!("--from=cronjob/{}", world.sandbox().names().cron_job());
    let create = ["create", "job", "by-hand", &cron_job, "--dry-run=client"];
    let job = world.kubectl(&[&create[..], &["-o", "json"]].concat());
    let mut job: Value = serde_json::from_str(&job).unwrap();
    job["spec"]["backoffLimit"] = 0.into();
    let container = &mut job["spec"]["template"]["spec"]["containers"][0];
    container["command"] = serde_json::json!(["sh", "-c", "sleep 15; exit 1"]);
    let file = restored.directory().join("job.json");
    fs::write(&file, job.to_string()).unwrap();
    world.kubectl(&["create", "-f", file.to_str().unwrap()]);
    wait_until("the backup by hand is at work", || {
        let active = "jsonpath={.status.active}";
        world.kubectl(&["get", "job", "by-hand", "-o", active]) == "1"
    });
}

#[test]
fn the_commands_of_the_plan_restore_the_database() {
    for profile in [Profile::V5_2_1, Profile::V4_8_5] {
        let restored = counts_of_three_and_two(profile);
        start_failing_backup(&restored);
        let typist = Typist(&restored);
        let tokens = restored.token_arguments().join(" ");
        for (name, commands) in plan(&restored) {
            if name == "way back" {
                // Only if something failed.
                continue;
            }
            if name == "quiesce" {
                assert!(commands.iter().any(|one| one.contains("job/by-hand")));
            }
            for command in commands {
                typist.follow(&command.replace("--token-file <TOKEN_FILE>", &tokens));
            }
        }
        restored.assert_new();
        restored.assert_counts(&[3, 2], 2);
        restored.assert_nothing_left();
        let databases = "SELECT datname FROM pg_database WHERE datname LIKE '%before_restore%'";
        assert!(restored.world().lines(databases).is_empty(), "{profile}");
        assert!(!restored.directory().join("wa-restore-files").exists());
    }
}

#[test]
fn the_way_back_of_the_plan_leads_to_the_database_of_before() {
    let restored = counts_of_three_and_two(Profile::V5_2_1);
    let typist = Typist(&restored);
    let plan = plan(&restored);
    let step = |wanted: &str| {
        let found = plan.iter().find(|(name, _)| name == wanted);
        found.unwrap().1.clone()
    };
    for name in ["prepare", "stage", "connections", "quiesce", "copy"] {
        for command in step(name) {
            typist.follow(&command);
        }
    }
    // It fails.
    restored.pgmig_faults("crash-after-clearing");
    let migrate = step("migrate");
    typist.type_in(&migrate[0]);
    wait_until("pgmig has failed", || {
        let ended = typist.try_to_type(&migrate[2]);
        ended.code == 0 && ended.stdout.trim() != "0"
    });
    for name in ["way back", "resume service"] {
        for command in step(name) {
            typist.follow(&command);
        }
    }
    restored.assert_old();
    restored.assert_counts(&[3, 2], 2);
}
