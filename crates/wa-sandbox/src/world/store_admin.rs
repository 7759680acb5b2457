//! store-admin, which has all models trained: a real process in its pod that does what the environment tells it, and
//! trains nothing.
//!
//! Its script (`scripts/store-admin.sh`) reads the variables that IBM's page sets when the container starts. It waits for
//! the schedule, counts the workspaces in etcd, and "trains" batch by batch, with the waits that it was told, though many
//! times faster. So a patch that changes the variables has it restart, and a time that has passed never comes.
//!
//! Nobody outside IBM knows what it prints but for three words: lines tagged `[RETRAIN-ALL-SUMMARY]`, with `Affected
//! workspaces found` and `Retrained Total`. The rest of the lines is made up, in several forms ([`SummaryForm`]). Made up
//! as well, on the strict side:
//!
//! - that a job is gone when its pod is, though some of it was done ([`RetrainFault::Resume`] has it go on);
//! - that of several pods one trains, and the others say that they do not;
//! - that a schedule which is none, or has both day fields or neither, is an error in the log and nothing else;
//! - that the variables other than those of the schedule have the defaults that IBM's page sets for five training pods.
//!
//! Left out: `L`, `W` and `#` in schedules, what `AUTO_RETRAIN` and `CLU_CLEAN_UP` do, and the end of a model's training
//! that comes later than its batch.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use kube_sandbox::node::{Image, Mount};

/// The directory of all store-admins, beside the kubeconfig.
const DIRECTORY: &str = "store-admin";
/// Where a pod has it.
const MOUNTED: &str = "/practice";

/// What store-admin does differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetrainFault {
    /// Says how far it is in another form.
    Form(SummaryForm),
    /// Trains so many and then no more, and says nothing.
    StallAfter(u64),
    /// Says that it is done when so many are left.
    Gap(u64),
    /// Crashes once when so many are trained.
    CrashAfter(u64),
    /// Finds so many workspaces, whatever is in etcd.
    Affected(u64),
    /// Goes on after a restart with what was left.
    Resume,
}

/// How it says how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SummaryForm {
    /// Both numbers in a line.
    Line,
    /// In a line of JSON.
    Json,
    /// The other way round, with commas between thousands.
    Reversed,
    /// In a line each.
    TwoLines,
    /// Without numbers.
    Unknown,
}

/// A text is none of what store-admin can do differently.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is nothing that store-admin does differently: say form=FORM (line, json, reversed, two-lines or unknown), \
     stall-after=N, gap=N, crash-after=N, affected=N or resume"
)]
pub struct UnknownRetrainFault(String);

impl SummaryForm {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Line,
        Self::Json,
        Self::Reversed,
        Self::TwoLines,
        Self::Unknown,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Json => "json",
            Self::Reversed => "reversed",
            Self::TwoLines => "two-lines",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for RetrainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(form) => write!(f, "form={}", form.name()),
            Self::StallAfter(number) => write!(f, "stall-after={number}"),
            Self::Gap(number) => write!(f, "gap={number}"),
            Self::CrashAfter(number) => write!(f, "crash-after={number}"),
            Self::Affected(number) => write!(f, "affected={number}"),
            Self::Resume => f.write_str("resume"),
        }
    }
}

impl FromStr for RetrainFault {
    type Err = UnknownRetrainFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownRetrainFault(text.to_owned());
        if text == "resume" {
            return Ok(Self::Resume);
        }
        let (name, value) = text.split_once('=').ok_or_else(unknown)?;
        if name == "form" {
            let mut forms = SummaryForm::ALL.into_iter();
            let form = forms.find(|form| form.name() == value);
            return form.map(Self::Form).ok_or_else(unknown);
        }
        let number = value.parse().map_err(|_| unknown())?;
        match name {
            "stall-after" => Ok(Self::StallAfter(number)),
            "gap" => Ok(Self::Gap(number)),
            "crash-after" => Ok(Self::CrashAfter(number)),
            "affected" => Ok(Self::Affected(number)),
            _ => Err(unknown()),
        }
    }
}

/// The directory that a cluster shares with its store-admins.
#[derive(Debug, Clone)]
pub struct RetrainPractice(PathBuf);

impl RetrainPractice {
    /// That of the cluster in a directory.
    pub fn of_cluster(directory: &Path) -> Self {
        Self(directory.join(DIRECTORY))
    }

    /// Makes the directory, for store-admins that are so many times faster than real ones.
    pub(crate) fn create(&self, speed: u32) -> io::Result<()> {
        fs::create_dir(&self.0)?;
        fs::write(self.0.join("speed"), speed.max(1).to_string())
    }

    /// Has them do this differently from now on, and nothing else.
    pub fn set_faults(&self, faults: &[RetrainFault]) -> io::Result<()> {
        let words: Vec<_> = faults.iter().map(RetrainFault::to_string).collect();
        // Whoever reads it meanwhile reads all or nothing.
        let partial = self.0.join("faults.partial");
        fs::write(&partial, words.join("\n"))?;
        fs::rename(partial, self.0.join("faults"))
    }

    /// The image of store-admin with the directory in it.
    pub(super) fn image(&self, mut image: Image) -> Image {
        image.mounts.push(Mount {
            source: self.0.clone(),
            target: MOUNTED.into(),
            read_only: false,
        });
        image
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_read_as_it_is_shown_and_an_unknown_one_names_the_known() {
        let forms = SummaryForm::ALL.map(RetrainFault::Form);
        let numbers = [
            RetrainFault::StallAfter(1),
            RetrainFault::Gap(2),
            RetrainFault::CrashAfter(3),
            RetrainFault::Affected(4),
            RetrainFault::Resume,
        ];
        for fault in forms.into_iter().chain(numbers) {
            assert_eq!(fault.to_string().parse::<RetrainFault>().unwrap(), fault);
        }
        for text in ["", "gap", "gap=few", "gap=-1", "form=xml", "slow=1"] {
            let unknown = text.parse::<RetrainFault>().unwrap_err().to_string();
            assert!(unknown.contains("stall-after=N"), "{unknown}");
        }
    }
}
