//! What is packed is what krew takes, and what installs.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use flate2::read::GzDecoder;
use serde_json::Value;
use tempfile::TempDir;

use super::*;

const URL: &str = "https://example.com/releases/v1.2.3/";

/// A file in an archive: its path, mode and content.
type Entry = (String, u32, Vec<u8>);

/// Packs programs that only print their name.
fn packed() -> anyhow::Result<TempDir> {
    packed_as("1.2.3")
}

fn packed_as(version: &str) -> anyhow::Result<TempDir> {
    let release = Release {
        version: version.to_owned(),
        epoch: 1_700_000_000,
    };
    let binaries = tempfile::tempdir()?;
    for plugin in PLUGINS {
        let program = format!("#!/bin/sh\necho {plugin} called as ${{0##*/}}\n");
        fs::write(binaries.path().join(plugin), program)?;
    }
    let man = tempfile::tempdir()?;
    fs::write(man.path().join("kubectl-wa-backup.1"), ".TH")?;
    let to = tempfile::tempdir()?;
    let packages = pack(
        binaries.path(),
        man.path(),
        &Target::TESTED,
        &release,
        to.path(),
    )?;
    krew::write_index(&to.path().join("krew"), &packages, version, URL)?;
    write_sums(to.path())?;
    Ok(to)
}

fn unpacked(archive: &Path) -> anyhow::Result<Vec<Entry>> {
    let mut archive = tar::Archive::new(GzDecoder::new(fs::File::open(archive)?));
    archive
        .entries()?
        .map(|entry| {
            let mut entry = entry?;
            // krew refuses links.
            assert_eq!(entry.header().entry_type(), tar::EntryType::Regular);
            let path = entry.path()?.to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            Ok((path, entry.header().mode()?, content))
        })
        .collect()
}

fn manifests(directory: &Path) -> anyhow::Result<Vec<(String, Value)>> {
    fs::read_dir(directory.join("krew/plugins"))?
        .map(|file| {
            let file = file?.path();
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            let manifest = serde_saphyr::from_str(&fs::read_to_string(&file)?)?;
            Ok((stem.into_owned(), manifest))
        })
        .collect()
}

/// The rules of krew's own validation, and those that krew-index's reviewers have in their template.
#[test]
fn manifests_keep_to_krews_rules() -> anyhow::Result<()> {
    let directory = packed()?;
    let manifests = manifests(directory.path())?;
    assert_eq!(manifests.len(), PLUGINS.len());
    for (stem, manifest) in manifests {
        assert_eq!(
            manifest["apiVersion"],
            "krew.googlecontainertools.github.com/v1alpha2"
        );
        assert_eq!(manifest["kind"], "Plugin");
        assert_eq!(manifest["metadata"]["name"], stem.as_str());
        let is_name = |c: char| c.is_ascii_lowercase() || c == '-';
        assert!(stem.chars().all(is_name) && !stem.starts_with("kubectl"));
        let spec = &manifest["spec"];
        assert_eq!(spec["version"], "v1.2.3");
        let short = spec["shortDescription"].as_str().unwrap_or_default();
        assert!(
            !short.is_empty()
                && short.len() <= 50
                && !short.contains('\n')
                && !short.ends_with('.')
        );
        assert!(
            spec["description"]
                .as_str()
                .is_some_and(|text| !text.is_empty())
        );
        let platforms = spec["platforms"].as_array().map_or(&[][..], Vec::as_slice);
        assert!(!platforms.is_empty());
        let mut pairs = BTreeSet::new();
        for platform in platforms {
            let labels = &platform["selector"]["matchLabels"];
            let (os, arch) = (labels["os"].as_str(), labels["arch"].as_str());
            assert!(matches!(os, Some("linux" | "darwin")), "{labels}");
            assert!(
                matches!(arch, Some("amd64" | "arm64" | "ppc64le" | "s390x")),
                "{labels}"
            );
            assert!(pairs.insert((os, arch)), "two platforms for {labels}");
        }
    }
    Ok(())
}

