//! How long retraining takes, by the formula of IBM's script `calculate_autoretrain_all_job_duration.sh`.

use std::time::Duration;

/// The most workspaces that are reckoned with: with one training pod they take a thousand years.
pub const MOST_WORKSPACES: u64 = 1_000_000_000;

/// How long the job takes for so many workspaces with so many training pods; `None` without training pods.
///
/// The script reckons in whole numbers, from left to right: `N*60 / (p*2) + N*2` seconds.
pub fn duration(workspaces: u64, training_pods: u32) -> Option<Duration> {
    let pods = u128::from(training_pods);
    let workspaces = u128::from(workspaces);
    let training = (workspaces * 60).checked_div(pods * 2)?;
    let seconds = u64::try_from(training + workspaces * 2).unwrap_or(u64::MAX);
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::process::Command;

    use super::*;

    /// The arithmetic as it stands in IBM's script.
    const SCRIPT: &str = r#"
calculate_duration() {
    local input_variable="$1"
    DURATION=$(("$NUM_OF_WORKSPACES_TO_TRAIN"*60 / (input_variable * 2) + "$NUM_OF_WORKSPACES_TO_TRAIN" * 2))
}
"#;

    #[test]
    fn durations_are_those_of_the_shell_script() {
        let workspaces = [
            0,
            1,
            2,
            3,
            7,
            24,
            99,
            100,
            101,
            1234,
            65_537,
            1_000_000,
            999_999_937,
            MOST_WORKSPACES,
        ];
        let pods = [1, 2, 3, 4, 5, 7, 10, 11, 15, 29, 30, 31, 60, 97, 1000];
        let mut script = SCRIPT.to_owned();
        let mut expected = Vec::new();
        for n in workspaces {
            for p in pods {
                writeln!(
                    script,
                    "NUM_OF_WORKSPACES_TO_TRAIN={n}; calculate_duration {p}; echo $DURATION"
                )
                .unwrap();
                expected.push(duration(n, p).unwrap().as_secs().to_string());
            }
        }
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        let output = String::from_utf8(output.stdout).unwrap();
        let printed: Vec<&str> = output.lines().collect();
        assert_eq!(printed, expected);
    }

    #[test]
    fn without_training_pods_there_is_no_duration() {
        assert_eq!(duration(24, 0), None);
    }
}
