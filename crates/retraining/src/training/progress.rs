//! How far training is, by what the pods of store-admin have logged.

use std::collections::{BTreeMap, VecDeque};

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::line::{Line, Summary};

/// How many changes of a pod's numbers are kept, for the rate.
const CHANGES: usize = 64;
/// How many lines are kept that a person may want to see.
const REMARKS: usize = 10;
/// How much of such a line.
const REMARK_CHARS: usize = 400;

/// What one run of store-admin's container has logged.
#[derive(Debug, Clone, Default)]
pub(super) struct Logged {
    affected: Option<u64>,
    retrained: Option<u64>,
    /// When `retrained` became how much, the last ones.
    changes: VecDeque<(Timestamp, u64)>,
    /// The last summary.
    last: Option<Timestamp>,
    /// Whether the last line with the tag could not be read.
    unknown: bool,
}

/// What all of them have.
#[derive(Debug, Clone, Default)]
pub(super) struct Log {
    runs: BTreeMap<String, Logged>,
    remarks: VecDeque<Remark>,
}

/// A line for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// When it was logged.
    pub time: Timestamp,
    /// The pod.
    pub pod: String,
    /// As it is, cut where it is long.
    pub text: String,
}

/// How far training is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The pod that says so.
    pub pod: String,
    /// How many workspaces are trained.
    pub affected: u64,
    /// How many of them are done.
    pub retrained: u64,
    /// Since when that has not changed.
    pub unchanged_since: Timestamp,
    /// Whether a later line could not be read, which may say something else.
    pub newer_line_unknown: bool,
    /// Workspaces an hour, as measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_hour: Option<f64>,
    /// How many were trained in each part of the time, for a picture.
    #[serde(skip)]
    pub history: Vec<u64>,
}

impl Log {
    /// Takes a line that the run of a container called `run`, in `pod`, logged.
    pub(super) fn add(&mut self, run: &str, pod: &str, time: Timestamp, text: &str) {
        let line = Line::parse(text);
        if matches!(line, Line::Unknown | Line::Remark) {
            self.remarks.push_back(Remark {
                time,
                pod: pod.to_owned(),
                text: text.chars().take(REMARK_CHARS).collect(),
            });
            if self.remarks.len() > REMARKS {
                self.remarks.pop_front();
            }
        }
        match line {
            Line::Summary(summary) => self.logged(run).summary(time, summary),
            Line::Unknown => self.logged(run).unknown = true,
            Line::Remark | Line::Other => {}
        }
    }

    fn logged(&mut self, run: &str) -> &mut Logged {
        self.runs.entry(run.to_owned()).or_default()
    }

    /// The lines for a person, the oldest first.
    pub(super) fn remarks(&self) -> Vec<Remark> {
        self.remarks.iter().cloned().collect()
    }

    /// How far training is, by those of these runs (with their pods) that say so. Where several do, the one that is not
    /// done counts, and of those the one that said so last: nothing is done as long as one of them is not.
    pub(super) fn progress(&self, runs: &[(String, String)]) -> Option<Progress> {
        let told = runs.iter().filter_map(|(run, pod)| {
            let progress = self.runs.get(run)?.progress(pod)?;
            Some((!progress.is_done(), self.runs.get(run)?.last, progress))
        });
        told.max_by_key(|(open, last, _)| (*open, *last))
            .map(|(.., progress)| progress)
    }
}

impl Logged {
    fn summary(&mut self, time: Timestamp, summary: Summary) {
        self.unknown = false;
        self.last = Some(time);
        self.affected = summary.affected.or(self.affected);
        if let Some(retrained) = summary.retrained {
            if self.retrained != Some(retrained) {
                self.changes.push_back((time, retrained));
                if self.changes.len() > CHANGES {
                    self.changes.pop_front();
                }
            }
            self.retrained = Some(retrained);
        }
    }

    fn progress(&self, pod: &str) -> Option<Progress> {
        Some(Progress {
            pod: pod.to_owned(),
            affected: self.affected?,
            // It is counted from the first batch on.
            retrained: self.retrained.unwrap_or(0),
            unchanged_since: self.changes.back().map(|(time, _)| *time).or(self.last)?,
            newer_line_unknown: self.unknown,
            per_hour: self.per_hour(),
            history: self.history(),
        })
    }

    fn per_hour(&self) -> Option<f64> {
        let ((from, first), (to, last)) = (self.changes.front()?, self.changes.back()?);
        let hours = to.duration_since(*from).as_secs_f64() / 3600.0;
        let trained = last.checked_sub(*first)?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a rate is shown with three digits"
        )]
        let trained = trained as f64;
        (hours > 0.0).then(|| trained / hours)
    }

    fn history(&self) -> Vec<u64> {
        let pairs = self.changes.iter().zip(self.changes.iter().skip(1));
        pairs
            .map(|((_, before), (_, after))| after.saturating_sub(*before))
            .collect()
    }
}

impl Progress {
    /// Whether everything is trained. Nothing is not everything: a job that found no workspace has done nothing.
    pub fn is_done(&self) -> bool {
        self.affected > 0 && self.retrained == self.affected && !self.newer_line_unknown
    }

    /// How many are missing; what is more than everything is as wrong as what is less.
    pub fn gap(&self) -> u64 {
        self.affected.abs_diff(self.retrained)
    }

