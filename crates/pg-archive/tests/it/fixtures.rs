//! The archives under `tests/fixtures`; see the README there.

use std::{fs, path::Path};

/// Archives of the same database by several pg_dumps.
pub(crate) const STORE: [&str; 10] = [
    "pg15-none",
    "pg15-gzip",
    "pg15-gzip-piped",
    "pg16-none",
    "pg16-gzip",
    "pg17-none",
    "pg17-gzip",
    "pg17-lz4",
    "pg17-zstd",
    "pg17-zstd-piped",
];

pub(crate) fn load(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
        .with_extension("dump");
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
