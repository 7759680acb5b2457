//! The kinds of process 1 that the database's container can have: what becomes of a process that is orphaned in it.

use std::time::{Duration, Instant};

use wa_sandbox::world::ProcessOne;

use crate::support::World;

/// Runs a command in the background of a shell that ends at once.
fn orphan(command: &str) -> String {
    format!("sh -c '{command}' >/dev/null 2>&1 & echo $!")
}

/// Waits in an orphan until it is one, so that its end is the business of process 1.
const UNTIL_ORPHANED: &str = "until read -r pid name state parent rest </proc/$$/stat && [ $parent = 1 ]; do sleep 0.02; done";

impl World {
    fn in_database_pod(&self, script: &str) -> String {
        let pod = self.sandbox.names().primary_pod();
        let shell = ["timeout", "60", "sh", "-c", script];
        self.ask(&[&["exec", &pod, "-c", "postgres", "--"], &shell[..]].concat())
    }

    async fn under(process_one: ProcessOne) -> Self {
        Self::start(|config| config.process_one = process_one).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn process_1_is_what_was_asked_for_and_the_server_below_it() {
    for (process_one, command) in [
        (ProcessOne::Postgres, "postgres -c "),
        (ProcessOne::Shell, "sh -c "),
        (ProcessOne::Init, "/bin/bash -c "),
        (ProcessOne::InstanceManager, "sleep infinity "),
    ] {
        let world = World::under(process_one).await;
        let first = world.in_database_pod("tr '\\0' ' ' </proc/1/cmdline");
        assert!(first.starts_with(command), "{process_one:?}: {first}");
        let server = "head -n 1 $PGDATA/postmaster.pid";
        let parent =
            format!("read -r pid name state parent rest </proc/$({server})/stat; echo $parent");
        let expected = if process_one == ProcessOne::Postgres {
            "0"
        } else {
            "1"
        };
        assert_eq!(
            world.in_database_pod(&parent).trim(),
            expected,
            "{process_one:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_that_ends_is_reaped_by_all_but_the_instance_manager() {
    for process_one in ProcessOne::ALL {
        let world = World::under(process_one).await;
        let orphan = world.in_database_pod(&orphan(UNTIL_ORPHANED));
        let orphan = orphan.trim();
        let end = if process_one == ProcessOne::InstanceManager {
            format!(
                "until grep -q ') Z 1 ' /proc/{orphan}/stat; do sleep 0.02; done; kill -0 {orphan} && echo there"
            )
        } else {
            format!("while kill -0 {orphan} 2>/dev/null; do sleep 0.02; done; echo gone")
        };
        let expected = if process_one == ProcessOne::InstanceManager {
            "there"
        } else {
            "gone"
        };
        assert_eq!(
            world.in_database_pod(&end).trim(),
            expected,
            "{process_one:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_that_ends_by_a_signal_is_taken_for_a_crash_where_the_server_is_process_1() {
    let world = World::under(ProcessOne::Postgres).await;
    world.in_database_pod(&orphan(&format!("{UNTIL_ORPHANED}; kill $$")));
    let pod = world.sandbox.names().primary_pod();
    let recovered = "database system is ready to accept connections";
    let begin = Instant::now();
    let log = loop {
        let log = world.ask(&["logs", &pod, "-c", "postgres"]);
        if log.matches(recovered).count() > 1 || begin.elapsed() > Duration::from_mins(1) {
            break log;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(log.contains("was terminated by signal 15"), "{log}");
}
