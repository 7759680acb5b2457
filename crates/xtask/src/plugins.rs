//! The plugins.

/// Each a package, a binary and an archive of that name.
pub(crate) const PLUGINS: [&str; 4] = [
    "kubectl-wa-backup",
    "kubectl-wa-pvc",
    "kubectl-wa-restore",
    "kubectl-wa-retrain",
];
