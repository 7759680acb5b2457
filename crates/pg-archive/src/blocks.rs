//! The sequence of data blocks, held against the table of contents.

use std::io::Read;

use crate::{
    error::{ArchiveError, Corruption, ErrorKind, Place, field},
    source::Source,
    toc::{Toc, TocEntry},
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
        let promised = toc.entries.iter().filter(|entry| entry.has_data).count();
        Self {
            toc,
            seen: vec![false; toc.entries.len()],
            promised,
            missing: promised,
        }
    }

    /// Reads the beginning of the next block; none at the end of a complete archive.
    pub(crate) fn next<R: Read>(
        &mut self,
        source: &mut Source<R>,
    ) -> Result<Option<Block<'t>>, ArchiveError> {
        self.read(source)
            .map_err(|error| error.in_place(|| Place::BetweenBlocks))
    }

    fn read<R: Read>(&mut self, source: &mut Source<R>) -> Result<Option<Block<'t>>, ArchiveError> {
        let begin = source.offset();
        let Some(block_type) = source.next_byte()? else {
            return self.check_complete(source).map(|()| None);
        };
        if self.missing == 0 {
            return Err(ArchiveError::new(Corruption::TrailingGarbage, begin));
        }
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
        if !entry.has_data {
            return Err(Corruption::UnpromisedBlock(entry.label()));
        }
        if std::mem::replace(&mut self.seen[position], true) {
            return Err(Corruption::DuplicateBlock(entry.label()));
        }
        self.missing -= 1;
        Ok(entry)
    }

    fn check_complete<R: Read>(&self, source: &Source<R>) -> Result<(), ArchiveError> {
        let mut unseen = self
            .toc
            .entries
            .iter()
            .zip(&self.seen)
            .filter(|(entry, seen)| entry.has_data && !**seen);
        match unseen.next() {
            None => Ok(()),
            Some((first, _)) => Err(source.error(ErrorKind::MissingData {
                first: first.label(),
                missing: self.missing,
                promised: self.promised,
            })),
        }
    }
}
