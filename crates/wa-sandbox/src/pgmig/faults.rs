//! What goes wrong on purpose. A bad token, a bad certificate, a missing `ENABLE_ICP` and too few instances need no
//! fault: they go wrong by themselves.

use std::fs;
use std::str::FromStr;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

/// A file of the pod with faults in it, one a line: for whoever cannot add to the command line.
pub(crate) const FILE: &str = "/controller/pgmig-faults";

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `crash-after-clearing`: ends by SIGABRT when the database is empty.
    CrashAfterClearing,
    /// `crash-in-restore`: ends by SIGKILL while `pg_restore` is at work, and leaves that at work.
    CrashInRestore,
    /// `crash-before-mapping`: ends by SIGABRT when everything is restored, with the tenant ids of the source.
    CrashBeforeMapping,
    /// `keep-ids`: says that it is done, and has left the tenant ids of the source.
    KeepIds,
    /// `lose-workspace`: says that it is done, and has lost a workspace.
    LoseWorkspace,
    /// `add-row`: says that it is done, and has written a row of its own.
    AddRow,
    /// `silence=SECONDS`: does nothing and says nothing for so long, when the database is empty.
    Silence(Duration),
    /// `slow-restore=BYTES`: restores no more than so many bytes of the dump a second.
    SlowRestore(u64),
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        let number = || {
            value
                .parse()
                .map_err(|_| format!("{text:?} wants a number, as {name}=10"))
        };
        match (name, value) {
            ("crash-after-clearing", "") => Ok(Self::CrashAfterClearing),
            ("crash-in-restore", "") => Ok(Self::CrashInRestore),
            ("crash-before-mapping", "") => Ok(Self::CrashBeforeMapping),
            ("keep-ids", "") => Ok(Self::KeepIds),
            ("lose-workspace", "") => Ok(Self::LoseWorkspace),
            ("add-row", "") => Ok(Self::AddRow),
            ("silence", _) => number().map(Duration::from_secs).map(Self::Silence),
            ("slow-restore", _) => number().map(Self::SlowRestore),
            _ => Err(format!(
                "{text:?} is no fault; the faults are crash-after-clearing, crash-in-restore, crash-before-mapping, \
                 keep-ids, lose-workspace, add-row, silence=SECONDS and slow-restore=BYTES"
            )),
        }
    }
}

/// Everything that goes wrong in this run.
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    /// Those of the command line and those of the file.
    pub(crate) fn gather(mut faults: Vec<Fault>) -> anyhow::Result<Self> {
        let file = fs::read_to_string(FILE).unwrap_or_default();
        for word in file.split_whitespace() {
            faults.push(word.parse().map_err(anyhow::Error::msg)?);
        }
        Ok(Self(faults))
    }

    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.0.contains(&fault)
    }

    /// Ends this process as a crash does, if that was asked for.
    pub(crate) fn crash(&self, fault: Fault) {
        if self.has(fault) {
            std::process::abort();
        }
    }

    /// Kills this process, if that was asked for.
    pub(crate) fn killed(&self, fault: Fault) {
        if self.has(fault) {
            // Cannot fail for a process's own number.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }

    pub(crate) fn silence(&self) -> Duration {
        let silences = self.0.iter().filter_map(|fault| match fault {
            Fault::Silence(time) => Some(*time),
            _ => None,
        });
        silences.sum()
    }

    pub(crate) fn bytes_per_second(&self) -> Option<u64> {
        self.0.iter().find_map(|fault| match fault {
            Fault::SlowRestore(bytes) => Some(*bytes),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_others_are_refused_with_those_there_are() {
        assert_eq!(
            "silence=3".parse(),
            Ok(Fault::Silence(Duration::from_secs(3)))
        );
        assert_eq!("slow-restore=1000".parse(), Ok(Fault::SlowRestore(1000)));
        assert_eq!(
            "crash-in-restore".parse::<Fault>(),
            Ok(Fault::CrashInRestore)
        );
        for wrong in ["silence", "silence=long", "keep-ids=1", "explode"] {
            assert!(wrong.parse::<Fault>().is_err(), "{wrong}");
        }
        assert!("explode".parse::<Fault>().unwrap_err().contains("keep-ids"));
    }
}
