//! The programs of this machine that the node runs containers with.

use std::path::PathBuf;

/// A program that is not installed.
#[derive(Debug, thiserror::Error)]
#[error("{program} is not on PATH: install it (Debian: apt-get install {package})")]
pub struct MissingProgram {
    program: &'static str,
    package: &'static str,
}

/// Absolute paths: a container's own PATH decides nothing here.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) bwrap: PathBuf,
    pub(crate) nsenter: PathBuf,
    pub(crate) setsid: PathBuf,
}

impl Programs {
    pub(crate) fn find() -> Result<Self, MissingProgram> {
        Ok(Self {
            bwrap: find("bwrap", "bubblewrap")?,
            nsenter: find("nsenter", "util-linux")?,
            setsid: find("setsid", "util-linux")?,
        })
    }
}

fn find(program: &'static str, package: &'static str) -> Result<PathBuf, MissingProgram> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find_map(|candidate| {
            candidate
                .canonicalize()
                .ok()
                .filter(|found| found.is_file())
        })
        .ok_or(MissingProgram { program, package })
}
