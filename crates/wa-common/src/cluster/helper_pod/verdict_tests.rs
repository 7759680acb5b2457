//! States and events as clusters show them, and what follows from them.

use serde_json::{Value, json};

use super::*;

fn judged(pod: Value, events: Value) -> Verdict {
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let events: Vec<Event> = serde_json::from_value(events).unwrap();
    judge(&pod, &events)
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"status": {"phase": "Pending", "containerStatuses": [{
        "name": "helper", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"waiting": {"reason": reason, "message": message}},
    }]}})
}

fn unscheduled(reason: &str, message: &str) -> Value {
    json!({"status": {"phase": "Pending", "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": reason, "message": message},
    ]}})
}

fn event(second: u32, reason: &str, message: &str) -> Value {
    json!({
        "metadata": {}, "involvedObject": {}, "reason": reason, "message": message,
        "lastTimestamp": format!("2026-11-22T20:23:{second:02}Z"),
    })
}

fn stuck(verdict: Verdict) -> Obstacle {
    match verdict {
        Verdict::Stuck(obstacle) => obstacle,
        other => panic!("not stuck: {other:?}"),
    }
}

#[test]
fn a_pod_whose_container_runs_is_running() {
    let pod = json!({"status": {"phase": "Running", "containerStatuses": [{
        "name": "helper", "image": "x", "imageID": "", "ready": true, "restartCount": 0,
        "state": {"running": {}},
    }]}});
    assert_eq!(judged(pod, json!([])), Verdict::Running);
}

#[test]
fn a_container_that_the_cluster_put_in_does_not_stand_for_the_helper() {
    let pod = json!({"status": {"phase": "Pending", "containerStatuses": [
        {"name": "agent", "image": "y", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}}},
        {"name": "helper", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "InvalidImageName", "message": "no"}}},
    ]}});
    let mut running = pod.clone();
    assert_eq!(stuck(judged(pod, json!([]))).reason, "InvalidImageName");
    running["status"]["phase"] = json!("Running");
    running["status"]["containerStatuses"][1]["state"] = json!({"running": {}});
    running["status"]["containerStatuses"][0]["state"] =
        json!({"waiting": {"reason": "ImagePullBackOff"}});
    assert_eq!(judged(running, json!([])), Verdict::Running);
}

#[test]
fn a_sidecar_that_does_not_start_keeps_nobody_from_the_helper() {
    let sidecar = |state: Value| json!({"name": "istio-proxy", "image": "y", "imageID": "", "ready": false, "restartCount": 7, "state": state});
    let helper = json!({
        "name": "helper", "image": "x", "imageID": "", "ready": true, "restartCount": 0, "state": {"running": {}},
    });
    let pulls = json!({"waiting": {"reason": "ImagePullBackOff"}});
    for (phase, state) in [
        ("Running", json!({"running": {}})),
        ("Pending", pulls),
        ("Running", json!({"terminated": {"exitCode": 1}})),
        (
            "Running",
            json!({"waiting": {"reason": "CrashLoopBackOff"}}),
        ),
    ] {
        let pod =
            json!({"status": {"phase": phase, "containerStatuses": [sidecar(state), helper]}});
        assert_eq!(judged(pod, json!([])), Verdict::Running);
    }
    let native = json!({"status": {
        "phase": "Running", "initContainerStatuses": [sidecar(json!({"running": {}}))], "containerStatuses": [helper],
    }});
    assert_eq!(judged(native, json!([])), Verdict::Running);
}

#[test]
fn what_the_cluster_put_before_the_helper_is_named_when_it_keeps_it_from_starting() {
    let pod = |phase: &str, state: Value| {
        json!({"status": {
            "phase": phase,
            "initContainerStatuses": [{
                "name": "istio-init", "image": "y", "imageID": "", "ready": false, "restartCount": 0, "state": state,
            }],
            "containerStatuses": [{
                "name": "helper", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "PodInitializing"}},
            }],
        }})
    };
    let no_image = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
    let obstacle = stuck(judged(pod("Pending", no_image), json!([])));
    assert_eq!(obstacle.message, "container istio-init: no such image");
    let crashes = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}});
    let obstacle = stuck(judged(pod("Pending", crashes), json!([])));
    assert_eq!(
        (&*obstacle.reason, obstacle.grace),
        ("CrashLoopBackOff", CRASHING)
    );
    let failed = json!({"terminated": {"exitCode": 2, "reason": "Error"}});
    assert_eq!(
        judged(pod("Failed", failed), json!([])),
        Verdict::Ended {
            why: "container istio-init: Error (exit code 2)".to_owned()
        }
    );
    let done = json!({"terminated": {"exitCode": 0, "reason": "Completed"}});
    assert!(matches!(
        judged(pod("Pending", done), json!([])),
        Verdict::Waiting { .. }
    ));
}

#[test]
fn what_waiting_does_not_help_is_reported_at_once_and_in_the_clusters_words() {
    for (reason, grace) in [
        ("InvalidImageName", NEVER),
        ("ErrImageNeverPull", NEVER),
        ("CreateContainerConfigError", CACHED),
        ("CreateContainerError", CACHED),
    ] {
        let obstacle = stuck(judged(
            waiting(reason, "secret \"gone\" not found"),
            json!([]),
        ));
        assert_eq!((obstacle.reason.as_str(), obstacle.grace), (reason, grace));
        assert_eq!(obstacle.message, "secret \"gone\" not found");
    }
}

