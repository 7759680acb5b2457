//! A krew index: one manifest a plugin, from which `kubectl krew install` takes the archive and its digest.
//!
//! krew wants `plugins/` at the root of a git repository, so what is written here is such a repository's content.

use std::fs;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use super::{PLUGINS, Package, write};

/// What krew shows of a plugin: `kubectl krew search` the first, `kubectl krew info` the second.
struct Texts {
    plugin: &'static str,
    short: &'static str,
    long: &'static str,
}

const TEXTS: [Texts; PLUGINS.len()] = [
    Texts {
        plugin: "kubectl-wa-backup",
        short: "Back up Watson Assistant's store",
        long: "Takes a verified backup of the store database of IBM Watson Assistant on Cloud Pak\n\
               for Data: runs pg_dump in a PostgreSQL pod, streams the dump through the Kubernetes\n\
               API, and keeps it only when every byte of it is accounted for.\n",
    },
    Texts {
        plugin: "kubectl-wa-pvc",
        short: "Fetch Watson Assistant's nightly dumps",
        long: "Lists and fetches the dumps that the backup CronJob of IBM Watson Assistant leaves on\n\
               its volume: through a pod that has it mounted, a helper pod, a snapshot or Portworx.\n",
    },
    Texts {
        plugin: "kubectl-wa-restore",
        short: "Restore Watson Assistant's store",
        long: "IBM's procedure for restoring the store database of Watson Assistant on Cloud Pak for\n\
               Data as one command that is checked beforehand, says what it does, and can be resumed\n\
               or rolled back from another machine.\n",
    },
    Texts {
        plugin: "kubectl-wa-retrain",
        short: "Retrain all models of Watson Assistant",
        long: "Estimates, speeds up, runs, watches and finishes the retraining of all models of IBM\n\
               Watson Assistant on Cloud Pak for Data, as is needed after a restore or an upgrade.\n",
    },
];

const CAVEATS: &str = "krew links no completion. For `kubectl NAME <Tab>` run once:\n  \
                       kubectl NAME completion install\n";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    version: String,
    homepage: &'a str,
    short_description: &'a str,
    description: &'a str,
    caveats: String,
    platforms: Vec<Platform<'a>>,
}

#[derive(Serialize)]
struct Platform<'a> {
    selector: Selector<'a>,
    uri: String,
    sha256: &'a str,
    bin: &'a str,
    files: [Move<'a>; 2],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Selector<'a> {
    match_labels: Labels<'a>,
}

#[derive(Serialize)]
struct Labels<'a> {
    os: &'a str,
    arch: &'a str,
}

#[derive(Serialize)]
struct Move<'a> {
    from: &'a str,
    to: &'static str,
}

/// Writes the manifests of what was packed, to be downloaded from below `url`.
pub(super) fn write_index(
    directory: &Path,
    packages: &[Package],
    version: &str,
    url: &str,
) -> anyhow::Result<()> {
    let plugins = directory.join("plugins");
    fs::create_dir_all(&plugins).with_context(|| format!("cannot create {}", plugins.display()))?;
    for texts in TEXTS {
        let name = texts.plugin.trim_start_matches("kubectl-");
        let manifest = Manifest {
            api_version: "krew.googlecontainertools.github.com/v1alpha2",
            kind: "Plugin",
            metadata: Metadata { name },
            spec: Spec {
                version: format!("v{version}"),
                homepage: url,
                short_description: texts.short,
                description: texts.long,
                caveats: CAVEATS.replace("NAME", name),
                platforms: packages
                    .iter()
                    .filter(|package| package.plugin == texts.plugin)
                    .map(|package| platform(package, url))
                    .collect(),
            },
        };
        let text = serde_saphyr::to_string(&manifest).context("cannot write a manifest")?;
        write(&plugins.join(format!("{name}.yaml")), text.as_bytes())?;
    }
    Ok(())
}

fn platform<'a>(package: &'a Package, url: &str) -> Platform<'a> {
    Platform {
        selector: Selector {
            match_labels: Labels {
                os: package.os,
                arch: package.arch,
            },
        },
        uri: format!("{}/{}", url.trim_end_matches('/'), package.file),
        sha256: &package.sha256,
        bin: package.plugin,
        files: [package.plugin, "LICENSE"].map(|from| Move { from, to: "." }),
    }
}
