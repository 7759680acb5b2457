//! Steps that begin and end, as handles: whatever becomes of the work, each ends once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use serde::Serialize;
use serde_json::Value;

use super::{Event, Reporter, StepOutcome, StepPlace, next_id};

/// Numbers the steps of one piece of work.
pub struct Steps<'a> {
    reporter: &'a dyn Reporter,
    /// How many there will be, where that is known from the beginning.
    total: Option<u32>,
    begun: AtomicU32,
}

/// A step that has begun. It ends with [`Self::done`] or one of its siblings; one that is dropped before, by an error or a
/// signal, is reported as unfinished.
#[must_use = "a step that is dropped at once is reported as unfinished"]
pub struct RunningStep<'a> {
    reporter: &'a dyn Reporter,
    place: StepPlace,
    began: Instant,
    ended: bool,
}

impl<'a> Steps<'a> {
    /// Steps whose number is not known before the last one has ended.
    pub fn new(reporter: &'a dyn Reporter) -> Self {
        Self {
            reporter,
            total: None,
            begun: AtomicU32::new(0),
        }
    }

    /// Steps of which there will be `total`: a person reads `step 3 of 12`.
    pub fn with_total(reporter: &'a dyn Reporter, total: u32) -> Self {
        Self {
            total: Some(total),
            ..Self::new(reporter)
        }
    }

    /// The same, after `begun` steps that another process has taken.
    #[must_use]
    pub fn after(self, begun: u32) -> Self {
        self.begun.store(begun, Ordering::Relaxed);
        self
    }

    /// Begins the next step: a word or two that stay the same from run to run, and what it is about this time, which may
    /// be empty.
    pub fn begin(&self, step: &'static str, detail: impl Into<String>) -> RunningStep<'a> {
        let place = StepPlace {
            id: next_id(),
            step,
            index: self.begun.fetch_add(1, Ordering::Relaxed) + 1,
            total: self.total,
        };
        self.reporter.report(&Event::StepStarted {
            place,
            detail: detail.into(),
        });
        RunningStep {
            reporter: self.reporter,
            place,
            began: Instant::now(),
            ended: false,
        }
    }
}

impl RunningStep<'_> {
    /// It is done, and this came of it, in words; empty where there is nothing to say.
    pub fn done(self, detail: impl Into<String>) {
        self.end(StepOutcome::Done, detail.into(), Value::Null);
    }

    /// As [`Self::done`], with the same as fields for a program.
    pub fn done_with(self, detail: impl Into<String>, data: impl Serialize) {
        // What cannot be put into JSON is still there in words.
        let data = serde_json::to_value(data).unwrap_or_default();
        self.end(StepOutcome::Done, detail.into(), data);
    }

    /// There was nothing to do, and why: it was done by an earlier run, or is not needed here.
    pub fn skipped(self, why: impl Into<String>) {
        self.end(StepOutcome::Skipped, why.into(), Value::Null);
    }

    /// It failed. Why is in the error that follows; `detail` is what a person should know beside that.
    pub fn failed(self, detail: impl Into<String>) {
        self.end(StepOutcome::Failed, detail.into(), Value::Null);
    }

    fn end(mut self, outcome: StepOutcome, detail: String, data: Value) {
        self.report_end(outcome, detail, data);
    }

    fn report_end(&mut self, outcome: StepOutcome, detail: String, data: Value) {
        self.ended = true;
        self.reporter.report(&Event::StepFinished {
            place: self.place,
            outcome,
            duration: self.began.elapsed(),
            detail,
            data,
        });
    }
}

impl Drop for RunningStep<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.report_end(StepOutcome::Unfinished, String::new(), Value::Null);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;

    #[derive(Default)]
    struct Reported(Mutex<Vec<Event>>);

    impl Reporter for Reported {
        fn report(&self, event: &Event) {
            self.0.lock().unwrap().push(event.clone());
        }
    }

    impl Reported {
        /// Index, total, outcome and detail of the steps that have ended.
        fn ended(&self) -> Vec<(u32, Option<u32>, StepOutcome, String)> {
            let events = self.0.lock().unwrap();
            let ended = events.iter().filter_map(|event| match event {
                Event::StepFinished {
                    place,
                    outcome,
                    detail,
                    ..
                } => Some((place.index, place.total, *outcome, detail.clone())),
                _ => None,
            });
            ended.collect()
        }
    }

    #[test]
    fn steps_are_numbered_and_each_ends_once_however_it_ends() {
        let reported = Reported::default();
        let steps = Steps::with_total(&reported, 4);
        steps.begin("stop", "the operator").done("stopped");
        steps.begin("copy", "").skipped("it is there");
        steps.begin("check", "").failed("one table is missing");
        let fails = || -> Result<(), ()> {
            let _step = steps.begin("start", "");
            Err(())
        };
        assert_eq!(fails(), Err(()));
        let ended = |index, outcome, detail: &str| (index, Some(4), outcome, detail.to_owned());
        assert_eq!(
            reported.ended(),
            [
                ended(1, StepOutcome::Done, "stopped"),
                ended(2, StepOutcome::Skipped, "it is there"),
                ended(3, StepOutcome::Failed, "one table is missing"),
                ended(4, StepOutcome::Unfinished, ""),
            ]
        );
    }

    #[test]
    fn the_end_of_a_step_has_the_id_of_its_beginning_and_its_results_as_fields() {
        let reported = Reported::default();
        let steps = Steps::new(&reported);
        let (first, second) = (steps.begin("dump", ""), steps.begin("key", ""));
        first.done_with("2 bytes", json!({"bytes": 2}));
        drop(second);
        let events = reported.0.lock().unwrap();
        let [
            Event::StepStarted { place: began, .. },
            Event::StepStarted { place: other, .. },
            Event::StepFinished { place, data, .. },
            Event::StepFinished { .. },
        ] = &events[..]
        else {
            panic!("{events:?}");
        };
        assert_eq!(began, place);
        assert_ne!(began.id, other.id);
        assert_eq!((began.total, data), (None, &json!({"bytes": 2})));
    }
}