/// As krew does: fetch, compare, unpack, move the files, link the binary.
#[test]
fn what_krew_installs_is_the_plugin_with_its_licence() -> anyhow::Result<()> {
    let directory = packed()?;
    for (stem, manifest) in manifests(directory.path())? {
        for platform in manifest["spec"]["platforms"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let uri = platform["uri"].as_str().unwrap_or_default();
            let file = uri.strip_prefix(URL).unwrap_or_default();
            let archive = directory.path().join(file);
            assert_eq!(platform["sha256"], sha256(&fs::read(&archive)?));
            let entries = unpacked(&archive)?;
            let moved: Vec<&str> = platform["files"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|file| file["to"] == ".")
                .filter_map(|file| file["from"].as_str())
                .collect();
            let names: Vec<&str> = entries.iter().map(|(name, ..)| name.as_str()).collect();
            assert_eq!(moved, names, "{stem}");
            assert!(moved.contains(&"LICENSE"));
            let bin = platform["bin"].as_str().unwrap_or_default();
            let program = entries.iter().find(|(name, ..)| name == bin);
            assert!(program.is_some_and(|(_, mode, _)| *mode == 0o755), "{bin}");
        }
    }
    Ok(())
}

#[test]
fn the_same_release_packed_twice_has_the_same_bytes() -> anyhow::Result<()> {
    let [one, other] = [packed()?, packed()?];
    let sums = |directory: &TempDir| fs::read_to_string(directory.path().join("SHA256SUMS"));
    assert_eq!(sums(&one)?, sums(&other)?);
    assert_eq!(sums(&one)?.lines().count(), PLUGINS.len() + 1);
    Ok(())
}

fn install(root: &Path, arguments: &[&str]) -> std::io::Result<Output> {
    Command::new(root.join("install.sh"))
        .args(arguments)
        .output()
}

/// Unpacks the archive of all plugins into a directory; returns where `install.sh` is.
fn unpack_suite(into: &Path) -> anyhow::Result<PathBuf> {
    let directory = packed()?;
    let archive = directory
        .path()
        .join("kubectl-wa-v1.2.3-linux-amd64.tar.gz");
    for (path, mode, content) in unpacked(&archive)? {
        let path = into.join(path);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    Ok(into.join("kubectl-wa-v1.2.3"))
}

/// The names in a directory, in order.
fn names_in(directory: &Path) -> std::io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(directory)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    names.sort();
    Ok(names)
}

#[test]
fn install_sh_installs_every_name_and_removes_what_it_has_installed() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let root = unpack_suite(scratch.path())?;
    let prefix = scratch.path().join("a prefix");
    let prefix_argument = prefix.display().to_string();
    let bin = prefix.join("bin");

    // Twice: over what is there.
    for _ in 0..2 {
        let output = install(&root, &["--prefix", &prefix_argument])?;
        assert!(output.status.success(), "{output:?}");
    }
    let moved = scratch.path().join("moved");
    fs::rename(&prefix, &moved)?;
    for name in [
        "kubectl-wa-backup",
        "kubectl-wa_backup",
        "kubectl_complete-wa_backup",
        "oc_complete-wa_backup",
        "kubectl_complete-wa-backup",
        "oc_complete-wa-backup",
    ] {
        let output = Command::new(moved.join("bin").join(name)).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text, format!("kubectl-wa-backup called as {name}\n"));
    }
    fs::rename(&moved, &prefix)?;
    assert_eq!(fs::read_dir(&bin)?.count(), 6 * PLUGINS.len());
    let page = prefix.join("share/man/man1/kubectl-wa-backup.1");
    assert_eq!(fs::read_to_string(&page)?, ".TH");

    fs::write(bin.join("kubectl-other"), "")?;
    fs::remove_file(bin.join("kubectl-wa_pvc"))?;
    fs::write(bin.join("kubectl-wa_pvc"), "somebody else's")?;
    let refused = install(&root, &["--prefix", &prefix_argument])?;
    assert!(!refused.status.success());
    let output = install(&root, &["--uninstall", "--prefix", &prefix_argument])?;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(names_in(&bin)?, ["kubectl-other", "kubectl-wa_pvc"]);
    assert!(!page.exists());
    Ok(())
}

/// `kubectl wa-backup completion install` has the links lead to the name by which kubectl called it.
#[test]
fn install_sh_removes_the_links_of_completion_install_too() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let root = unpack_suite(scratch.path())?;
    let prefix = scratch.path().display().to_string();
    let bin = scratch.path().join("bin");
    assert!(install(&root, &["--prefix", &prefix])?.status.success());
    for name in ["kubectl_complete-wa_backup", "oc_complete-wa-backup"] {
        fs::remove_file(bin.join(name))?;
        symlink("kubectl-wa_backup", bin.join(name))?;
    }
    let output = install(&root, &["--prefix", &prefix, "--uninstall"])?;
    assert!(output.status.success(), "{output:?}");
    assert!(names_in(&bin)?.is_empty(), "{:?}", names_in(&bin)?);
    Ok(())
}