#[test]
fn an_image_that_cannot_be_pulled_is_explained_by_the_event_of_the_last_try() {
    let events = json!([
        event(1, "Scheduled", "Successfully assigned cpd/p to node1"),
        event(2, "Pulling", "Pulling image \"registry.invalid/none:1\""),
        event(
            3,
            "Failed",
            "Failed to pull image \"registry.invalid/none:1\": no such host"
        ),
        event(
            4,
            "BackOff",
            "Back-off pulling image \"registry.invalid/none:1\""
        ),
        event(4, "Failed", "Error: ImagePullBackOff"),
    ]);
    for reason in ["ErrImagePull", "ImagePullBackOff"] {
        let obstacle = stuck(judged(waiting(reason, "Back-off"), events.clone()));
        assert_eq!(obstacle.reason, "ImagePullBackOff");
        assert!(obstacle.message.ends_with("no such host"), "{obstacle:?}");
        assert_eq!(obstacle.grace, PULL);
    }
    // Without events the status has to do.
    let obstacle = stuck(judged(waiting("ErrImagePull", "no such host"), json!([])));
    assert_eq!(obstacle.message, "no such host");
}

#[test]
fn a_pod_that_no_node_takes_is_stuck_after_a_while() {
    let message = "0/1 nodes are available: persistentvolumeclaim \"missing\" not found.";
    let obstacle = stuck(judged(unscheduled("Unschedulable", message), json!([])));
    assert_eq!(
        (obstacle.message.as_str(), obstacle.grace),
        (message, SCHEDULING)
    );
}

#[test]
fn a_volume_that_is_being_made_and_a_node_that_is_being_started_are_waited_for() {
    let unbound = unscheduled(
        "Unschedulable",
        "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims.",
    );
    let full = unscheduled(
        "Unschedulable",
        "0/3 nodes are available: 3 Insufficient cpu.",
    );
    let scaling = json!([event(1, "TriggeredScaleUp", "pod triggered scale-up")]);
    let gated = unscheduled("SchedulingGated", "");
    for (pod, events) in [(unbound, json!([])), (full, scaling), (gated, json!([]))] {
        let verdict = judged(pod, events);
        assert!(matches!(verdict, Verdict::Waiting { .. }), "{verdict:?}");
    }
}

#[test]
fn a_volume_that_cannot_be_attached_or_mounted_is_an_obstacle_until_it_is() {
    let pending = json!({"status": {"phase": "Pending"}});
    let attach = "rpc error: the volume is not found";
    for reason in [
        "FailedAttachVolume",
        "FailedMount",
        "FailedCreatePodSandBox",
    ] {
        let failed = json!([event(1, "Scheduled", "assigned"), event(5, reason, attach)]);
        let obstacle = stuck(judged(pending.clone(), failed));
        assert_eq!((obstacle.reason.as_str(), obstacle.grace), (reason, VOLUME));
        assert_eq!(obstacle.message, attach);
    }
    let attached = json!([
        event(5, "FailedAttachVolume", attach),
        event(9, "SuccessfulAttachVolume", "AttachVolume.Attach succeeded"),
    ]);
    assert_eq!(
        judged(pending, attached),
        Verdict::Waiting {
            on: "AttachVolume.Attach succeeded".to_owned()
        }
    );
}

#[test]
fn a_volume_that_another_node_still_has_gets_the_time_to_be_detached() {
    let pending = json!({"status": {"phase": "Pending"}});
    let elsewhere = "Multi-Attach error for volume \"pvc-1\" Volume is already exclusively attached to one node and can't be attached to another";
    let mut events = json!([event(5, "FailedAttachVolume", elsewhere)]);
    let expected = Obstacle {
        reason: "FailedAttachVolume".to_owned(),
        message: elsewhere.to_owned(),
        grace: DETACHING,
    };
    assert_eq!(stuck(judged(pending.clone(), events.clone())), expected);
    // The node only says that it still waits.
    let waits = event(9, "FailedMount", "timed out waiting for the condition");
    events.as_array_mut().unwrap().push(waits);
    assert_eq!(stuck(judged(pending.clone(), events.clone())), expected);
    let attached = [
        event(
            10,
            "SuccessfulAttachVolume",
            "AttachVolume.Attach succeeded",
        ),
        event(11, "FailedMount", "wrong fs type"),
    ];
    events.as_array_mut().unwrap().extend(attached);
    assert_eq!(stuck(judged(pending, events)).grace, VOLUME);
}

#[test]
fn events_that_hinder_nothing_are_passed_over() {
    let events = json!([
        event(1, "Pulling", "Pulling image \"x\""),
        event(
            2,
            "MissingClusterDNS",
            "kubelet does not have ClusterDNS IP configured"
        ),
    ]);
    assert_eq!(
        judged(waiting("ContainerCreating", ""), events),
        Verdict::Waiting {
            on: "Pulling image \"x\"".to_owned()
        }
    );
}

#[test]
fn a_pod_that_has_ended_says_why() {
    let cases = [
        (
            json!({"status": {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}}),
            "Evicted: The node was low on resource: memory.",
        ),
        (
            json!({"status": {"phase": "Failed", "containerStatuses": [{
                "name": "helper", "image": "x", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": {"exitCode": 128, "reason": "StartError", "message": "exec: \"sh\": not found"}},
            }]}}),
            "StartError: exec: \"sh\": not found (exit code 128)",
        ),
        (
            json!({"metadata": {"deletionTimestamp": "2026-11-22T20:23:00Z"}}),
            "somebody is deleting it",
        ),
        (
            json!({"status": {"phase": "Succeeded"}}),
            "it ended, and its status does not say why",
        ),
    ];
    for (pod, expected) in cases {
        assert_eq!(
            judged(pod, json!([])),
            Verdict::Ended {
                why: expected.to_owned()
            }
        );
    }
}

#[test]
fn what_the_cluster_says_does_not_drive_the_terminal() {
    let obstacle = stuck(judged(waiting("ErrImageNeverPull", "\u{1b}[2J"), json!([])));
    assert_eq!(obstacle.message, "\\u{1b}[2J");
}
