//! Which process holds a Lease, and whether it still exists.

use std::fmt;
use std::fs;

use serde::{Deserialize, Serialize};

/// The process that makes a run's changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// Who runs it, on the host.
    pub user: String,
    /// The host's name.
    pub host: String,
    /// The process id on that host.
    pub pid: u32,
    /// What tells it from every other process that has, or had, the same id.
    identity: Option<Identity>,
}

/// A process among all that this kernel has run since it was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Identity {
    /// Of the kernel's start.
    boot: String,
    /// Containers number their processes for themselves.
    pid_namespace: String,
    /// Where `/proc` is mounted with `hidepid`, a user sees only the own processes.
    uid: u32,
    /// When the process was started, in clock ticks since the kernel was.
    started_ticks: u64,
}

impl Holder {
    /// The process that runs this code.
    pub fn this_process() -> Self {
        let pid = std::process::id();
        let uid = rustix::process::getuid().as_raw();
        let uname = rustix::system::uname();
        Self {
            user: std::env::var("USER").unwrap_or_else(|_| format!("uid {uid}")),
            host: uname.nodename().to_string_lossy().into_owned(),
            pid,
            identity: Identity::from_pid(pid),
        }
    }

    /// Whether the process exists; `None` where this process cannot know: it runs elsewhere, or as someone else.
    pub(super) fn exists(&self) -> Option<bool> {
        let theirs = self.identity.as_ref()?;
        let ours = Identity::from_pid(std::process::id())?;
        let same_processes = (&ours.boot, &ours.pid_namespace, ours.uid)
            == (&theirs.boot, &theirs.pid_namespace, theirs.uid);
        if !same_processes {
            // A kernel that was started anew runs none of the old processes, but another host has another one too.
            return None;
        }
        Some(started_ticks(self.pid) == Some(theirs.started_ticks))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} (process {})", self.user, self.host, self.pid)
    }
}

impl Identity {
    /// `None` where there is no Linux `/proc`.
    fn from_pid(pid: u32) -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let pid_namespace = fs::read_link("/proc/self/ns/pid").ok()?;
        Some(Self {
            boot: boot.trim().to_owned(),
            pid_namespace: pid_namespace.to_string_lossy().into_owned(),
            uid: rustix::process::getuid().as_raw(),
            started_ticks: started_ticks(pid)?,
        })
    }
}

/// `None` where there is no such process, or only what its parent has not collected yet.
fn started_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name, in parentheses and with any character in it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    // The state is the third of proc(5)'s fields, the start time the 22nd.
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
impl Holder {
    /// A process of this host that has ended.
    pub(super) fn dead_here() -> Self {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        let identity = Identity::from_pid(pid);
        child.wait().unwrap();
        Self {
            pid,
            identity: identity.or(Identity::from_pid(std::process::id())),
            ..Self::this_process()
        }
    }

    /// A process of some other host.
    pub(super) fn elsewhere() -> Self {
        let mut holder = Self::this_process();
        holder.host = "elsewhere".to_owned();
        if let Some(identity) = &mut holder.identity {
            identity.boot = "another".to_owned();
        }
        holder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_this_host_is_known_to_live_or_not() {
        assert_eq!(Holder::this_process().exists(), Some(true));
        assert_eq!(Holder::dead_here().exists(), Some(false));
        assert_eq!(Holder::elsewhere().exists(), None);
    }

    #[test]
    fn a_process_that_got_the_number_of_a_dead_one_is_not_taken_for_it() {
        let mut holder = Holder::this_process();
        holder.identity.as_mut().unwrap().started_ticks -= 1;
        assert_eq!(holder.exists(), Some(false));
    }

    #[test]
    fn another_users_process_may_be_hidden_and_is_not_judged() {
        let mut holder = Holder::dead_here();
        holder.identity.as_mut().unwrap().uid += 1;
        assert_eq!(holder.exists(), None);
    }
}
