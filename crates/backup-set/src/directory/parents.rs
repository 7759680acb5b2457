//! Making the directories of a set, beside other runs that make the same ones.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// How often it is begun anew because another run has removed, or made, a directory meanwhile.
const ATTEMPTS: usize = 100;

/// Makes `directory`, and those on the way to it that are missing, which it returns, outermost first. Only their owner
/// can read them. An error when `directory` is there already.
pub(super) fn make(directory: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    let mut made = Vec::new();
    let mut attempts = 1..=ATTEMPTS;
    loop {
        let is_last = attempts.next().is_none_or(|attempt| attempt == ATTEMPTS);
        match make_once(&builder, directory, &mut made) {
            Ok(()) => return Ok(made),
            // A run that failed has removed what it had made.
            Err((_, error)) if error.kind() == io::ErrorKind::NotFound && !is_last => {}
            Err(failed) => {
                remove_empty(&made);
                return Err(failed);
            }
        }
    }
}

fn make_once(
    builder: &DirBuilder,
    directory: &Path,
    made: &mut Vec<PathBuf>,
) -> Result<(), (PathBuf, io::Error)> {
    for path in missing_parents(directory) {
        match builder.create(&path) {
            Ok(()) => made.push(path),
            // Another run was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err((path, error)),
        }
    }
    builder
        .create(directory)
        .map_err(|error| (directory.to_owned(), error))
}

/// The directories on the way to `path` that do not exist yet; outermost first.
fn missing_parents(path: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<PathBuf> = path
        .ancestors()
        .skip(1)
        .filter(|ancestor| !ancestor.as_os_str().is_empty())
        .take_while(|ancestor| !ancestor.exists())
        .map(Path::to_owned)
        .collect();
    missing.reverse();
    missing
}

/// Removes those of the directories that are empty.
pub(super) fn remove_empty(directories: &[PathBuf]) {
    for directory in directories.iter().rev() {
        // Fails where someone else has put something in it, which is right.
        let _ = fs::remove_dir(directory);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    #[test]
    fn runs_that_begin_together_share_the_directories_that_were_missing() {
        const RUNS: usize = 8;
        for _ in 0..50 {
            let parent = tempfile::tempdir().unwrap();
            let above = parent.path().join("a/b/c");
            let together = Barrier::new(RUNS);
            let run = |number: usize| {
                let directory = above.join(number.to_string());
                together.wait();
                let made = make(&directory).unwrap();
                if number.is_multiple_of(2) {
                    // This one fails, and cleans up.
                    fs::remove_dir(&directory).unwrap();
                    remove_empty(&made);
                }
            };
            thread::scope(|scope| {
                for number in 0..RUNS {
                    scope.spawn(move || run(number));
                }
            });
            assert_eq!(fs::read_dir(&above).unwrap().count(), RUNS / 2);
            let mode = fs::metadata(&above).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
    }

    #[test]
    fn a_way_that_leads_nowhere_is_an_error() {
        let parent = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("nowhere", parent.path().join("link")).unwrap();
        let (_, error) = make(&parent.path().join("link/set")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        fs::write(parent.path().join("file"), "").unwrap();
        let (_, error) = make(&parent.path().join("file/set")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }
}
