//! What there is already where a set is to be.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Access, access};
use rustix::process::geteuid;

use super::DirectorySet;
use crate::manifest_file::read_manifest;
use crate::{MANIFEST_FILE, Manifest};

/// What there is at the place of a set.
#[derive(Debug)]
pub enum Place {
    /// Nothing.
    Free,
    /// A directory of this user without a manifest: what an earlier attempt left, or one that is at work.
    Unfinished,
    /// A set.
    Set(Box<Manifest>),
    /// Something else, which stays as it is.
    InTheWay {
        /// What it is, and what is the matter with it: the end of a sentence.
        what: String,
    },
}

impl Place {
    /// Looks at `directory`.
    pub fn look(directory: &Path) -> Self {
        let in_the_way = |what: String| Self::InTheWay { what };
        let found = match fs::symlink_metadata(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Self::Free,
            Err(error) => return in_the_way(format!("cannot be looked at: {error}")),
            Ok(found) => found,
        };
        let what = if found.is_symlink() {
            "is a symbolic link"
        } else if found.is_dir() {
            "is a directory"
        } else {
            return in_the_way("is no directory".to_owned());
        };
        match read_manifest(&DirectorySet::new(directory)) {
            Ok(Ok(manifest)) => return Self::Set(Box::new(manifest)),
            Ok(Err(problem)) if has_manifest(directory) => {
                return in_the_way(format!("{what} whose {}", problem.in_words()));
            }
            Ok(Err(_)) => {}
            Err(error) => return in_the_way(format!("{what}: {error}")),
        }
        if found.is_symlink() {
            // Nothing is written through a link: it may lead anywhere.
            return in_the_way(format!("{what}, and leads to no backup set"));
        }
        if found.uid() != geteuid().as_raw() {
            return in_the_way(format!("{what} of another user (uid {})", found.uid()));
        }
        if access(
            directory,
            Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK,
        )
        .is_err()
        {
            return in_the_way(format!("{what} that you may not read and write"));
        }
        Self::Unfinished
    }
}

fn has_manifest(directory: &Path) -> bool {
    directory.join(MANIFEST_FILE).symlink_metadata().is_ok()
}
