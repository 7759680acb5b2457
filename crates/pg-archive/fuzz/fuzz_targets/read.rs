//! Reads any bytes as an archive. Nothing may panic, grow without bound, or contradict itself.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pg_archive::{Archive, Contents};

const ROW_LIMIT_BYTES: usize = 64 * 1024;

fuzz_target!(|file: &[u8]| {
    let verified = Archive::open(file).and_then(Archive::verify);
    match &verified {
        Ok(contents) => {
            let whole = contents.archive_bytes == file.len() as u64;
            assert_eq!(whole, contents.after_end.is_none());
            assert!(contents.archive_bytes <= file.len() as u64);
        }
        Err(error) => {
            assert!(error.offset() <= file.len() as u64);
            assert!(!error.to_string().is_empty());
            // What is said to repair it does.
            if let Some(bytes) = error.bytes_to_cut() {
                let cut = &file[usize::try_from(bytes).unwrap()..];
                Archive::open(cut).and_then(Archive::verify).unwrap();
            }
        }
    }
    let Ok(archive) = Archive::open(file) else {
        return;
    };
    for entry in archive
        .entries()
        .iter()
        .filter(|entry| entry.is_table_data())
        .take(2)
    {
        read_rows(
            file,
            entry.schema.as_deref(),
            &entry.tag,
            verified.as_ref().ok(),
        );
    }
});

/// Reads one table by itself; in a sound archive it has the rows that verification counted.
fn read_rows(file: &[u8], schema: Option<&str>, table: &str, verified: Option<&Contents>) {
    let Ok(rows) = Archive::open(file)
        .and_then(|archive| archive.with_row_limit(ROW_LIMIT_BYTES).rows(schema, table))
    else {
        return;
    };
    let Ok(rows) = rows.collect::<Result<Vec<_>, _>>() else {
        return;
    };
    let counted = verified.and_then(|contents| {
        contents
            .tables
            .iter()
            .find(|counted| counted.schema.as_deref() == schema && counted.name == table)
    });
    if let Some(counted) = counted {
        assert_eq!(counted.rows, Some(rows.len() as u64));
    }
}
