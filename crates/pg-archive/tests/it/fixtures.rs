//! The archives under `tests/fixtures`; see the README there.

use std::{
    fs,
    path::{Path, PathBuf},
};

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
    let path = path(name).with_extension("dump");
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What the pg_restore of its version lists of an archive.
pub(crate) fn load_list(name: &str) -> String {
    fs::read_to_string(path(name).with_extension("list")).unwrap()
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}
