//! What was stored of a set, read back.

use backup_set::{BegunSet, CompletedFile, SetError, SetWriter};
use serde_json::json;

use crate::report::{Reporter, Steps, TransferProgress, bytes};

/// Reads the files back from where they are stored and compares, as one of `steps`.
pub fn read_back<'a, B: BegunSet>(
    set: &SetWriter<B>,
    files: impl IntoIterator<Item = &'a CompletedFile>,
    steps: &Steps<'_>,
    reporter: &dyn Reporter,
) -> Result<(), SetError> {
    let step = steps.begin("read back", "");
    let shown = TransferProgress::begin(reporter, "read back", None, None);
    let mut read = 0;
    set.read_back(files, |bytes| {
        read = bytes;
        shown.received(bytes);
    })?;
    step.done_with(
        format!("{}, as they were written", bytes(read)),
        json!({"bytes": read}),
    );
    Ok(())
}
