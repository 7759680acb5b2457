//! The archive of all plugins, with what installs them: for machines without krew, and without internet.

use std::fs;
use std::path::Path;

use anyhow::Context as _;

use super::Release;
use super::archive::Archive;
use crate::process::workspace;

/// What it holds beside the plugins: from where in the workspace, to where in the archive.
const DIRECTORIES: [(&str, &str); 2] = [("docs", "docs"), ("completions", "completions")];

/// The archive, to which plugins are added.
pub(super) struct Suite {
    archive: Archive,
    /// Everything in it is in one directory, named after the release.
    root: String,
}

impl Suite {
    pub(super) fn new(license: &[u8], release: &Release) -> anyhow::Result<Self> {
        let mut suite = Self {
            archive: Archive::new(release.epoch),
            root: format!("kubectl-wa-v{}", release.version),
        };
        suite.add_file("LICENSE", license)?;
        for name in ["README.md", "CHANGELOG.md"] {
            suite.add_file(name, &read(&workspace().join(name))?)?;
        }
        let path = suite.path("install.sh");
        suite
            .archive
            .add_program(&path, include_bytes!("install.sh"))?;
        for (from, to) in DIRECTORIES {
            suite.add_directory(&workspace().join(from), to)?;
        }
        Ok(suite)
    }

    pub(super) fn add_plugin(&mut self, name: &str, binary: &[u8]) -> anyhow::Result<()> {
        let path = self.path(&format!("bin/{name}"));
        self.archive.add_program(&path, binary)
    }

    pub(super) fn finish(self) -> anyhow::Result<Vec<u8>> {
        self.archive.finish()
    }

    fn add_file(&mut self, name: &str, content: &[u8]) -> anyhow::Result<()> {
        let path = self.path(name);
        self.archive.add_file(&path, content)
    }

    /// Adds the files of a directory, by name, so that their order is always the same.
    pub(super) fn add_directory(&mut self, directory: &Path, to: &str) -> anyhow::Result<()> {
        let mut names = fs::read_dir(directory)
            .with_context(|| format!("cannot read {}", directory.display()))?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<anyhow::Result<Vec<_>>>()?;
        names.sort();
        for name in names {
            let (path, to) = (directory.join(&name), format!("{to}/{name}"));
            if path.is_dir() {
                self.add_directory(&path, &to)?;
            } else {
                self.add_file(&to, &read(&path)?)?;
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.root)
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
