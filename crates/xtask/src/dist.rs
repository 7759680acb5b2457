//! Release archives: binaries that start on every Linux an administrator has, byte for byte the same each time.
//!
//! | file | for |
//! |---|---|
//! | `kubectl-wa-backup-v1.0.0-linux-amd64.tar.gz`, one a plugin | krew: the binary and LICENSE, nothing else |
//! | `kubectl-wa-v1.0.0-linux-amd64.tar.gz` | everybody else, also without internet: all plugins, `install.sh`, man pages, completions |
//! | `kubectl-wa-backup-v1.0.0-linux-amd64.cdx.json` | what each is made of (CycloneDX) |
//! | `SHA256SUMS` | all of them |
//! | `krew/` | a krew index: to be pushed as a git repository of its own |

mod archive;
mod build;
mod elf;
mod krew;
mod sbom;
mod suite;
mod target;
#[cfg(test)]
mod tests;
mod tools;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use crate::man;
use crate::plugins::PLUGINS;
use crate::process::{sha256, target_directory, workspace};
use archive::Archive;
use build::Renamed;
use target::Target;

/// So many bytes a stripped plugin may have: it is copied to machines behind slow lines. The client of object stores is in
/// all of them but one.
fn limit_bytes(plugin: &str) -> u64 {
    match plugin {
        "kubectl-wa-backup" | "kubectl-wa-pvc" | "kubectl-wa-restore" => 20 << 20,
        _ => 15 << 20,
    }
}

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory for the archives; what an earlier run left there is replaced
    #[arg(long, value_name = "DIR", default_value_os_t = target_directory().join("dist"))]
    to: PathBuf,

    /// Where the archives will be published: what the krew index says before "/FILE"
    #[arg(long, value_name = "URL")]
    url: String,

    /// Build for this platform; repeatable
    #[arg(long = "target", value_name = "TARGET", default_value = Target::TESTED.name)]
    targets: Vec<Target>,
}

/// What a release is called, and when it was made.
struct Release {
    /// "1.0.0"
    version: String,
    /// Seconds since 1970 of the commit: the time of every file in the archives.
    epoch: u64,
}

impl Release {
    fn of_workspace() -> anyhow::Result<Self> {
        Ok(Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            epoch: build::source_date_epoch()?,
        })
    }

    fn file(&self, name: &str, target: &Target) -> String {
        format!("{name}-v{}-{}-{}", self.version, target.os, target.arch)
    }
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let release = Release::of_workspace()?;
    let tools = tools::bring()?;
    if args.to.exists() {
        fs::remove_dir_all(&args.to)
            .with_context(|| format!("cannot remove {}", args.to.display()))?;
    }
    fs::create_dir_all(&args.to).with_context(|| format!("cannot create {}", args.to.display()))?;
    let mut packages = Vec::new();
    for target in &args.targets {
        let binaries = build::build(&tools, target, &release)?;
        check(&binaries, target)?;
        let man = man_pages(&binaries, target)?;
        packages.extend(pack(&binaries, man.path(), target, &release, &args.to)?);
        sbom::write_all(&tools, &binaries, target, &release, &args.to)?;
    }
    krew::write_index(
        &args.to.join("krew"),
        &packages,
        &release.version,
        &args.url,
    )?;
    write_sums(&args.to)?;
    println!("\nwritten to {}", args.to.display());
    Ok(())
}

/// A directory with the man pages, which are the same on every platform.
fn man_pages(binaries: &Path, target: &Target) -> anyhow::Result<TempDir> {
    let directory = tempfile::tempdir().context("cannot create a directory for the man pages")?;
    if *target == Target::TESTED {
        man::write(binaries, directory.path())?;
    } else {
        // What was built does not run here.
        man::run(directory.path())?;
    }
    Ok(directory)
}

/// What a binary is held to before it is packed.
fn check(binaries: &Path, target: &Target) -> anyhow::Result<()> {
    let renamed = Renamed::of_this_machine()?;
    for plugin in PLUGINS {
        let path = binaries.join(plugin);
        let binary =
            fs::read(&path).with_context(|| format!("{} was not built", path.display()))?;
        check_size(plugin, binary.len())?;
        let size = binary.len();
        if let Some(directory) = renamed.named_in(&binary) {
            bail!(
                "{plugin} names {}, a directory of this machine: built elsewhere it would have other bytes",
                directory.display()
            );
        }
        let Some(limit) = target.glibc else { continue };
        let newest = elf::newest_glibc(&binary)
            .with_context(|| format!("cannot read {}", path.display()))?
            .with_context(|| format!("{plugin} names no version of glibc"))?;
        ensure!(
            newest <= limit,
            "{plugin} needs glibc {newest}, and is to run with {limit}"
        );
        println!("{plugin}: {} KiB, glibc {newest}", size >> 10);
    }
    Ok(())
}

fn check_size(plugin: &str, bytes: usize) -> anyhow::Result<()> {
    let most = limit_bytes(plugin);
    ensure!(
        bytes as u64 <= most,
        "{plugin} has {bytes} bytes, more than {most}"
    );
    Ok(())
}

/// A plugin's archive for krew.
struct Package {
    plugin: &'static str,
    os: &'static str,
    arch: &'static str,
    file: String,
    sha256: String,
}

/// Writes the archives of each plugin and that of all.
fn pack(
    binaries: &Path,
    man: &Path,
    target: &Target,
    release: &Release,
    to: &Path,
) -> anyhow::Result<Vec<Package>> {
    let license = fs::read(workspace().join("LICENSE")).context("cannot read LICENSE")?;
    let mut packages = Vec::new();
    let mut suite = suite::Suite::new(&license, release)?;
    suite.add_directory(man, "man")?;
    for plugin in PLUGINS {
        let binary = fs::read(binaries.join(plugin))?;
        suite.add_plugin(plugin, &binary)?;
        let mut archive = Archive::new(release.epoch);
        archive.add_program(plugin, &binary)?;
        archive.add_file("LICENSE", &license)?;
        let bytes = archive.finish()?;
        let file = release.file(plugin, target) + ".tar.gz";
        packages.push(Package {
            plugin,
            os: target.os,
            arch: target.arch,
            sha256: sha256(&bytes),
            file: file.clone(),
        });
        write(&to.join(file), &bytes)?;
    }
    let file = release.file("kubectl-wa", target) + ".tar.gz";
    write(&to.join(file), &suite.finish()?)?;
    Ok(packages)
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// As `sha256sum` writes and checks it.
fn write_sums(directory: &Path) -> anyhow::Result<()> {
    let mut names: Vec<String> = fs::read_dir(directory)?
        .flatten()
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let lines = names.iter().map(|name| {
        let digest = sha256(&fs::read(directory.join(name))?);
        Ok(format!("{digest}  {name}\n"))
    });
    let sums = lines.collect::<anyhow::Result<String>>()?;
    write(&directory.join("SHA256SUMS"), sums.as_bytes())
}
