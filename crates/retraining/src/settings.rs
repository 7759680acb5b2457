//! The environment variables of store-admin that start the job.

use crate::schedule::Schedule;

/// What every such variable of the job begins with, those that other patches use for the same included.
pub const PREFIX: &str = "AUTO_RETRAIN";

/// The variables that a job is set up with, in the order of IBM's page.
pub const VARIABLES: [&str; 6] = [
    "AUTO_RETRAIN",
    "AUTO_RETRAIN_ALL_CRON_SCHEDULE",
    "AUTO_RETRAIN_ALL_ENABLED",
    "BATCH_RETRAIN_ALL_SIZE",
    "WAIT_TIME_BETWEEN_BATCH_RETRAIN_IN_SECONDS_FOR_RETRAIN_ALL",
    "WAIT_TIME_BETWEEN_TRAININGS_FOR_RETRAIN_ALL",
];
/// The one that switches the job on.
pub const ENABLED: &str = VARIABLES[2];
/// The one that says when.
pub const SCHEDULE: &str = VARIABLES[1];

/// Settings of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// When it starts.
    pub schedule: Schedule,
    /// How many models are trained at once.
    pub batch_size: u32,
    /// Seconds between two batches.
    pub batch_wait: u32,
    /// Seconds between two trainings.
    pub training_wait: u32,
    /// Whether IBM's wait between batches would be 0 or less, and 1 stands in its place.
    pub clamped: bool,
}

/// What of the settings the user wants otherwise than IBM's page has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// How many models are trained at once.
    pub batch_size: Option<u32>,
    /// Seconds between two batches.
    pub batch_wait: Option<u32>,
    /// Seconds between two trainings.
    pub training_wait: Option<u32>,
}

impl Settings {
    /// What IBM's page sets for so many training pods: two models a pod, and a batch a minute.
    pub fn for_pods(training_pods: u32, schedule: Schedule) -> Self {
        let batch_size = training_pods.saturating_mul(2);
        let wait = 60_u32.saturating_sub(batch_size);
        Self {
            schedule,
            batch_size,
            batch_wait: wait.max(1),
            training_wait: 1,
            clamped: wait == 0,
        }
    }

    /// The same, with what the user wants otherwise.
    #[must_use]
    pub fn with(self, wanted: Wanted) -> Self {
        Self {
            batch_size: wanted.batch_size.unwrap_or(self.batch_size),
            batch_wait: wanted.batch_wait.unwrap_or(self.batch_wait),
            training_wait: wanted.training_wait.unwrap_or(self.training_wait),
            clamped: self.clamped && wanted.batch_wait.is_none(),
            ..self
        }
    }

    /// The variables, with their values.
    pub fn variables(&self) -> [(&'static str, String); 6] {
        let [
            switch_off,
            schedule,
            enabled,
            batch_size,
            batch_wait,
            training_wait,
        ] = VARIABLES;
        [
            (switch_off, "false".to_owned()),
            (schedule, self.schedule.to_string()),
            (enabled, "true".to_owned()),
            (batch_size, self.batch_size.to_string()),
            (batch_wait, self.batch_wait.to_string()),
            (training_wait, self.training_wait.to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(training_pods: u32) -> Settings {
        let schedule = "0 40 19 11 3 ? 2024".parse().unwrap();
        Settings::for_pods(training_pods, schedule)
    }

    #[test]
    fn the_variables_are_those_of_ibms_page() {
        let variables = settings(10).variables();
        let variables = variables.map(|(name, value)| format!("{name}={value}"));
        assert_eq!(
            variables,
            [
                "AUTO_RETRAIN=false",
                "AUTO_RETRAIN_ALL_CRON_SCHEDULE=0 40 19 11 3 ? 2024",
                "AUTO_RETRAIN_ALL_ENABLED=true",
                "BATCH_RETRAIN_ALL_SIZE=20",
                "WAIT_TIME_BETWEEN_BATCH_RETRAIN_IN_SECONDS_FOR_RETRAIN_ALL=40",
                "WAIT_TIME_BETWEEN_TRAININGS_FOR_RETRAIN_ALL=1",
            ]
        );
    }

    #[test]
    fn the_wait_between_batches_is_never_below_one_second() {
        let waits = [29, 30, 31, u32::MAX].map(|pods| {
            let settings = settings(pods);
            (settings.batch_wait, settings.clamped)
        });
        assert_eq!(waits, [(2, false), (1, true), (1, true), (1, true)]);
    }
}
