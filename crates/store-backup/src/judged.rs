//! What becomes of a dump that has arrived whole, by the verdict on it.

use std::path::Path;

use backup_set::{Verdict, VerificationFailed, Verified};
use wa_common::cli::Exit;

use crate::dump::Received;

/// What is known of a dump that is kept.
pub enum Judged {
    /// Nobody looked.
    Declined,
    Verified(Box<Verified>),
    /// It cannot be told whether it is intact; says why.
    Not(String),
}

impl Judged {
    pub fn verified(&self) -> Option<&Verified> {
        match self {
            Self::Verified(verified) => Some(verified),
            Self::Declined | Self::Not(_) => None,
        }
    }

    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Not(why) => Some(why),
            Self::Declined | Self::Verified(_) => None,
        }
    }

    pub fn exit(&self) -> Exit {
        match self {
            Self::Not(_) => Exit::NotJudged,
            Self::Declined | Self::Verified(_) => Exit::Done,
        }
    }
}

/// A dump that arrived whole and is nevertheless no backup was broken where it was made.
pub fn judged<W>(received: Received<W>, path: &Path) -> anyhow::Result<(W, Judged)> {
    let judged = match received.verdict {
        None => Judged::Declined,
        Some(Verdict::Intact(verified)) => Judged::Verified(verified),
        Some(Verdict::NotJudged(why)) => Judged::Not(why),
        Some(Verdict::Unread(error)) => {
            return Err(anyhow::Error::new(error).context("cannot verify the dump"));
        }
        Some(Verdict::Failed(fault)) => {
            return Err(anyhow::Error::new(VerificationFailed::of_dump(path, &fault))
                .context("the dump arrived as the pod sent it, but cannot be verified; no backup was kept (--no-verify keeps one unverified)"));
        }
    };
    Ok((received.out, judged))
}
