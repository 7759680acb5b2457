//! The PostgreSQL versions of this machine: for the practice cluster and for tests, which want more than one.
//!
//! Debian installs one major version, in `/usr/lib/postgresql/<major>`. `cargo xtask setup` brings others into
//! `postgres/<major>` of the workspace's target directory. Where Debian's layout is not used, the one on PATH counts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The major versions that `cargo xtask setup` brings where the machine has none of its own: what the current releases
/// of Watson Assistant run, and the newest.
pub const WANTED: [u32; 2] = [16, 18];

/// An installed PostgreSQL with its server and its client programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Its major version, such as 16.
    pub major: u32,
    /// The directory that holds it; its programs find their other files from where they are in it.
    pub directory: PathBuf,
}

impl Server {
    /// The directory of its programs.
    pub fn programs(&self) -> PathBuf {
        self.directory.join("bin")
    }

    /// The path of one of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs().join(name)
    }
}

/// Every major version once, the oldest first. One that the machine has of its own goes before one that was brought.
pub fn servers() -> Vec<Server> {
    let brought = target_directory().map(|target| in_target(&target));
    collect(own_servers().into_iter().chain(in_directory(brought)))
}

/// Those that the machine has of its own, the oldest first.
pub fn own_servers() -> Vec<Server> {
    let debian = collect(in_directory(Some("/usr/lib/postgresql".into())));
    if debian.is_empty() {
        on_path().into_iter().collect()
    } else {
        debian
    }
}

/// Where the versions are that `cargo xtask setup` brought.
pub fn in_target(target_directory: &Path) -> PathBuf {
    target_directory.join("postgres")
}

/// The target directory that this program was built into.
fn target_directory() -> Option<PathBuf> {
    Some(marked_above(&std::env::current_exe().ok()?)?.to_owned())
}

/// The nearest directory above a program in which cargo has left a file of its own. The first of them it leaves only where it
/// has made the directory, and not where that was there, as a cache that is mounted.
fn marked_above(program: &Path) -> Option<&Path> {
    let marks = ["CACHEDIR.TAG", ".rustc_info.json"];
    program
        .ancestors()
        .skip(1)
        .find(|directory| marks.iter().any(|mark| directory.join(mark).is_file()))
}

/// The versions of a directory that has one directory for each.
fn in_directory(directory: Option<PathBuf>) -> impl Iterator<Item = Server> {
    let entries = directory.and_then(|directory| fs::read_dir(directory).ok());
    entries.into_iter().flatten().filter_map(|entry| {
        let entry = entry.ok()?;
        let server = Server {
            major: entry.file_name().to_str()?.parse().ok()?,
            directory: entry.path(),
        };
        is_complete(&server).then_some(server)
    })
}

/// Debian has packages with the clients alone.
fn is_complete(server: &Server) -> bool {
    ["initdb", "postgres", "pg_dump", "pg_restore", "psql"]
        .iter()
        .all(|program| server.program(program).is_file())
}

fn on_path() -> Option<Server> {
    let path = std::env::var_os("PATH")?;
    let initdb = std::env::split_paths(&path)
        .map(|directory| directory.join("initdb"))
        .find_map(|initdb| initdb.canonicalize().ok())?;
    let version = Command::new(&initdb).arg("--version").output().ok()?;
    let server = Server {
        major: major(&String::from_utf8_lossy(&version.stdout))?,
        directory: initdb.parent()?.parent()?.to_owned(),
    };
    is_complete(&server).then_some(server)
}

/// Of `initdb (PostgreSQL) 16.4 (Homebrew)`.
fn major(version: &str) -> Option<u32> {
    let number = version.split_once(") ")?.1;
    let digits = number.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

fn collect(found: impl Iterator<Item = Server>) -> Vec<Server> {
    let mut servers: Vec<Server> = found.collect();
    // Stable: the first of equals stays.
    servers.sort_by_key(|server| server.major);
    servers.dedup_by_key(|server| server.major);
    servers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn install(directory: &Path, major: &str, programs: &[&str]) {
        let programs_directory = directory.join(major).join("bin");
        fs::create_dir_all(&programs_directory).unwrap();
        for program in programs {
            fs::write(programs_directory.join(program), "").unwrap();
        }
    }

    const ALL: [&str; 5] = ["initdb", "postgres", "pg_dump", "pg_restore", "psql"];

    #[test]
    fn a_directory_yields_its_complete_versions_in_the_order_of_their_numbers() {
        let directory = tempfile::tempdir().unwrap();
        for major in ["18", "9", "16", ".new-16", "lost+found"] {
            install(directory.path(), major, &ALL);
        }
        install(directory.path(), "17", &["pg_dump", "pg_restore", "psql"]);
        let found = collect(in_directory(Some(directory.path().to_owned())));
        let majors: Vec<u32> = found.iter().map(|server| server.major).collect();
        assert_eq!(majors, [9, 16, 18]);
        assert_eq!(
            found[1].program("psql"),
            directory.path().join("16/bin/psql")
        );
    }

    #[test]
    fn of_two_with_the_same_number_the_first_is_taken() {
        let [own, brought] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        install(own.path(), "16", &ALL);
        install(brought.path(), "16", &ALL);
        let both = in_directory(Some(own.path().to_owned()))
            .chain(in_directory(Some(brought.path().to_owned())));
        let found = collect(both);
        assert_eq!(found.len(), 1);
        assert!(found[0].directory.starts_with(own.path()));
    }

    #[test]
    fn the_number_is_that_of_the_major_version() {
        for (text, number) in [
            ("initdb (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", 15),
            ("initdb (EnterpriseDB) 16.2.0", 16),
            ("initdb (PostgreSQL) 19beta1\n", 19),
        ] {
            assert_eq!(major(text), Some(number), "{text}");
        }
        assert_eq!(major("initdb: not found"), None);
    }

    #[test]
    fn a_target_directory_that_was_there_before_cargo_is_known_too() {
        for mark in ["CACHEDIR.TAG", ".rustc_info.json"] {
            let target = tempfile::tempdir().unwrap();
            fs::write(target.path().join(mark), "").unwrap();
            let program = target.path().join("debug/deps/program");
            assert_eq!(marked_above(&program), Some(target.path()), "{mark}");
        }
    }

    #[test]
    fn a_test_finds_the_directory_that_it_was_built_into() {
        let target = target_directory().unwrap();
        assert!(std::env::current_exe().unwrap().starts_with(&target));
    }
}
