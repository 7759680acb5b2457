//! What becomes of a dump that has arrived whole, by the verdict on it.

use std::path::Path;

use backup_set::{Verdict, VerificationFailed, Verified};
use wa_common::report::Exit;

use crate::pg_dump::Received;

/// What is known of a dump that is kept.
#[derive(Debug)]
pub enum Judged {
    /// Nobody looked.
    Declined,
    /// It is intact.
    Verified(Box<Verified>),
    /// It cannot be known whether it is intact; says why.
    Not(String),
}

impl Judged {
    /// What was found in it, where it is intact.
    pub fn verified(&self) -> Option<&Verified> {
        match self {
            Self::Verified(verified) => Some(verified),
            Self::Declined | Self::Not(_) => None,
        }
    }

    /// Why it could not be judged.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Not(why) => Some(why),
            Self::Declined | Self::Verified(_) => None,
        }
    }

    /// How a command ends that keeps it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Not(_) => Exit::NotJudged,
            Self::Declined | Self::Verified(_) => Exit::Done,
        }
    }
}

/// A dump that arrived whole and is nevertheless no backup was broken where it was made.
pub(crate) fn judged<W>(received: Received<W>, path: &Path) -> anyhow::Result<(W, Judged)> {
    let judged = match received.verdict {
        None => Judged::Declined,
        Some(Verdict::Intact(verified)) => Judged::Verified(verified),
        Some(Verdict::NotJudged(why)) => Judged::Not(why),
        Some(Verdict::Unread(error)) => {
            return Err(anyhow::Error::new(error).context("cannot verify the dump"));
        }
        Some(Verdict::Failed(fault)) => {
            return Err(
                anyhow::Error::new(VerificationFailed::of_dump(path, &fault))
                    .context("the dump arrived as the pod sent it, but cannot be verified"),
            );
        }
    };
    Ok((received.out, judged))
}
