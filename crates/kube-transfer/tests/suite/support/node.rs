//! Where the processes of a pod run, and what is left of them.
//!
//! A container runtime makes what exec starts the leader of a session, and process 1 of the container inherits whatever
//! loses its parent. Here this process inherits it, and never waits for it: so whatever was left to it once, and however
//! short, is still there as a zombie that has the number of its session.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
};

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
use tokio::process::{Child, Command};

use super::{Pod, client::eventually};

/// The processes of a pod.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// The sessions of commands that have not ended.
    running: Mutex<Vec<i32>>,
    /// What was left when a command had ended, a line each.
    left: Mutex<Vec<String>>,
}

/// A command that was started.
pub(crate) struct Exec {
    node: Arc<Node>,
    session: i32,
    /// What it was, for whoever looks for the cause of what it left.
    description: String,
}

impl Node {
    /// Starts a shell of the pod as a container runtime does.
    pub(crate) fn start(self: &Arc<Self>, pod: &Pod, arguments: &[String]) -> (Child, Exec) {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .expect("a reaper of this process's own");
        let shell: Vec<String> = pod.shell.iter().chain(arguments).cloned().collect();
        // What this process was started to ignore, under `nohup` for instance, a pod does not. A new process is no leader of
        // a group: env becomes setsid and that the shell, with the same number.
        let child = Command::new("/usr/bin/env")
            .args(["--default-signal=HUP,INT,TERM", "/usr/bin/setsid"])
            .args(shell)
            .env("PATH", &pod.path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the shell starts");
        let session = child
            .id()
            .and_then(|id| id.try_into().ok())
            .expect("a running process");
        self.running.lock().expect("not poisoned").push(session);
        // The script itself, the second argument, is the same for all.
        let description = format!(
            "{:?} of {:?}: {:?}",
            pod.fault,
            pod.shell,
            arguments.get(2..)
        );
        let node = Arc::clone(self);
        let exec = Exec {
            node,
            session,
            description,
        };
        (child, exec)
    }

    /// The process ids of the running shells, each the leader of a session and a group.
    pub(crate) fn shells(&self) -> Vec<Pid> {
        let running = self.running.lock().expect("not poisoned");
        running.iter().filter_map(|id| Pid::from_raw(*id)).collect()
    }

    /// Waits for the end of every command, upon which nothing of it may be left, nor ever have been left to process 1.
    pub(crate) async fn is_clean(&self) {
        eventually("a command in the pod did not end", || {
            self.shells().is_empty()
        })
        .await;
        let left = self.left.lock().expect("not poisoned");
        assert!(left.is_empty(), "left in the pod:\n{}", left.join("\n"));
    }
}

impl Exec {
    /// Takes down what is left of the session, now that its leader has ended.
    pub(crate) fn ended(self) {
        let left = processes().filter(|process| process.session == self.session);
        let mut list = self.node.left.lock().expect("not poisoned");
        list.extend(left.map(|process| format!("{}by {}", process.stat, self.description)));
        drop(list);
        let mut running = self.node.running.lock().expect("not poisoned");
        running.retain(|session| *session != self.session);
    }
}

/// Waits for the end of a process that was left to process 1 on purpose, and held a session of its own. Its exit code;
/// nothing else of the session may be there then.
pub(crate) async fn end_of_session(leader: Pid) -> i32 {
    let ended = Mutex::new(None);
    eventually("the leader of a session did not end", || {
        let status = waitid(
            WaitId::Pid(leader),
            WaitIdOptions::EXITED | WaitIdOptions::NOHANG,
        )
        .expect("a child by now");
        *ended.lock().expect("not poisoned") = status;
        status.is_some()
    })
    .await;
    let session = leader.as_raw_nonzero().get();
    let left: Vec<String> = processes()
        .filter(|process| process.session == session)
        .map(|process| process.stat)
        .collect();
    assert!(left.is_empty(), "left in the pod:\n{}", left.join("\n"));
    let status = ended.into_inner().expect("not poisoned").expect("ended");
    status.exit_status().expect("no signal ended it")
}

struct Process {
    session: i32,
    stat: String,
}

fn processes() -> impl Iterator<Item = Process> {
    let entries = std::fs::read_dir("/proc").expect("a list of processes");
    entries.flatten().filter_map(|entry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // "<pid> (<name>) <state> <parent> <group> <session> ..."
        let (_, rest) = stat.rsplit_once(") ")?;
        Some(Process {
            session: rest.split(' ').nth(3)?.parse().ok()?,
            stat: stat.clone(),
        })
    })
}
