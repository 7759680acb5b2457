//! What a user must be allowed to do for runs to begin and end.

use crate::preflight::{Needed, verbs};

const LEASES: &str = "coordination.k8s.io";

/// To keep the record of a [`Run`](super::Run).
pub fn to_record() -> Vec<Needed> {
    to_hold_a_lease("records what is made, before it is made")
}

/// To take over the records of runs that were interrupted, beside what undoing their changes takes.
pub fn to_take_over() -> Vec<Needed> {
    let why = "finds and takes over the records of interrupted runs";
    verbs(&["list", "get", "update", "delete"], LEASES, "leases", why)
}

/// To keep the journal and the lock of a [`JournaledRun`](super::journal::JournaledRun), where the journal is.
pub fn to_journal() -> Vec<Needed> {
    let why = "keeps the journal of what is changed";
    let journal = verbs(&["create", "get", "update"], "", "configmaps", why);
    [journal, to_lock()].concat()
}

/// To keep a lock of one elsewhere.
pub fn to_lock() -> Vec<Needed> {
    to_hold_a_lease("keeps others from changing the same meanwhile")
}

fn to_hold_a_lease(why: &'static str) -> Vec<Needed> {
    let all = ["create", "get", "update", "delete"];
    verbs(&all, LEASES, "leases", why)
}

/// To see a journal and whether anybody works by it.
pub fn to_see_a_journal() -> Vec<Needed> {
    let why = "reads the journal of what was changed";
    [
        verbs(&["get"], "", "configmaps", why),
        verbs(&["get"], LEASES, "leases", "tells who is at work"),
    ]
    .concat()
}
