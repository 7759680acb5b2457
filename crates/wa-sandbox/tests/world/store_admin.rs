//! store-admin, which has all models trained as its environment says.

use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;
use wa_sandbox::world::{RetrainFault, SummaryForm, Variant};

use crate::support::World;

const ALWAYS: &str = "* * * * * ? *";

fn fast() -> Variant {
    Variant {
        retrain_speed: 600,
        grace_seconds: 0,
        // Nothing of it is patched here.
        operator_period: Duration::from_hours(1),
        ..Variant::default()
    }
}

/// A schedule for that second alone.
fn at(time: Timestamp) -> String {
    time.strftime("%-S %-M %-H %-d %-m ? %Y").to_string()
}

impl World {
    /// Gives store-admin this schedule, and returns its pods when they have it.
    async fn schedule(&self, schedule: &str) -> Vec<String> {
        let schedule = format!("AUTO_RETRAIN_ALL_CRON_SCHEDULE={schedule}");
        let set = ["set", "env", "deployment/wa-store-admin", &schedule];
        self.ask(&[&set[..], &["AUTO_RETRAIN_ALL_ENABLED=true"]].concat());
        let rollout = ["rollout", "status", "deployment/wa-store-admin"];
        self.ask(&[&rollout[..], &["--timeout=120s"]].concat());
        self.pods().await
    }

    /// The pods of store-admin, when none is on its way out.
    async fn pods(&self) -> Vec<String> {
        let list = || self.read(&["get", "pods", "-l", "component=store-admin"])["items"].take();
        let stay = |pod: &Value| pod["metadata"]["deletionTimestamp"].is_null();
        self.until_true("old pods to go", || {
            list().as_array().unwrap().iter().all(stay)
        })
        .await;
        let pods = list();
        let names = pods.as_array().unwrap().iter();
        names
            .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }

    async fn until_logged(&self, pod: &str, text: &str) {
        self.until_true(&format!("{text:?} in the log of {pod}"), || {
            self.ask(&["logs", pod]).contains(text)
        })
        .await;
    }

    fn set_faults(&self, faults: &[RetrainFault]) {
        self.sandbox.set_retrain_faults(faults).unwrap();
    }
}

