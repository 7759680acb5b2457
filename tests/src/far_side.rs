//! What a command leaves of the far side: the processes in the pods, the database's sessions, its log.
//!
//! A fault test that looks only at what arrived here does not see that the database has crashed over there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use wa_sandbox::node::RunningContainer;

use crate::World;
use crate::processes::{Process, ProcessId, processes};
use crate::psql::Psql;

/// How soon everything must be gone once the node has heard that the connection is.
const AFTER_A_CUT: Duration = Duration::from_secs(5);
/// How soon it must be when the line has only fallen silent.
const AFTER_SILENCE: Duration = Duration::from_mins(1);
/// Processes that have lived so long are no probes, which come and go at any time.
const SETTLED: Duration = Duration::from_secs(3);
/// What PostgreSQL's log has when the end of a process that it did not know was taken for a crash.
const SIGNS_OF_A_CRASH: [&str; 3] = ["terminated by signal", "exited with exit code", "recovery"];
/// Everybody who is connected but this session itself; without the server's own workers.
const SESSIONS: &str = "select pid || ' ' || usename || ' ' || application_name from pg_stat_activity \
                        where usename is not null and pid <> pg_backend_pid()";

/// The far side as it was, and a client of the database that has been connected since.
pub struct FarSide<'a> {
    world: &'a World,
    client: Psql,
    sessions: BTreeSet<String>,
    log_bytes: usize,
    /// By the containers' ids.
    containers: BTreeMap<String, Before>,
}

/// The processes that were in a container.
struct Before {
    all: BTreeSet<ProcessId>,
    /// Those that stay.
    settled: Vec<Process>,
}

impl Before {
    fn of(container: &RunningContainer) -> Self {
        let now = processes(&container.root);
        Self {
            all: now.iter().map(|process| process.id).collect(),
            settled: now
                .into_iter()
                .filter(|process| process.is_older_than(SETTLED))
                .collect(),
        }
    }
}

impl World {
    /// Looks at the far side, to compare it later.
    #[track_caller]
    pub fn far_side(&self) -> FarSide<'_> {
        let mut client = self.psql();
        // Connected before the processes are counted: its own in the server is one of them.
        let sessions = client.ask(SESSIONS).unwrap().into_iter().collect();
        FarSide {
            world: self,
            client,
            sessions,
            log_bytes: self.postgres_log().len(),
            containers: self
                .containers()
                .map(|container| (container.id.clone(), Before::of(&container)))
                .collect(),
        }
    }

    fn containers(&self) -> impl Iterator<Item = RunningContainer> {
        self.sandbox().running_containers().into_iter()
    }

    fn postgres_log(&self) -> String {
        let pod = self.sandbox().names().primary_pod();
        self.kubectl(&["logs", &pod, "-c", "postgres"])
    }

    /// The container of the server.
    fn postgres_container(&self) -> RunningContainer {
        let names = self.sandbox().names();
        let is_server = |container: &RunningContainer| {
            container.pod == names.primary_pod() && container.namespace == names.namespace
        };
        self.containers().find(is_server).unwrap()
    }
}

impl FarSide<'_> {
    /// Fails the test unless all is as before soon after a connection was cut, or a command ended.
    #[track_caller]
    pub fn expect_as_before(&mut self) {
        self.expect_as_before_within(AFTER_A_CUT);
    }

    /// The same after a line fell silent, of which the node does not hear.
    #[track_caller]
    pub fn expect_as_before_after_silence(&mut self) {
        self.expect_as_before_within(AFTER_SILENCE);
    }

    #[track_caller]
    fn expect_as_before_within(&mut self, limit: Duration) {
        let begin = Instant::now();
        let mut differences = self.differences();
        while !differences.is_empty() && begin.elapsed() < limit {
            std::thread::sleep(Duration::from_millis(20));
            differences = self.differences();
        }
        let log = self.world.postgres_log();
        let news = log.get(self.log_bytes..).unwrap_or(&log);
        for line in news.lines() {
            if SIGNS_OF_A_CRASH.iter().any(|sign| line.contains(sign)) {
                let _ = writeln!(differences, "PostgreSQL's log: {line}");
            }
        }
        assert!(
            differences.is_empty(),
            "the far side is not as before after {:?}:\n{differences}",
            begin.elapsed()
        );
    }

    /// What is not as it was, line by line.
    fn differences(&mut self) -> String {
        let mut differences = String::new();
        let server = self.world.postgres_container();
        if !self.containers.contains_key(&server.id) {
            let _ = writeln!(differences, "the database's container was started anew");
        }
        for container in self.world.containers() {
            for difference in self.differences_in(&container) {
                let _ = writeln!(differences, "pod {}: {difference}", container.pod);
            }
        }
        match self.client.ask(SESSIONS) {
            Ok(sessions) => {
                for session in sessions {
                    if !self.sessions.contains(&session) {
                        let _ = writeln!(differences, "a session of the database: {session}");
                    }
                }
            }
            Err(error) => {
                let _ = writeln!(differences, "a client of the database was cut off: {error}");
            }
        }
        differences
    }

    fn differences_in(&self, container: &RunningContainer) -> Vec<String> {
        let now = processes(&container.root);
        if now.is_empty() {
            // It has ended meanwhile.
            return Vec::new();
        }
        let Some(before) = self.containers.get(&container.id) else {
            // Of a new container only what its process 1 started belongs to it.
            let strangers = now.iter().filter(|process| process.session != 1);
            return strangers.map(|process| format!("left {process}")).collect();
        };
        let new = now.iter().filter(|process| {
            let is_servers_own = process.command.starts_with("postgres: autovacuum worker");
            !before.all.contains(&process.id) && !is_servers_own
        });
        let is_gone = |process: &&Process| !now.iter().any(|one| one.id == process.id);
        let gone = before.settled.iter().filter(is_gone);
        new.map(|process| format!("left {process}"))
            .chain(gone.map(|process| format!("ended {process}")))
            .collect()
    }
}
