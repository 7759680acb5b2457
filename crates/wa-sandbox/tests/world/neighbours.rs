//! What stands beside the product, and who else scales its Deployments.

use wa_sandbox::world::{Variant, kinds};

use crate::support::World;

#[tokio::test(flavor = "multi_thread")]
async fn broker_triggers_and_backing_store_are_ready_until_somebody_says_otherwise() {
    let world = World::start(|_| ()).await;
    let ready = r#"jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}"#;
    assert_eq!(
        world.ask(&["get", "brokers.eventing.knative.dev", "-o", ready]),
        "True"
    );
    assert_eq!(
        world.ask(&["get", "triggers.eventing.knative.dev", "-o", ready]),
        "True True"
    );
    let phase = [
        "get",
        "backingstores.noobaa.io",
        "-A",
        "-o",
        "jsonpath={.items[*].status.phase}",
    ];
    assert_eq!(world.ask(&phase), "Ready");
    let (namespace, name) = ("openshift-storage", "noobaa-default-backing-store");
    let rejected = world
        .sandbox
        .store()
        .modify(&kinds::BACKING_STORES, namespace, name, |one| {
            one["status"]["phase"] = "Rejected".into();
        });
    rejected.unwrap();
    assert_eq!(world.ask(&phase), "Rejected");
    world.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_that_an_autoscaler_governs_does_not_stay_above_its_most() {
    let world = World::start(|config| {
        config.variant = Variant {
            autoscaled: vec!["tfmm".to_owned()],
            ..Variant::default()
        };
    })
    .await;
    let table = world.ask(&["get", "hpa", "--no-headers"]);
    for target in ["Deployment/wa-tfmm", "Deployment/wa-clu-training-wa-dwf"] {
        assert!(table.contains(target), "{table}");
    }
    for deployment in ["wa-tfmm", "wa-clu-training"] {
        world.ask(&["scale", &format!("deployment/{deployment}"), "--replicas=5"]);
    }
    let replicas = "jsonpath={.spec.replicas}";
    world
        .until(&["get", "deployment", "wa-tfmm", "-o", replicas], "3")
        .await;
    let free = world.ask(&["get", "deployment", "wa-clu-training", "-o", replicas]);
    assert_eq!(
        free, "5",
        "its name is only the beginning of a governed one"
    );
    world.sandbox.stop().await;
}
