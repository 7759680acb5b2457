//! What an undo that waits tells.

use super::*;

/// Puts finalizers on an object.
fn hold(world: &World, object: &ConfigMap) {
    let mut object = serde_json::to_value(object).unwrap();
    object["metadata"]["finalizers"] = json!(["example.com/snapshotter"]);
    world.api.put("configmaps", object);
}

#[tokio::test(start_paused = true)]
async fn what_stays_names_its_finalizer_and_is_finished_by_a_later_run() {
    let world = World::new();
    let run = world.begin().await;
    let object = world.make(&run, "held").await;
    hold(&world, &object);
    let left = run.finish().await.unwrap_err();
    let why = &left.leftovers[0].why;
    assert!(
        why.contains("it waits for example.com/snapshotter"),
        "{why}"
    );
    let held = run.name("held");
    let waiting =
        format!("waiting for the end of configmap {held}: it waits for example.com/snapshotter");
    assert_eq!(world.log.steps(), [waiting], "reported once");
    assert_eq!(record_of(&world.lease(&run))["changes"], json!([held]));

    let path = format!("configmaps/{held}");
    world.api.state().objects.remove(&path);
    let found = world.others().await.remove(0).unwrap();
    let later = found
        .take_over(&world.exit_hooks, &world.reporter(), &world.cluster)
        .await;
    later.unwrap().finish().await.unwrap();
    assert_eq!(world.api.names("leases"), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_is_told_what_was_waited_for() {
    let world = World::new();
    let run = world.begin().await;
    world.make(&run, "free").await;
    let object = world.make(&run, "held").await;
    hold(&world, &object);
    let given_up = tokio::time::timeout(Duration::from_secs(4), run.finish()).await;
    assert!(given_up.is_err());
    let left = run.left().unwrap().leftovers;
    let whys: Vec<&str> = left.iter().map(|left| &*left.why).collect();
    let waited_for = "it waits for example.com/snapshotter";
    assert!(whys[0].ends_with(waited_for), "{whys:?}");
    assert_eq!(whys[1], "not undone yet");
}