    /// Whether so few are missing that, by IBM's page, the rest is trained in the background: 5 per cent at most.
    pub fn gap_is_small(&self) -> bool {
        let gap = u128::from(self.gap());
        self.retrained <= self.affected
            && self.affected > 0
            && gap * 20 <= u128::from(self.affected)
    }

    /// How long since the numbers changed.
    pub fn unchanged_for(&self, now: Timestamp) -> SignedDuration {
        now.duration_since(self.unchanged_since)
    }

    /// Whole per cent, 100 only where everything is trained.
    pub fn per_cent(&self) -> u64 {
        if self.affected == 0 {
            return 0;
        }
        let per_cent = u128::from(self.retrained) * 100 / u128::from(self.affected);
        u64::try_from(per_cent).unwrap_or(u64::MAX)
    }

    /// How long the rest takes at the rate that was measured.
    pub fn time_left(&self) -> Option<std::time::Duration> {
        let rate = self.per_hour.filter(|rate| *rate > 0.0)?;
        let missing = self.affected.checked_sub(self.retrained)?;
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let hours = missing as f64 / rate;
        std::time::Duration::try_from_secs_f64(hours * 3600.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    fn line(affected: u64, retrained: u64) -> String {
        format!(
            "[RETRAIN-ALL-SUMMARY] Affected workspaces found: {affected}, Retrained Total: {retrained}"
        )
    }

    fn progress(log: &Log, runs: &[&str]) -> Option<Progress> {
        let runs: Vec<_> = runs
            .iter()
            .map(|run| ((*run).to_owned(), format!("pod-{run}")))
            .collect();
        log.progress(&runs)
    }

    #[test]
    fn the_last_summary_counts_and_the_rate_is_measured_by_the_times_in_the_log() {
        let mut log = Log::default();
        for (seconds, retrained) in [(0, 0), (60, 20), (120, 40), (180, 40)] {
            log.add("a", "pod-a", at(seconds), &line(100, retrained));
        }
        let progress = progress(&log, &["a"]).unwrap();
        assert_eq!(
            (progress.affected, progress.retrained, progress.per_cent()),
            (100, 40, 40)
        );
        assert_eq!(progress.per_hour, Some(1200.0));
        assert_eq!(
            progress.time_left(),
            Some(std::time::Duration::from_mins(3))
        );
        assert_eq!(progress.unchanged_for(at(180)).as_secs(), 60);
        assert_eq!(progress.history, [20, 20]);
        assert!(!progress.is_done() && !progress.gap_is_small());
    }

    #[test]
    fn a_new_container_begins_anew_and_what_a_former_one_said_is_not_success() {
        let mut log = Log::default();
        log.add("old", "pod", at(0), &line(24, 24));
        assert!(progress(&log, &["old"]).unwrap().is_done());
        assert_eq!(progress(&log, &["new"]), None);
        log.add("new", "pod", at(9), &line(24, 3));
        assert_eq!(progress(&log, &["new"]).unwrap().retrained, 3);
    }

    #[test]
    fn of_several_pods_all_must_be_done() {
        let mut log = Log::default();
        log.add("a", "pod-a", at(9), &line(24, 24));
        log.add("b", "pod-b", at(0), &line(24, 10));
        let both = progress(&log, &["a", "b"]).unwrap();
        assert_eq!((both.pod.as_str(), both.retrained), ("pod-b", 10));
        // One that says nothing has nothing to train.
        assert!(progress(&log, &["a", "silent"]).unwrap().is_done());
    }

    #[test]
    fn a_line_that_cannot_be_read_is_kept_for_a_person_and_success_is_not_believed_any_more() {
        let mut log = Log::default();
        log.add("a", "pod", at(0), &line(24, 24));
        log.add("a", "pod", at(1), "[RETRAIN-ALL-SUMMARY] reset");
        assert!(!progress(&log, &["a"]).unwrap().is_done());
        assert_eq!(log.remarks()[0].text, "[RETRAIN-ALL-SUMMARY] reset");
        log.add("a", "pod", at(2), &line(24, 24));
        assert!(progress(&log, &["a"]).unwrap().is_done());
    }

    #[test]
    fn nothing_of_nothing_and_more_than_everything_are_no_success() {
        let of = |affected, retrained| {
            let mut log = Log::default();
            log.add("a", "pod", at(0), &line(affected, retrained));
            progress(&log, &["a"]).unwrap()
        };
        for (affected, retrained) in [(0, 0), (24, 25), (24, 0)] {
            let progress = of(affected, retrained);
            assert!(
                !progress.is_done() && !progress.gap_is_small(),
                "{progress:?}"
            );
        }
        assert!(of(100, 95).gap_is_small() && !of(100, 94).gap_is_small());
        assert!(of(20, 19).gap_is_small() && !of(19, 18).gap_is_small());
        assert_eq!(of(1000, 999).per_cent(), 99);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut log = Log::default();
        for n in 0..1000 {
            log.add("a", "pod", at(n), &line(5000, n.unsigned_abs()));
            log.add(
                "a",
                "pod",
                at(n),
                &format!("[RETRAIN-ALL] {}", "x".repeat(1000)),
            );
        }
        assert_eq!(log.remarks().len(), REMARKS);
        assert!(log.remarks()[0].text.len() <= REMARK_CHARS);
        assert!(log.runs["a"].changes.len() <= CHANGES);
    }
}
