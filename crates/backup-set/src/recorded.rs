//! What is known of a dump that is not read: what its manifest tells, held against sizes and the table of contents.

use std::collections::HashSet;
use std::fmt;

use human_text::{count, printable};
use jiff::Timestamp;
use pg_archive::{Archive, Header, TocEntry};

use crate::error::BackupError;
use crate::read::{dump_of, failed, not_judged, odd_size};
use crate::verdict::Problem;
use crate::{
    Backup, MANIFEST_FILE, ServiceInstance, TableRecord, TenantRows, Verdict, VerificationFailed,
};

/// A dump that was verified when it was made, and that nothing speaks against.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Recorded {
    /// The size of its plaintext in bytes.
    pub bytes: u64,
    /// The SHA-256 of its plaintext.
    pub sha256: String,
    /// Its header, as it is now.
    pub header: Header,
    /// The tables that were counted.
    pub tables: Vec<TableRecord>,
    /// The service instances that were found.
    pub instances: Vec<ServiceInstance>,
    /// How many of them need a target, where they can be counted.
    pub live_instances: Option<usize>,
    /// When it was verified.
    pub verified_at: Timestamp,
}

impl Backup {
    /// What is recorded of the dump, of which no more is read than header and table of contents: for where reading all of
    /// it means to bring it here. None where the manifest does not tell what a reading would: it was not verified, or its
    /// tables and instances are left out.
    ///
    /// Whether the data is what was recorded, only its SHA-256 tells.
    pub fn recorded(&self) -> Result<Option<Recorded>, BackupError> {
        let Some((set, manifest)) = &self.set else {
            return Ok(None);
        };
        let (Some(record), Some(verified_at)) = (dump_of(manifest), manifest.verified_at) else {
            return Ok(None);
        };
        // Without a key this is an error: there is no use in bringing it here then.
        let dump = self.open_dump()?;
        if manifest.abridged {
            return Ok(None);
        }
        let mut problems = Vec::new();
        for record in manifest.files() {
            problems.extend(odd_size(&**set, record)?);
        }
        if !problems.is_empty() {
            return Err(failed(&self.path, problems));
        }
        let archive = match Archive::open(dump) {
            Ok(archive) => archive,
            Err(error) => {
                return Err(self.of_verdict(Verdict::from_read(Err(error), TenantRows::default())));
            }
        };
        let tables = tables_in(archive.entries());
        let is_there = |table: &&TableRecord| tables.contains(&name_of(table));
        if let Some(missing) = manifest.tables.iter().find(|table| !is_there(table)) {
            return Err(failed(&self.path, vec![of_another_dump(missing)]));
        }
        if tables.len() != manifest.tables.len() {
            return Ok(None);
        }
        Ok(Some(Recorded {
            bytes: record.plaintext_bytes(),
            sha256: record.plaintext_sha256().to_ascii_lowercase(),
            header: archive.header().clone(),
            tables: manifest.tables.clone(),
            instances: manifest.instances.clone(),
            live_instances: manifest.live_instances(),
            verified_at,
        }))
    }

    /// Why a dump of which the beginning cannot be read is of no use.
    fn of_verdict(&self, verdict: Verdict) -> BackupError {
        match verdict {
            Verdict::Failed(fault) => {
                VerificationFailed::at_rest(&self.path, &self.dump, &fault, Vec::new())
                    .without_repair()
                    .into()
            }
            Verdict::Unread(source) => BackupError::Io {
                path: self.dump.clone(),
                source,
            },
            Verdict::NotJudged(why) => not_judged(&self.path, why),
            Verdict::Intact(_) => not_judged(&self.path, "its beginning cannot be read".to_owned()),
        }
    }
}

/// Schema and name of a table.
type TableKey<'a> = (Option<&'a str>, &'a str);

fn name_of(table: &TableRecord) -> TableKey<'_> {
    (table.schema.as_deref(), &table.name)
}

/// The tables with data.
fn tables_in(entries: &[TocEntry]) -> HashSet<TableKey<'_>> {
    let entries = entries.iter().filter(|entry| entry.is_table_data());
    entries
        .map(|entry| (entry.schema.as_deref(), entry.tag.as_str()))
        .collect()
}

fn of_another_dump(missing: &TableRecord) -> Problem {
    let name = missing.qualified_name();
    Problem::new(
        MANIFEST_FILE,
        format!(
            "tells of the table {}, which the dump does not have: it is of another dump",
            printable(&name)
        ),
    )
}

impl fmt::Display for Recorded {
    /// `5 tables, 1204 rows, 3 service instances`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.tables.iter().map(|table| table.rows);
        let rows = rows
            .sum::<Option<u64>>()
            .map_or_else(|| "rows not counted".to_owned(), |rows| count(rows, "row"));
        let instances = self.live_instances.map_or_else(
            || "service instances not counted".to_owned(),
            |live| count(live as u64, "service instance"),
        );
        let tables = count(self.tables.len() as u64, "table");
        write!(f, "{tables}, {rows}, {instances}")
    }
}
