//! `.tar.gz` files that hold the same bytes whoever makes them, and when.

use anyhow::Context as _;
use flate2::{Compression, GzBuilder, write::GzEncoder};
use tar::{Builder, EntryType, Header};

/// An archive that is being written. Its files belong to nobody, and are as old as the release.
pub(crate) struct Archive {
    tar: Builder<GzEncoder<Vec<u8>>>,
    epoch: u64,
}

impl Archive {
    pub(crate) fn new(epoch: u64) -> Self {
        // Without a name, and without a time but 0, which means none.
        let gzip = GzBuilder::new().write(Vec::new(), Compression::best());
        Self {
            tar: Builder::new(gzip),
            epoch,
        }
    }

    pub(crate) fn add_program(&mut self, path: &str, content: &[u8]) -> anyhow::Result<()> {
        self.add(path, content, 0o755)
    }

    pub(crate) fn add_file(&mut self, path: &str, content: &[u8]) -> anyhow::Result<()> {
        self.add(path, content, 0o644)
    }

    fn add(&mut self, path: &str, content: &[u8], mode: u32) -> anyhow::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(mode);
        header.set_mtime(self.epoch);
        header.set_size(content.len() as u64);
        self.tar
            .append_data(&mut header, path, content)
            .with_context(|| format!("cannot pack {path}"))
    }

    /// The archive's bytes.
    pub(crate) fn finish(self) -> anyhow::Result<Vec<u8>> {
        Ok(self.tar.into_inner()?.finish()?)
    }
}
