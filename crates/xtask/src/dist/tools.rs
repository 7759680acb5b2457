//! What a release is built with, beside Rust: pinned, brought once, and kept in the target directory.
//!
//! zig links against a glibc of any age, which the machine's own linker does not.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use crate::pip;
use crate::process::{self, cargo, target_directory};

/// A program in a wheel, and where in it.
struct Wheel {
    name: &'static str,
    program: &'static str,
    requirement: &'static str,
}

const ZIG: Wheel = Wheel {
    name: "zig",
    program: "ziglang/zig",
    requirement: include_str!("zig.txt"),
};
const ZIGBUILD: Wheel = Wheel {
    name: "cargo-zigbuild",
    program: "cargo_zigbuild-0.24.1.data/scripts/cargo-zigbuild",
    requirement: include_str!("cargo-zigbuild.txt"),
};
/// Crates with a program, and their versions: the lists of dependencies in binaries are written by the one and read by
/// the other.
const CRATES: [(&str, &str); 2] = [("cargo-auditable", "0.7.7"), ("auditable2cdx", "0.1.0")];

/// The programs, ready to be used.
pub(super) struct Tools {
    zig: PathBuf,
    zigbuild: PathBuf,
    crates: PathBuf,
}

/// Brings what is not here yet.
pub(super) fn bring() -> anyhow::Result<Tools> {
    let home = target_directory().join("dist-tools");
    fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    let tools = Tools {
        zig: ZIG.bring(&home)?,
        zigbuild: ZIGBUILD.bring(&home)?,
        crates: home.join("bin"),
    };
    for (name, version) in CRATES {
        // Does nothing where that version is installed.
        process::run(
            cargo(&["install", "--quiet", "--locked", "--version", version, name])
                .arg("--root")
                .arg(&home),
        )?;
    }
    Ok(tools)
}

impl Wheel {
    fn bring(&self, home: &Path) -> anyhow::Result<PathBuf> {
        let directory = home.join(self.name);
        let program = directory.join(self.program);
        let mark = directory.join(".requirement");
        if fs::read_to_string(&mark).is_ok_and(|requirement| requirement == self.requirement) {
            return Ok(program);
        }
        println!("installing {}", self.name);
        pip::require()?;
        let scratch = tempfile::Builder::new().tempdir_in(home)?;
        let wheel = pip::unpack_wheel(self.requirement, &pip::platforms()?, scratch.path())?;
        // What unpacks a wheel forgets who may run what.
        let unpacked = wheel.join(self.program);
        fs::set_permissions(&unpacked, fs::Permissions::from_mode(0o755))
            .with_context(|| format!("{} is not in its wheel", self.program))?;
        fs::write(wheel.join(".requirement"), self.requirement)?;
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::rename(wheel, &directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        Ok(program)
    }
}

impl Tools {
    /// cargo, with what it finds its subcommands by.
    pub(super) fn cargo(&self) -> Command {
        let own = [self.zigbuild.parent(), Some(&self.crates)];
        let own = own.into_iter().flatten().map(Path::to_path_buf);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all = own.chain(std::env::split_paths(&path));
        let path = std::env::join_paths(all).unwrap_or_else(|_| OsString::from(&path));
        let mut cargo = cargo(&[]);
        cargo
            .env("PATH", path)
            .env("CARGO_ZIGBUILD_ZIG_PATH", &self.zig);
        cargo
    }

    /// Reads the list of dependencies in a binary, and prints it as CycloneDX.
    pub(super) fn auditable2cdx(&self) -> Command {
        Command::new(self.crates.join("auditable2cdx"))
    }
}