/// How many were trained by each summary in a log.
fn totals(log: &str) -> Vec<u64> {
    let lines = log.lines();
    let summaries = lines.filter(|line| line.contains("[RETRAIN-ALL-SUMMARY]"));
    let total = |line: &str| {
        assert!(line.contains("Affected workspaces found: 24,"), "{line}");
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    summaries.map(total).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_waits_for_its_schedule_counts_in_etcd_and_trains_batch_by_batch() {
    let world = World::start(|config| config.variant = fast()).await;
    world.ask(&["logs", "deployment/wa-store-admin"]);
    let pods = world.pods().await;
    world.until_logged(&pods[0], "is not enabled").await;

    // Time for the rollout, on a busy machine too.
    let time = Timestamp::now() + 15.seconds();
    let pod = world.schedule(&at(time)).await.remove(0);
    world.until_logged(&pod, "is scheduled").await;
    world.until_logged(&pod, "all batches were sent").await;
    let log = world.ask(&["logs", &pod, "--timestamps"]);
    let begins = log.lines().find(|line| line.contains("begins")).unwrap();
    let began: Timestamp = begins.split(' ').next().unwrap().parse().unwrap();
    assert!(began >= time - 1.second(), "{began} is before {time}");
    assert_eq!(totals(&log), [0, 10, 20, 24]);
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_has_passed_never_comes_and_a_schedule_that_is_none_is_an_error() {
    let world = World::start(|config| config.variant = fast()).await;
    // Every second of this day, a year ago.
    let today = Timestamp::now().strftime("* * * %-d %-m ? %Y").to_string();
    let (day, year) = today.rsplit_once(' ').unwrap();
    let past = format!("{day} {}", year.parse::<u32>().unwrap() - 1);
    let pod = world.schedule(&past).await.remove(0);
    world.until_logged(&pod, "is scheduled").await;
    // It looks at every second: what it does not fire in the first it does not fire in any.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!world.ask(&["logs", &pod]).contains("begins"));
    for none in ["0 0 2 * * *", "0 0 2 ? * ?", "0 2 * *", "0 0 2 L * ?"] {
        let pod = world.schedule(none).await.remove(0);
        world.until_logged(&pod, "is none").await;
        assert!(!world.ask(&["logs", &pod]).contains("begins"));
    }
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_how_far_it_is_in_several_forms_and_stalls_or_ends_with_a_gap_as_asked() {
    let world = World::start(|config| config.variant = fast()).await;
    let pod = world.schedule(ALWAYS).await.remove(0);
    for (form, text) in [
        (SummaryForm::Json, r#"found = 24 Retrained Total = 24"}"#),
        (
            SummaryForm::Reversed,
            "Retrained Total: 24 (Affected workspaces found: 24)",
        ),
        (SummaryForm::TwoLines, "SUMMARY] Retrained Total: 24\n"),
        (SummaryForm::Unknown, "retraining is under way"),
        (SummaryForm::Line, "found: 24, Retrained Total: 24"),
    ] {
        world.set_faults(&[RetrainFault::Form(form)]);
        world.until_logged(&pod, text).await;
    }
    world.set_faults(&[RetrainFault::StallAfter(13)]);
    world
        .until_logged(&pod, "found: 24, Retrained Total: 13")
        .await;
    let sent = |log: &str| log.lines().last().unwrap().contains("was sent");
    assert!(
        !sent(&world.ask(&["logs", &pod])),
        "it says nothing of the end"
    );
    world.set_faults(&[RetrainFault::Gap(2)]);
    world
        .until_logged(&pod, "found: 24, Retrained Total: 22")
        .await;
    world.until_logged(&pod, "the last batch was sent").await;
    world.set_faults(&[
        RetrainFault::Affected(1_234_567),
        RetrainFault::StallAfter(1_200_000),
        RetrainFault::Form(SummaryForm::Reversed),
    ]);
    world
        .until_logged(&pod, "(Affected workspaces found: 1,234,567)")
        .await;
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_gone_when_it_crashes_unless_it_is_asked_to_go_on() {
    let world = World::start(|config| config.variant = fast()).await;
    world.set_faults(&[RetrainFault::CrashAfter(10)]);
    let time = Timestamp::now() + 15.seconds();
    let pod = world.schedule(&at(time)).await.remove(0);
    let restarts = "jsonpath={.status.containerStatuses[0].restartCount}";
    world
        .until(&["get", "pod", &pod, "-o", restarts], "1")
        .await;
    world.until_logged(&pod, "is scheduled").await;
    let before = world.ask(&["logs", &pod, "--previous"]);
    assert_eq!(totals(&before), [0, 10]);
    assert!(before.contains("out of memory"), "{before}");
    assert!(totals(&world.ask(&["logs", &pod])).is_empty());

    world.set_faults(&[RetrainFault::Resume]);
    world.ask(&["delete", "pod", &pod]);
    let pod = world.pods().await.remove(0);
    world.until_logged(&pod, "all batches were sent").await;
    assert_eq!(totals(&world.ask(&["logs", &pod])), [10, 20, 24]);
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_pods_one_trains() {
    let world = World::start(|config| {
        config.variant = Variant {
            store_admin_replicas: 2,
            ..fast()
        };
    })
    .await;
    world.set_faults(&[RetrainFault::StallAfter(5)]);
    let pods = world.schedule(ALWAYS).await;
    assert_eq!(pods.len(), 2);
    world
        .until_true("one to train", || {
            let logs = pods.iter().map(|pod| world.ask(&["logs", pod]));
            let mut does: Vec<_> = logs
                .map(|log| {
                    (
                        log.contains("Retrained Total: 5"),
                        log.contains("another pod retrains"),
                    )
                })
                .collect();
            does.sort_unstable();
            does == [(false, true), (true, false)]
        })
        .await;
    world.sandbox.stop().await;
}
