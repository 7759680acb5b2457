//! The sequence of data blocks, held against the table of contents.

use std::io::Read;

use crate::{
    entry::TocEntry,
    error::{ArchiveError, Corruption, ErrorKind, Place, field},
    source::Source,
    toc::Toc,
};

const TYPE_DATA: u8 = 1;
const TYPE_LARGE_OBJECTS: u8 = 3;

/// Which entries had their block so far.
pub(crate) struct Blocks<'t> {
    toc: &'t Toc,
    seen: Vec<bool>,
    promised: usize,
    missing: usize,
}

/// The beginning of a data block.
pub(crate) enum Block<'t> {
    /// One stream of chunks follows.
    Data(&'t TocEntry),
    /// Large objects follow, each an oid and a stream of chunks, up to the oid 0.
    LargeObjects(&'t TocEntry),
}

impl<'t> Blocks<'t> {
    pub(crate) fn new(toc: &'t Toc) -> Self {
        let promised = toc.entries_with_data();
        Self {
            toc,
            seen: vec![false; toc.entries.len()],
            promised,
            missing: promised,
        }
    }

    /// Reads the beginning of the next block; none after the last.
    pub(crate) fn next<R: Read>(
        &mut self,
        source: &mut Source<R>,
    ) -> Result<Option<Block<'t>>, ArchiveError> {
        self.read(source)
            .map_err(|error| error.in_place(|| Place::BetweenBlocks))
    }

    fn read<R: Read>(&mut self, source: &mut Source<R>) -> Result<Option<Block<'t>>, ArchiveError> {
        if self.missing == 0 {
            return Ok(None);
        }
        let begin = source.archive_offset();
        let Some(block_type) = source.next_byte()? else {
            return Err(self.incomplete(source));
        };
        if !matches!(block_type, TYPE_DATA | TYPE_LARGE_OBJECTS) {
            return Err(source.error(field(
                "the type of a data block",
                block_type,
                "1 (data) or 3 (large objects)",
            )));
        }
        let dump_id = source.int("the dump id of a data block")?;
        let entry = self
            .claim(dump_id)
            .map_err(|corruption| source.error(corruption))?;
        let place = || Place::Data(entry.label());
        if let Some(recorded) = entry.data_offset.filter(|&recorded| recorded != begin) {
            return Err(source
                .error(Corruption::MisplacedBlock {
                    found: begin,
                    recorded,
                })
                .in_place(place));
        }
        match (block_type, entry.is_large_objects()) {
            (TYPE_DATA, false) => Ok(Some(Block::Data(entry))),
            (TYPE_LARGE_OBJECTS, true) => Ok(Some(Block::LargeObjects(entry))),
            _ => Err(source
                .error(field(
                    "the type of a data block",
                    block_type,
                    "the one that fits its entry",
                ))
                .in_place(place)),
        }
    }

    /// The entry that a block belongs to; each gets one.
    fn claim(&mut self, dump_id: i32) -> Result<&'t TocEntry, Corruption> {
        let position = self
            .toc
            .position(dump_id)
            .ok_or(Corruption::UnknownDumpId(dump_id))?;
        let entry = &self.toc.entries[position];
        if std::mem::replace(&mut self.seen[position], true) {
            return Err(Corruption::DuplicateBlock(entry.label()));
        }
        self.missing -= 1;
        Ok(entry)
    }

    fn incomplete<R: Read>(&self, source: &Source<R>) -> ArchiveError {
        let entries = self.toc.entries.iter().zip(&self.seen);
        let mut unseen = entries.filter(|(entry, seen)| entry.has_data && !**seen);
        source.error(ErrorKind::MissingData {
            first: unseen
                .next()
                .map(|(entry, _)| entry.label())
                .unwrap_or_default(),
            missing: self.missing,
            promised: self.promised,
        })
    }
}