#[test]
fn install_sh_replaces_nothing_of_others_and_then_installs_nothing() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let root = unpack_suite(scratch.path())?;
    // The last plugin's, so that the others would be there.
    for (name, target) in [
        ("kubectl-wa_retrain", "/opt/theirs"),
        ("oc_complete-wa_retrain", "gone"),
        ("kubectl-wa-retrain", "/opt/theirs"),
    ] {
        let prefix = scratch.path().join(name);
        let bin = prefix.join("bin");
        fs::create_dir_all(&bin)?;
        symlink(target, bin.join(name))?;
        let prefix = prefix.display().to_string();
        let refused = install(&root, &["--prefix", &prefix])?;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "{name}");
        assert!(
            said.contains(name) && said.contains("move it away"),
            "{said}"
        );
        assert_eq!(names_in(&bin)?, [name]);
        let output = install(&root, &["--prefix", &prefix, "--uninstall"])?;
        assert!(output.status.success(), "{output:?}");
        assert_eq!(fs::read_link(bin.join(name))?, Path::new(target));
    }
    Ok(())
}

#[test]
fn install_sh_says_where_it_cannot_write_and_needs_no_home() -> anyhow::Result<()> {
    let scratch = tempfile::tempdir()?;
    let root = unpack_suite(scratch.path())?;
    let file = scratch.path().join("file");
    fs::write(&file, "")?;
    let refused = install(&root, &["--prefix", &file.display().to_string()])?;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("--prefix"),
        "{said}"
    );

    // A relative directory, as it stands in PATH.
    let path = std::env::var("PATH")?;
    let bin = scratch.path().canonicalize()?.join("here/bin");
    let output = Command::new(root.join("install.sh"))
        .args(["--prefix", "here"])
        .current_dir(scratch.path())
        .env_remove("HOME")
        .env("CDPATH", scratch.path())
        .env("PATH", format!("{path}:{}", bin.display()))
        .output()?;
    assert!(output.status.success(), "{output:?}");
    assert!(bin.join("kubectl-wa_backup").exists());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains("is not on PATH"), "{said}");
    Ok(())
}

/// The commands of README.md's blocks in which `part` stands.
fn readme_commands(part: &str) -> anyhow::Result<String> {
    let readme = fs::read_to_string(workspace().join("README.md"))?;
    let blocks = readme.split("```console\n").skip(1);
    let blocks = blocks.filter_map(|block| Some(block.split_once("```")?.0));
    let commands: String = blocks.filter(|block| block.contains(part)).collect();
    assert!(!commands.is_empty(), "README.md does not say {part}");
    Ok(commands)
}

#[test]
fn the_commands_by_which_the_readme_installs_find_what_is_released() -> anyhow::Result<()> {
    let directory = packed_as(env!("CARGO_PKG_VERSION"))?;
    let home = tempfile::tempdir()?;
    let output = Command::new("sh")
        .args(["-euc", &readme_commands("install.sh")?])
        .current_dir(directory.path())
        .env("HOME", home.path())
        .output()?;
    assert!(output.status.success(), "{output:?}");
    assert!(home.path().join(".local/bin/kubectl-wa_backup").exists());

    // `krew index add` clones, and `krew install` looks for the manifest.
    let index = directory.path().join("krew/plugins");
    let krew = readme_commands("krew install")?;
    let names: Vec<&str> = krew
        .split_whitespace()
        .filter_map(|word| word.strip_prefix("wa/"))
        .collect();
    let plugins = PLUGINS.map(|plugin| plugin.trim_start_matches("kubectl-"));
    assert_eq!(names, plugins);
    for name in names {
        assert!(index.join(format!("{name}.yaml")).exists(), "{name}");
    }
    let mut words = krew.split_whitespace();
    while let Some(word) = words.next() {
        if matches!(word, "--manifest" | "--archive") {
            let file = words.next().unwrap_or_default();
            assert!(directory.path().join(file).exists(), "{word} {file}");
        }
    }
    Ok(())
}

#[test]
fn a_plugin_that_has_grown_too_large_is_refused() {
    for plugin in PLUGINS {
        let mib = if plugin == "kubectl-wa-retrain" {
            15
        } else {
            20
        };
        assert!(check_size(plugin, mib << 20).is_ok(), "{plugin}");
        assert!(check_size(plugin, (mib << 20) + 1).is_err(), "{plugin}");
    }
}
