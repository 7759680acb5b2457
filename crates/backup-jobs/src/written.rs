//! Which dumps on the volume a Job wrote.
//!
//! A file tells when it was last written, and its name when it was begun; a Job's pod tells when it began and ended, by the
//! same clock. That suffices where no other Job ran meanwhile. Where one did, a dump is the Job's that began last before the
//! time in the dump's name. What remains doubtful is not guessed.

use backup_volume::{Entry, FileKind, modified};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use wa_common::cluster::{Cluster, ClusterError};

use crate::end::JobEnd;
use crate::error::JobError;
use crate::pod::PodRun;

/// A node notes when a container has started right after that, which may be the next second: its program runs already.
const LATE_SECONDS: i64 = 1;
/// Zones differ from UTC by multiples of this: what a name leaves open is which.
const ZONE_STEP_SECONDS: i64 = 15 * 60;
/// How long after its beginning a Job's script may name its dump.
const NAMED_WITHIN_SECONDS: i64 = 120;

/// When a pod of a Job ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: Timestamp,
    to: Timestamp,
}

/// What else ran on the volume while a Job ran.
#[derive(Debug, Clone, Default)]
pub struct Written {
    others: Vec<Span>,
}

impl Written {
    /// Looks at the pods of other Jobs that have one of `claims`.
    pub async fn look(
        cluster: &Cluster,
        end: &JobEnd,
        claims: &[String],
    ) -> Result<Self, ClusterError> {
        let of_other = |pod: &Pod| {
            let of_job = pod
                .owner_references()
                .iter()
                .any(|owner| owner.kind == "Job");
            of_job && Some(pod.name_any()) != end.pod && has_any(pod, claims)
        };
        let pods: Vec<Pod> = cluster.list_matching("", of_other).await?;
        let now = Timestamp::now();
        let span = |pod: &Pod| {
            let run = PodRun::from_pod(pod);
            Some(Span {
                from: run.started?,
                to: run.finished.unwrap_or(now),
            })
        };
        Ok(Self {
            others: pods.iter().filter_map(span).collect(),
        })
    }
}

fn has_any(pod: &Pod, claims: &[String]) -> bool {
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_ref());
    let mut named = volumes
        .into_iter()
        .flatten()
        .filter_map(|volume| volume.persistent_volume_claim.as_ref());
    named.any(|claim| claims.contains(&claim.claim_name))
}

/// The dump among `files` that the Job wrote which ended so.
pub fn written_by(end: &JobEnd, beside: &Written, files: &[Entry]) -> Result<Entry, JobError> {
    let ambiguous = |candidates: &[&Entry]| JobError::Ambiguous {
        job: end.job.clone(),
        candidates: candidates.iter().map(|file| file.name.clone()).collect(),
    };
    let (Some(from), Some(to)) = (end.started, end.finished) else {
        return Err(ambiguous(&[]));
    };
    let span = Span { from, to };
    let since_begun = |dump: &Entry| since_named(dump, span.from);
    let may_be_own = |dump: &&Entry| {
        let is_dump = FileKind::from_entry(dump) == FileKind::Dump;
        let named = since_begun(dump).is_none_or(|since| since <= NAMED_WITHIN_SECONDS);
        is_dump && named && span.may_have(modified(dump))
    };
    let mut written: Vec<&Entry> = files.iter().filter(may_be_own).collect();
    // One that was begun or written just before the start is the Job's only where there is no other.
    let is_in_time =
        |dump: &Entry| span.has(modified(dump)) && since_begun(dump).is_none_or(|since| since >= 0);
    if written.iter().any(|dump| is_in_time(dump)) {
        written.retain(|dump| is_in_time(dump));
    }
    let others = beside.others.iter().filter(|other| other.overlaps(span));
    let others: Vec<&Span> = others.collect();
    if let [only] = written[..]
        && !others.iter().any(|other| other.may_have(modified(only)))
    {
        return Ok(only.clone());
    }
    let named = written.iter().filter(|dump| {
        let Some(own) = since_begun(dump) else {
            return false;
        };
        let mut of_others = others
            .iter()
            .filter_map(|other| since_named(dump, other.from));
        of_others.all(|other| own < other)
    });
    match named.copied().collect::<Vec<_>>()[..] {
        [one] => Ok(one.clone()),
        _ => Err(ambiguous(&written)),
    }
}

/// How many seconds after `began` the time in the dump's name is, in whatever zone it is written.
fn since_named(dump: &Entry, began: Timestamp) -> Option<i64> {
    let (_, stamp) = dump.name.rsplit_once('_')?;
    let time = DateTime::strptime("%Y%m%d-%H%M%S", stamp).ok()?;
    let time = time.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let since = time.as_second() - began.as_second() + LATE_SECONDS;
    Some(since.rem_euclid(ZONE_STEP_SECONDS) - LATE_SECONDS)
}

