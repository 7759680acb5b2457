//! What a command leaves of the far side: the processes in the pods, the database's sessions, its log.
//!
//! A fault test that looks only at what arrived here does not see that the database has crashed over there.

use std::fmt;
use std::time::{Duration, Instant};

use kube_sandbox::node::RunningContainer;

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
    sessions: Vec<String>,
    log_bytes: usize,
    server: Server,
    /// What others have left in other pods.
    strangers: Vec<Stranger>,
    allows_wrappers: bool,
}

/// A process in a pod other than the database's that its own command has not started.
#[derive(Debug)]
struct Stranger {
    container: RunningContainer,
    process: Process,
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod {}: left {}", self.container.pod, self.process)
    }
}

/// The database's container and what ran in it.
struct Server {
    id: String,
    processes: Vec<ProcessId>,
    /// Those that stay.
    settled: Vec<Process>,
}

impl World {
    /// Looks at the far side, to compare it later.
    #[track_caller]
    pub fn far_side(&self) -> FarSide<'_> {
        self.far_side_with(self.psql())
    }

    /// The same, with its client in another database of the server: for what disconnects those of the store database.
    #[track_caller]
    pub fn far_side_of_server(&self) -> FarSide<'_> {
        self.far_side_with(self.psql_in("postgres"))
    }

    #[track_caller]
    fn far_side_with(&self, mut client: Psql) -> FarSide<'_> {
        // Connected before the processes are counted: its own in the server is one of them.
        let sessions = client.ask(SESSIONS).unwrap();
        let container = self.database_container();
        let processes = processes(&container.root);
        FarSide {
            world: self,
            strangers: self.strangers(),
            allows_wrappers: false,
            client,
            sessions,
            log_bytes: self.database_log().len(),
            server: Server {
                id: container.id,
                processes: processes.iter().map(|process| process.id).collect(),
                settled: processes
                    .into_iter()
                    .filter(|process| process.is_older_than(SETTLED))
                    .collect(),
            },
        }
    }

    /// Fails the test unless, soon, no pod but the database's has a process that its own command has not started.
    #[track_caller]
    pub fn expect_no_strangers(&self) {
        let strangers = || self.strangers().iter().map(Stranger::to_string).collect();
        let found: Vec<String> = none_within(AFTER_A_CUT, strangers);
        assert!(found.is_empty(), "processes are left: {found:#?}");
    }

    fn strangers(&self) -> Vec<Stranger> {
        let server = self.database_container().id;
        let others = self.sandbox().running_containers().into_iter();
        others
            .filter(|container| container.id != server)
            .flat_map(|container| {
                // Whatever an exec starts has its session.
                let strangers = processes(&container.root)
                    .into_iter()
                    .filter(|process| process.session != 1);
                let of_container = |process| Stranger {
                    container: container.clone(),
                    process,
                };
                strangers.map(of_container).collect::<Vec<_>>()
            })
            .collect()
    }

    fn database_log(&self) -> String {
        let pod = self.sandbox().names().primary_pod();
        self.kubectl(&["logs", &pod, "-c", "postgres"])
    }

    #[track_caller]
    fn database_container(&self) -> RunningContainer {
        let names = self.sandbox().names();
        let containers = self.sandbox().running_containers().into_iter();
        let mut of_database = containers.filter(|container| {
            (&container.namespace, &container.pod) == (&names.namespace, &names.primary_pod())
        });
        of_database.next().unwrap()
    }
}

impl FarSide<'_> {
    /// Lets the shells around detached jobs stay as zombies in other pods than the database's.
    pub fn allow_wrappers(&mut self) {
        self.allows_wrappers = true;
    }

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
        let mut found = none_within(limit, || self.differences());
        found.extend(self.signs_of_a_crash());
        let waited = begin.elapsed();
        assert!(
            found.is_empty(),
            "not as before after {waited:?}: {found:#?}"
        );
    }

    fn signs_of_a_crash(&self) -> Vec<String> {
        let log = self.world.database_log();
        // A log that is shorter is another container's.
        let news = log.get(self.log_bytes..).unwrap_or(&log).lines();
        let is_sign = |line: &&str| SIGNS_OF_A_CRASH.iter().any(|sign| line.contains(sign));
        let signs = news.filter(is_sign);
        signs
            .map(|line| format!("PostgreSQL's log: {line}"))
            .collect()
    }

    fn differences(&mut self) -> Vec<String> {
        let is_new = |stranger: &Stranger| {
            let is_same = |known: &Stranger| {
                (&known.container.id, known.process.id)
                    == (&stranger.container.id, stranger.process.id)
            };
            let is_allowed = self.allows_wrappers && stranger.process.was_wrapper();
            !is_allowed && !self.strangers.iter().any(is_same)
        };
        let strangers = self.world.strangers().into_iter().filter(is_new);
        let mut differences: Vec<String> = strangers.map(|stranger| stranger.to_string()).collect();
        let container = self.world.database_container();
        if container.id != self.server.id {
            differences.push("the database's container was started anew".to_owned());
            return differences;
        }
        let now = processes(&container.root);
        let is_new = |process: &&Process| {
            let is_own_worker = process.command.starts_with("postgres: autovacuum worker");
            !self.server.processes.contains(&process.id) && !is_own_worker
        };
        let is_gone = |process: &&Process| !now.iter().any(|one| one.id == process.id);
        let new = now.iter().filter(is_new);
        differences.extend(new.map(|process| format!("the database's pod: left {process}")));
        let gone = self.server.settled.iter().filter(is_gone);
        differences.extend(gone.map(|process| format!("the database's pod: ended {process}")));
        match self.client.ask(SESSIONS) {
            Ok(sessions) => {
                let new = sessions.iter().filter(|one| !self.sessions.contains(one));
                differences.extend(new.map(|session| format!("a session is left: {session}")));
            }
            Err(error) => differences.push(format!("a client was disconnected: {error}")),
        }
        differences
    }
}

/// Waits until there is nothing to tell; what there still is when that has taken too long.
fn none_within(limit: Duration, mut differences: impl FnMut() -> Vec<String>) -> Vec<String> {
    let begin = Instant::now();
    loop {
        let found = differences();
        if found.is_empty() || begin.elapsed() > limit {
            return found;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
