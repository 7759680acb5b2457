//! The table of contents: one entry an object, in the order in which pg_restore creates them.

use std::{collections::HashMap, io::Read};

use crate::{
    entry::{Pass, Statistics, TocEntry, read_entry},
    error::{ArchiveError, Corruption, ErrorKind, field},
    header::Header,
    source::Source,
};

/// What the entries with data may take in memory: some 200 000 tables.
const DATA_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// What the entries without data may take in memory before they are passed over. Tables come first; what there is
/// without number is large objects, which until pg_dump 16 had an entry each.
const OTHERS_LIMIT_BYTES: u64 = 16 * 1024 * 1024;

const COUNT: &str = "the number of entries in the table of contents";

/// The entries, and where each dump id that has data is among them.
pub(crate) struct Toc {
    pub(crate) entries: Vec<TocEntry>,
    index: HashMap<i32, usize>,
    /// How many entries there are, with those that were passed over.
    pub(crate) count: u32,
    pub(crate) print: Fingerprint,
}

impl Toc {
    pub(crate) fn read<R: Read>(
        source: &mut Source<R>,
        header: &Header,
    ) -> Result<Self, ArchiveError> {
        source.begin_checksum();
        let count = source.int(COUNT)?;
        let count =
            u32::try_from(count).map_err(|_| source.error(field(COUNT, count, "0 or more")))?;
        let mut toc = Self {
            entries: Vec::new(),
            index: HashMap::new(),
            count,
            print: Fingerprint::default(),
        };
        let (mut data_bytes, mut other_bytes) = (0, 0);
        let mut pass = Pass::First(None);
        for read in 1..=count {
            let entry = read_entry(source, header, &mut pass)?;
            toc.print.add(read, source.checksum());
            let (total, limit) = if entry.has_data {
                (&mut data_bytes, DATA_LIMIT_BYTES)
            } else {
                (&mut other_bytes, OTHERS_LIMIT_BYTES)
            };
            *total += entry.size_bytes();
            let fits = *total <= limit;
            if entry.has_data {
                if !fits {
                    return Err(source.error(ErrorKind::TooLarge {
                        what: "the list of the entries with data",
                        limit_bytes: DATA_LIMIT_BYTES,
                    }));
                }
                if toc.index.insert(entry.dump_id, toc.entries.len()).is_some() {
                    return Err(source.error(Corruption::DuplicateDumpId(entry.dump_id)));
                }
            }
            if fits {
                toc.entries.push(entry);
            }
        }
        toc.print.checksum = source.checksum();
        if let Pass::First(statistics) = pass {
            toc.print.statistics = statistics;
        }
        source.end_checksum();
        Ok(toc)
    }

    /// The position of the entry with this dump id, if it has data.
    pub(crate) fn position(&self, dump_id: i32) -> Option<usize> {
        self.index.get(&dump_id).copied()
    }

    pub(crate) fn entries_with_data(&self) -> usize {
        self.index.len()
    }
}

/// What a table of contents is known by, but for the offsets of the data.
#[derive(Default)]
pub(crate) struct Fingerprint {
    /// The checksum of all of it.
    checksum: u32,
    /// The checksums up to some entries: the first, the second, the fourth, …
    beginnings: Vec<u32>,
    statistics: Option<Statistics>,
}

impl Fingerprint {
    fn add(&mut self, entries: u32, checksum: u32) {
        if entries.is_power_of_two() {
            self.beginnings.push(checksum);
        }
    }

    /// Whether the first `entries` entries have this checksum, where that is known.
    fn agrees(&self, entries: u32, checksum: u32) -> bool {
        let known = entries
            .is_power_of_two()
            .then(|| self.beginnings.get(entries.ilog2() as usize))
            .flatten();
        known.is_none_or(|known| *known == checksum)
    }
}

/// How what follows the blocks compares with the table of contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// It is the same, but for the offsets.
    Same,
    /// It begins as the same, and the file ends in it.
    Cut,
    /// It is something else.
    Other,
}

impl Toc {
    /// Reads what may be a second table of contents.
    pub(crate) fn compare<R: Read>(
        &self,
        source: &mut Source<R>,
        header: &Header,
    ) -> Result<Comparison, ArchiveError> {
        source.begin_checksum();
        let compared = self.compare_entries(source, header);
        source.end_checksum();
        match compared {
            Ok(true) => Ok(Comparison::Same),
            Ok(false) => Ok(Comparison::Other),
            Err(error) => match error.kind() {
                ErrorKind::Truncated { .. } => Ok(Comparison::Cut),
                ErrorKind::Io(_) => Err(error),
                _ => Ok(Comparison::Other),
            },
        }
    }

    fn compare_entries<R: Read>(
        &self,
        source: &mut Source<R>,
        header: &Header,
    ) -> Result<bool, ArchiveError> {
        // Without an entry there is nothing to know it by.
        let count = match source.int(COUNT) {
            Err(error) if !matches!(error.kind(), ErrorKind::Io(_)) => return Ok(false),
            count => count?,
        };
        if self.count == 0 || u32::try_from(count) != Ok(self.count) {
            return Ok(false);
        }
        let mut pass = Pass::Second(self.print.statistics);
        for read in 1..=self.count {
            read_entry(source, header, &mut pass)?;
            if !self.print.agrees(read, source.checksum()) {
                return Ok(false);
            }
        }
        Ok(source.checksum() == self.print.checksum)
    }
}
