//! What a policy does to the sets of a store: each installation's by themselves, and safety backups apart.

use jiff::Timestamp;
use thiserror::Error;

use crate::retention::{Candidate, Fate, Policy, decide};
use crate::survey::{Installation, Surveyed};
use crate::{Purpose, StoredSet};

/// Whose sets are meant; what is not told does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The instance.
    pub instance: Option<String>,
    /// Its namespace.
    pub namespace: Option<String>,
    /// The API server's URL.
    pub server: Option<String>,
}

/// Why nothing is decided.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The policy keeps nothing.
    #[error("no rule says which backups are to be kept")]
    EmptyPolicy,
    /// The sets are of several installations.
    #[error("these are backups of several installations: {}", installations.join("; "))]
    SeveralInstallations {
        /// Whose they are.
        installations: Vec<String>,
    },
}

/// What becomes of the sets of a store.
#[derive(Debug)]
pub struct Pruning {
    /// The sets that are meant, by their places in what was surveyed, and what becomes of each.
    pub fates: Vec<(usize, Fate)>,
    /// How many other sets there are: of other installations, or nobody can say whose.
    pub others: usize,
}

impl Selection {
    fn takes(&self, installation: &Installation) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|one| one == found);
        is(&self.instance, &installation.instance)
            && is(&self.namespace, &installation.namespace)
            && is(&self.server, &installation.server)
    }
}

impl Pruning {
    /// Decides. The sets of one installation must be meant: those of another are somebody else's.
    pub fn plan<S: StoredSet>(
        sets: &[Surveyed<S>],
        selection: &Selection,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Self, PlanError> {
        if policy.is_empty() {
            return Err(PlanError::EmptyPolicy);
        }
        let installations = selected(sets, selection)?;
        let mut fates = Vec::new();
        let mut taken = vec![false; sets.len()];
        for (number, installation) in installations.iter().enumerate() {
            for is_safety in [false, true] {
                let of_group = |at: &usize| {
                    let set = &sets[*at];
                    match (set.installation(), set.manifest()) {
                        (Some(own), Some(manifest)) => {
                            let safety = manifest.purpose == Purpose::Safety;
                            own.is_same(installation) && safety == is_safety
                        }
                        // What does not tell whose it is belongs to whoever is called so; once.
                        _ => number == 0 && !is_safety && set.is_named_after(installation),
                    }
                };
                let group: Vec<usize> = (0..sets.len())
                    .filter(|at| !taken[*at])
                    .filter(of_group)
                    .collect();
                let candidates: Vec<Candidate> =
                    group.iter().map(|at| sets[*at].candidate()).collect();
                let decided = decide(policy, &candidates, now);
                for at in &group {
                    taken[*at] = true;
                }
                fates.extend(group.into_iter().zip(decided));
            }
        }
        fates.sort_by_key(|(at, _)| *at);
        Ok(Self {
            fates,
            others: taken.iter().filter(|taken| !**taken).count(),
        })
    }
}

/// The installations that are meant, those with a uid first: the sets of older versions belong to them. Several only where
/// they are called the same: one that was installed anew.
fn selected<S: StoredSet>(
    sets: &[Surveyed<S>],
    selection: &Selection,
) -> Result<Vec<Installation>, PlanError> {
    let mut found: Vec<Installation> = Vec::new();
    let all = sets.iter().filter_map(Surveyed::installation);
    let mut all: Vec<Installation> = all.filter(|one| selection.takes(one)).collect();
    all.sort_by_key(|one| one.uid.is_none());
    for one in all {
        if found.iter().all(|other| !other.is_same(&one)) {
            found.push(one);
        }
    }
    let mut names: Vec<String> = found.iter().map(ToString::to_string).collect();
    names.sort();
    names.dedup();
    if names.len() > 1 {
        return Err(PlanError::SeveralInstallations {
            installations: names,
        });
    }
    Ok(found)
}
