//! Where the programs are.

use std::path::PathBuf;

/// A binary of this workspace, as `cargo test --workspace` builds it before the first test runs.
pub fn binary(name: &str) -> PathBuf {
    // target/debug/deps/test-0123 → target/debug
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join(name);
    assert!(
        path.exists(),
        "{name} is not built: run `cargo xtask test`, or `cargo build --workspace` first"
    );
    path
}