impl Span {
    /// Both tell whole seconds.
    fn has(self, time: Timestamp) -> bool {
        (self.from.as_second()..=self.to.as_second()).contains(&time.as_second())
    }

    /// The same for one that may have begun earlier than was noted.
    fn may_have(self, time: Timestamp) -> bool {
        self.has(time) || self.from.as_second() - LATE_SECONDS == time.as_second()
    }

    /// One that ended within the second in which the other began was over.
    fn overlaps(self, other: Self) -> bool {
        other.from.as_second() < self.to.as_second() && self.from <= other.to
    }
}

#[cfg(test)]
mod tests {
    use kube_transfer::file::{EntryKind, FileVersion};

    use super::*;
    use crate::end::Outcome;

    fn time(text: &str) -> Timestamp {
        format!("2026-11-27T{text}Z").parse().unwrap()
    }

    fn dump(stamp: &str, written: &str) -> Entry {
        let version = FileVersion {
            bytes: 1,
            modified: u64::try_from(time(written).as_second()).unwrap(),
            inode: 1,
        };
        Entry::new(
            format!("store.dump_20261127-{stamp}"),
            EntryKind::File,
            version,
        )
    }

    /// What a Job is found to have written that ran from 12:00 to 12:10, beside others.
    fn written(others: &[(&str, &str)], files: &[Entry]) -> Option<String> {
        let end = JobEnd {
            job: "wa-backup-1".to_owned(),
            outcome: Outcome::Complete,
            why: None,
            pod: None,
            started: Some(time("12:00:00")),
            finished: Some(time("12:10:00")),
        };
        let others = others.iter().map(|(from, to)| Span {
            from: time(from),
            to: time(to),
        });
        let beside = Written {
            others: others.collect(),
        };
        let found = written_by(&end, &beside, files).ok()?;
        Some(found.name.rsplit_once('-').unwrap().1.to_owned())
    }

    #[test]
    fn the_dump_written_while_the_job_ran_is_its_own() {
        let files = [
            dump("110000", "11:05:00"),
            dump("120001", "12:09:59"),
            dump("130000", "13:05:00"),
        ];
        assert_eq!(written(&[], &files).as_deref(), Some("120001"));
        assert_eq!(written(&[], &files[..1]), None, "none was written");
    }

    #[test]
    fn a_dump_begun_just_before_the_node_noted_the_start_is_its_own() {
        let early = dump("115959", "11:59:59");
        assert_eq!(written(&[], &[early]).as_deref(), Some("115959"));
        let too_early = dump("115958", "11:59:58");
        assert_eq!(written(&[], &[too_early]), None);
        // Those that somebody else wrote or began in that second.
        for written_at in ["11:59:59", "12:00:00"] {
            let both = [dump("115959", written_at), dump("120000", "12:00:00")];
            assert_eq!(written(&[], &both).as_deref(), Some("120000"));
        }
    }

    #[test]
    fn another_jobs_dump_is_not_taken_for_it_whichever_ended_first() {
        let own = dump("120001", "12:09:59");
        let other = dump("120301", "12:05:00");
        let beside = [("12:03:00", "12:05:01")];
        let both = [other.clone(), own.clone()];
        assert_eq!(written(&beside, &both).as_deref(), Some("120001"));
        // It began earlier, and ended within ours.
        let other = dump("115801", "12:05:00");
        let beside = [("11:58:00", "12:05:01")];
        assert_eq!(written(&beside, &[other, own]).as_deref(), Some("120001"));
    }

    #[test]
    fn of_two_that_were_begun_within_a_minute_each_job_has_the_one_begun_just_after_it() {
        let files = [dump("120001", "12:09:59"), dump("120103", "12:05:00")];
        let beside = [("12:01:02", "12:05:01")];
        assert_eq!(written(&beside, &files).as_deref(), Some("120001"));
    }

    #[test]
    fn the_zone_of_the_names_does_not_matter() {
        let own = dump("173001", "12:09:59");
        let other = dump("173301", "12:05:00");
        let beside = [("12:03:00", "12:05:01")];
        assert_eq!(written(&beside, &[own, other]).as_deref(), Some("173001"));
    }

    #[test]
    fn a_job_that_was_over_when_this_one_began_has_no_part_in_it() {
        let beside = [("11:59:58", "12:00:00")];
        let own = dump("120000", "12:00:00");
        assert_eq!(written(&beside, &[own]).as_deref(), Some("120000"));
        let before = dump("115958", "12:00:00");
        assert_eq!(written(&beside, &[before]), None, "it is the other's");
    }

    #[test]
    fn what_is_doubtful_is_not_guessed() {
        // Only the other's is there.
        let beside = [("12:03:00", "12:05:01")];
        assert_eq!(written(&beside, &[dump("120301", "12:05:00")]), None);
        // Two that nobody is known to have written, named alike.
        let files = [dump("120001", "12:05:00"), dump("120002", "12:06:00")];
        assert_eq!(written(&[], &files), None);
    }
}
