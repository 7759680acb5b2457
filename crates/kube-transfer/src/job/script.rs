//! The scripts about jobs, put together.

use crate::script::without_comments;

/// What all of them begin with.
const COMMON: &str = concat!(
    include_str!("../find_sum.sh"),
    include_str!("../process.sh"),
    include_str!("job.sh")
);
const START: &str = include_str!("start.sh");
const WRAPPER: &str = include_str!("wrapper.sh");

pub(super) const STATUS: &str = include_str!("status.sh");
pub(super) const READ: &str = include_str!("read.sh");
pub(super) const STOP: &str = include_str!("stop.sh");
pub(super) const COLLECT: &str = include_str!("collect.sh");
pub(super) const REMOVE: &str = include_str!("remove.sh");

pub(super) fn with_common(script: &str) -> String {
    without_comments(COMMON) + &without_comments(script)
}

/// The script that starts a job, with the wrapper's own as a variable.
pub(super) fn start() -> String {
    let wrapper = with_common(WRAPPER).replace('\'', r"'\''");
    format!("wrapper='{wrapper}'\n{}", with_common(START))
}
