//! A whole cluster on Portworx storage, asked by a real kubectl as IBM's page asks the node.

use std::fs;
use std::process::Output;
use std::time::{Duration, Instant};

use serde_json::Value;
use wa_sandbox::world::Storage;

use crate::support::World;

const MOUNTPOINT: &str = "/var/lib/osd/mounts/voldir";

impl World {
    fn portworx_pod(&self) -> String {
        let name = "jsonpath={.items[0].metadata.name}";
        let of_node = "spec.nodeName=node1";
        self.ask(&[
            "get",
            "pods",
            "-n",
            "kube-system",
            "-l",
            "name=portworx",
            "--field-selector",
            of_node,
            "-o",
            name,
        ])
    }

    fn in_portworx_pod(&self, argv: &[&str]) -> Output {
        let pod = self.portworx_pod();
        let exec = ["exec", "-n", "kube-system", &pod, "-c", "portworx", "--"];
        self.kubectl(&[&exec, argv].concat())
    }

    fn pxctl(&self, arguments: &[&str]) -> Output {
        self.in_portworx_pod(&[&["/opt/pwx/bin/pxctl"], arguments].concat())
    }

    fn volume(&self) -> String {
        let claim = &self.sandbox.names().backup_claim;
        self.ask(&["get", "pvc", claim, "-o", "jsonpath={.spec.volumeName}"])
    }
}

fn succeeded(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dumps_are_reached_by_ibm_s_recipe_and_a_volume_left_attached_breaks_the_next_backup() {
    let world = World::start(|config| config.storage = Storage::Portworx).await;
    let volume = world.volume();
    let listed = world.ask(&["get", "daemonsets", "-n", "kube-system"]);
    assert!(
        listed.lines().any(|line| line.starts_with("portworx-api ")),
        "{listed}"
    );
    let in_tree = [
        "get",
        "pv",
        &volume,
        "-o",
        "jsonpath={.spec.portworxVolume.volumeID}",
    ];
    let id = world.ask(&in_tree);

    // The earlier backup's pod has ended, and its volume is free.
    let by_id = succeeded(&world.pxctl(&["-j", "volume", "inspect", &id]));
    let described: Value = serde_json::from_str(&by_id).unwrap();
    assert_eq!(described[0]["locator"]["name"], volume.as_str());
    assert_eq!(described[0]["state"], "detached");
    let text = succeeded(&world.pxctl(&["volume", "inspect", &volume]));
    assert!(text.contains("State            \t :  detached"), "{text}");

    succeeded(&world.pxctl(&["host", "attach", &volume]));
    succeeded(&world.in_portworx_pod(&["mkdir", MOUNTPOINT]));
    succeeded(&world.pxctl(&["host", "mount", &volume, "--path", MOUNTPOINT]));
    let files = succeeded(&world.in_portworx_pod(&["ls", MOUNTPOINT]));
    let dump = files
        .lines()
        .find(|name| name.starts_with("store.dump_"))
        .unwrap();
    let copy = world.directory.path().join("copy");
    let from = format!("kube-system/{}:{MOUNTPOINT}/{dump}", world.portworx_pod());
    world.ask(&["cp", "-c", "portworx", &from, copy.to_str().unwrap()]);
    assert!(fs::read(copy).unwrap().starts_with(b"PGDMP"));
    succeeded(&world.pxctl(&["host", "unmount", "--path", MOUNTPOINT, &volume]));
    succeeded(&world.pxctl(&["host", "detach", &volume]));
    assert_eq!(world.sandbox.portworx().in_use(&volume), None);

    world
        .sandbox
        .portworx()
        .attach(&volume, "far-away")
        .unwrap();
    world.ask(&[
        "create",
        "job",
        "--from=cronjob/wa-store-cronjob",
        "by-hand",
    ]);
    let deadline = Instant::now() + Duration::from_secs(30);
    let events = loop {
        let events = world.ask(&["get", "events", "--field-selector", "reason=FailedMount"]);
        if events.contains("Volume is attached on another node") {
            break events;
        }
        assert!(Instant::now() < deadline, "{events}");
    };
    assert!(
        events.contains("MountVolume.SetUp failed for volume"),
        "{events}"
    );
    let again = world.pxctl(&["host", "attach", &volume]);
    assert_eq!(again.status.code(), Some(1));
    world.sandbox.portworx().detach(&volume).unwrap();
    world.ask(&[
        "wait",
        "job/by-hand",
        "--for=condition=complete",
        "--timeout=60s",
    ]);
    world.sandbox.stop().await;
}
