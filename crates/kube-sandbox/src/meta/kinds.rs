//! The kinds of one cluster.

use std::sync::Arc;

use super::resources::{self, Resource};

/// The kinds that a cluster knows: those that every cluster has, and those whose definitions may be installed in this
/// one. Clones share them.
#[derive(Debug, Clone)]
pub struct Kinds(Arc<[&'static Resource]>);

impl Kinds {
    /// The kinds of every cluster and these ones, which come last in discovery.
    pub fn with(custom: impl IntoIterator<Item = &'static Resource>) -> Self {
        let all = resources::ALL.iter().copied().chain(custom);
        Self(all.collect())
    }

    /// Every kind known, in the order of discovery, whether or not its definition is installed.
    pub fn all(&self) -> impl Iterator<Item = &'static Resource> + use<'_> {
        self.0.iter().copied()
    }

    /// Every kind in every version it is served in, the preferred versions first.
    pub fn in_every_version(&self) -> impl Iterator<Item = &'static Resource> + use<'_> {
        self.all().chain(resources::OLDER_VERSIONS.iter().copied())
    }

    /// Finds a kind by group, version and plural name.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<&'static Resource> {
        self.in_every_version()
            .find(|one| one.group == group && one.version == version && one.plural == plural)
    }

    /// Finds a kind by `apiVersion` and kind.
    pub fn find_kind(&self, api_version: &str, kind: &str) -> Option<&'static Resource> {
        self.in_every_version()
            .find(|one| one.kind == kind && one.api_version() == api_version)
    }
}

impl Default for Kinds {
    fn default() -> Self {
        Self::with([])
    }
}
