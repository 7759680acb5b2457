//! What each binary is made of, read out of the binary itself.

use std::path::Path;

use anyhow::{Context as _, ensure};

use super::tools::Tools;
use super::{PLUGINS, Release, Target, write};

/// Writes a CycloneDX document beside the archives for each plugin in `binaries`.
pub(super) fn write_all(
    tools: &Tools,
    binaries: &Path,
    target: &Target,
    release: &Release,
    to: &Path,
) -> anyhow::Result<()> {
    for plugin in PLUGINS {
        let binary = binaries.join(plugin);
        let output = tools
            .auditable2cdx()
            .arg(&binary)
            .output()
            .context("cannot run auditable2cdx")?;
        ensure!(
            output.status.success() && output.stdout.starts_with(b"{"),
            "there is no list of dependencies in {}: {}",
            binary.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        let file = release.file(plugin, target) + ".cdx.json";
        write(&to.join(file), &output.stdout)?;
    }
    Ok(())
}
