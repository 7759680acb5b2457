//! An archive from its first byte to its last.

use std::{collections::HashSet, fmt, io::Read};

use crate::{
    blocks::{Block, Blocks},
    chunks::Chunks,
    content::Content,
    copy::Row,
    entry::TocEntry,
    error::{ArchiveError, ErrorKind, Place, field},
    header::{self, Compression, Header, InFront},
    rows::{self, Line, RowReader},
    source::Source,
    summary::{Contents, LargeObjects, TableData, TableName},
    tail,
    toc::Toc,
};

const DEFAULT_ROW_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// An archive whose header and table of contents have been read. The data blocks come next, and can be walked once:
/// the file is never rewound, so that it can be a pipe.
pub struct Archive<R> {
    source: Source<R>,
    in_front: Option<InFront>,
    header: Header,
    toc: Toc,
    row_limit_bytes: usize,
}

impl<R> fmt::Debug for Archive<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Archive")
            .field("header", &self.header)
            .field("entries", &self.toc.entries)
            .finish_non_exhaustive()
    }
}

/// Takes rows out of an archive that is being verified.
///
/// `()` is the visitor that wants none.
pub trait Visitor {
    /// Whether [`row`](Self::row) is to be called for the rows of this table. Asked once a table, when its data begins;
    /// not for tables that were dumped as INSERTs.
    fn wants(&mut self, table: &TocEntry) -> bool;

    /// Takes a row of a table that is wanted.
    fn row(&mut self, table: &TocEntry, row: &Row);

    /// Called in place of [`row`](Self::row) for one that is larger than the [limit](Archive::with_row_limit).
    fn large_row(&mut self, _table: &TocEntry) {}
}

impl Visitor for () {
    fn wants(&mut self, _: &TocEntry) -> bool {
        false
    }

    fn row(&mut self, _: &TocEntry, _: &Row) {}
}

impl<R: Read> Archive<R> {
    /// Reads the header and the table of contents. The reader is read in pieces of 64 KiB and needs no buffer of its own.
    pub fn open(reader: R) -> Result<Self, ArchiveError> {
        let mut source = Source::new(reader);
        let in_header = |error: ArchiveError| error.in_place(|| Place::Header);
        let in_front = header::read_magic(&mut source).map_err(in_header)?;
        let head = Header::read(&mut source)
            .map_err(in_header)
            .and_then(|header| {
                let toc = Toc::read(&mut source, &header)
                    .map_err(|error| error.in_place(|| Place::TableOfContents))?;
                Ok((header, toc))
            });
        let (header, toc) = match head {
            Ok(head) => head,
            Err(error) => return refuse_what_is_in_front(in_front, Err(error)),
        };
        Ok(Self {
            source,
            in_front,
            header,
            toc,
            row_limit_bytes: DEFAULT_ROW_LIMIT_BYTES,
        })
    }

    /// Sets how long a row may be, as it stands in the archive, that is given to a visitor or by [`rows`](Self::rows).
    /// A longer one is passed over there and an error here. 16 MiB unless set.
    #[must_use]
    pub fn with_row_limit(mut self, bytes: usize) -> Self {
        self.row_limit_bytes = bytes;
        self
    }

    /// What the header says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The objects in the archive, in the order in which pg_restore creates them. Of those without data only as many as
    /// 16 MiB hold, which are all but the last ones of several 10,000.
    pub fn entries(&self) -> &[TocEntry] {
        &self.toc.entries
    }

    /// Reads the archive to its end, and tells what is in it if all of it is sound.
    pub fn verify(self) -> Result<Contents, ArchiveError> {
        self.verify_with(&mut ())
    }

    /// Like [`verify`](Self::verify), and gives the rows of the tables it wants to a visitor on the way. What the
    /// visitor got counts only if the result is `Ok`.
    pub fn verify_with(self, visitor: &mut impl Visitor) -> Result<Contents, ArchiveError> {
        let Self {
            source,
            in_front,
            header,
            toc,
            row_limit_bytes,
        } = self;
        refuse_what_is_in_front(
            in_front,
            read_all(source, header, &toc, row_limit_bytes, visitor),
        )
    }

    /// Yields the rows of one table without verifying the rest of the archive. The schema is needed only if several
    /// have a table of that name.
    pub fn rows(self, schema: Option<&str>, table: &str) -> Result<Rows<R>, ArchiveError> {
        let Self {
            mut source,
            in_front: _,
            header,
            toc,
            row_limit_bytes,
        } = self;
        let wanted = find_table(&toc, schema, table).map_err(|kind| source.error(kind))?;
        let columns = row_columns(wanted).map_err(|kind| source.error(kind))?;
        let mut blocks = Blocks::new(&toc);
        while let Some(block) = blocks.next(&mut source)? {
            source = match block {
                Block::Data(entry) if entry.dump_id == wanted.dump_id => {
                    return Ok(Rows {
                        content: Some(Content::new(source, header.compression)?),
                        reader: RowReader::new(columns, row_limit_bytes),
                        table: wanted.label(),
                    });
                }
                Block::Data(entry) => Chunks::new(source)
                    .skip()
                    .map_err(|error| error.in_place(|| Place::Data(entry.label())))?,
                Block::LargeObjects(entry) => skip_large_objects(source)
                    .map_err(|error| error.in_place(|| Place::Data(entry.label())))?,
            };
        }
        Err(source.error(ErrorKind::NoSuchTable(wanted.label())))
    }
}

/// The rows of one table; see [`Archive::rows`]. After the first error there is nothing more.
pub struct Rows<R: Read> {
    content: Option<Content<R>>,
    reader: RowReader,
    table: String,
}

impl<R: Read> fmt::Debug for Rows<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("table", &self.table)
            .field("columns", &self.columns())
            .finish_non_exhaustive()
    }
}

impl<R: Read> Rows<R> {
    /// The names of the columns, in their order.
    pub fn columns(&self) -> &[String] {
        self.reader.columns()
    }
}

impl<R: Read> Iterator for Rows<R> {
    type Item = Result<Row, ArchiveError>;

    fn next(&mut self) -> Option<Self::Item> {
        let row = self.reader.next(self.content.as_mut()?);
        if let Ok(Some(row)) = row {
            return Some(Ok(row.clone()));
        }
        let end = row.map(drop);
        self.content = None;
        end.err()
            .map(|error| Err(error.in_place(|| Place::Data(self.table.clone()))))
    }
}

/// What reading an archive came to that had something in front of it, which makes it none as it is.
fn refuse_what_is_in_front<T>(
    in_front: Option<InFront>,
    read: Result<T, ArchiveError>,
) -> Result<T, ArchiveError> {
    let Some(in_front) = in_front else {
        return read;
    };
    match read {
        Err(error) if matches!(error.kind(), ErrorKind::Io(_)) => Err(error),
        read => Err(ArchiveError::new(
            ErrorKind::SomethingInFront {
                bytes: in_front.bytes,
                line: in_front.line,
                after: read.err(),
            },
            in_front.bytes,
        )),
    }
}

/// Reads the blocks and what is after them.
fn read_all<R: Read>(
    mut source: Source<R>,
    header: Header,
    toc: &Toc,
    row_limit_bytes: usize,
    visitor: &mut impl Visitor,
) -> Result<Contents, ArchiveError> {
    let mut blocks = Blocks::new(toc);
    let mut tables = Vec::new();
    let mut large_objects = LargeObjects::default();
    while let Some(block) = blocks.next(&mut source)? {
        source = match block {
            Block::Data(entry) => {
                let content = Content::new(source, header.compression)?;
                let (source, table) = read_table(content, entry, row_limit_bytes, visitor)
                    .map_err(|error| error.in_place(|| Place::Data(entry.label())))?;
                tables.push(table);
                source
            }
            Block::LargeObjects(entry) => {
                read_large_objects(source, header.compression, &mut large_objects)
                    .map_err(|error| error.in_place(|| Place::Data(entry.label())))?
            }
        };
    }
    let (archive_bytes, after_end) = tail::read(&mut source, &header, toc)
        .map_err(|error| error.in_place(|| Place::AfterBlocks))?;
    Ok(Contents {
        header,
        tables,
        large_objects,
        tables_without_data: tables_without_data(toc),
        defines_no_table: !toc.entries.iter().any(TocEntry::is_table),
        archive_bytes,
        after_end,
    })
}

fn tables_without_data(toc: &Toc) -> Vec<TableName> {
    let name = |entry: &TocEntry| (entry.schema.clone(), entry.tag.clone());
    let with_data: HashSet<_> = toc
        .entries
        .iter()
        .filter(|entry| entry.is_table_data())
        .map(name)
        .collect();
    let defined = toc
        .entries
        .iter()
        .filter(|entry| entry.is_table() && !entry.is_partitioned);
    defined
        .map(name)
        .filter(|name| !with_data.contains(name))
        .map(|(schema, name)| TableName { schema, name })
        .collect()
}

fn find_table<'t>(
    toc: &'t Toc,
    schema: Option<&str>,
    table: &str,
) -> Result<&'t TocEntry, ErrorKind> {
    let mut found = toc.entries.iter().filter(|entry| {
        entry.is_table_data()
            && entry.tag == table
            && (schema.is_none() || entry.schema.as_deref() == schema)
    });
    let first = found.next().ok_or_else(|| {
        ErrorKind::NoSuchTable(
            schema.map_or(table.to_owned(), |schema| format!("{schema}.{table}")),
        )
    })?;
    let others: Vec<_> = found.collect();
    if others.is_empty() {
        return Ok(first);
    }
    let schemas = [first]
        .into_iter()
        .chain(others)
        .filter_map(|entry| entry.schema.clone())
        .collect();
    Err(ErrorKind::AmbiguousTable {
        table: table.to_owned(),
        schemas,
    })
}

/// The columns of the rows of a table that someone wants to read.
fn row_columns(table: &TocEntry) -> Result<Vec<String>, ErrorKind> {
    let Some(statement) = &table.copy_statement else {
        return Err(ErrorKind::NoCopyData(table.label()));
    };
    table.columns().ok_or_else(|| {
        field(
            "the COPY statement of an entry",
            format_args!("{statement:?}"),
            "COPY table (columns) FROM stdin",
        )
    })
}

fn read_table<R: Read>(
    mut content: Content<R>,
    entry: &TocEntry,
    row_limit_bytes: usize,
    visitor: &mut impl Visitor,
) -> Result<(Source<R>, TableData), ArchiveError> {
    let rows = if entry.copy_statement.is_none() {
        None
    } else if visitor.wants(entry) {
        let columns = row_columns(entry).map_err(|kind| content.error(kind))?;
        let mut reader = RowReader::new(columns, row_limit_bytes);
        let mut rows = 0;
        loop {
            match reader.next_line(&mut content)? {
                Line::Row(row) => visitor.row(entry, row),
                Line::TooLarge => visitor.large_row(entry),
                Line::End => break,
            }
            rows += 1;
        }
        Some(rows)
    } else {
        Some(rows::count(&mut content)?)
    };
    let (source, size) = content.finish()?;
    let table = TableData {
        schema: entry.schema.clone(),
        name: entry.tag.clone(),
        rows,
        bytes: size.bytes,
        stored_bytes: size.stored_bytes,
    };
    Ok((source, table))
}

fn read_large_objects<R: Read>(
    mut source: Source<R>,
    compression: Compression,
    total: &mut LargeObjects,
) -> Result<Source<R>, ArchiveError> {
    while let Some(oid) = next_large_object(&mut source)? {
        let (after, size) = Content::new(source, compression)?
            .finish()
            .map_err(|error| error.in_place(|| Place::LargeObject(oid)))?;
        total.count += 1;
        total.bytes += size.bytes;
        total.stored_bytes += size.stored_bytes;
        source = after;
    }
    Ok(source)
}

fn skip_large_objects<R: Read>(mut source: Source<R>) -> Result<Source<R>, ArchiveError> {
    while let Some(oid) = next_large_object(&mut source)? {
        source = Chunks::new(source)
            .skip()
            .map_err(|error| error.in_place(|| Place::LargeObject(oid)))?;
    }
    Ok(source)
}

/// The oid of the large object that follows, or none at the end of the block. An oid is unsigned, but written as a
/// signed integer.
fn next_large_object<R: Read>(source: &mut Source<R>) -> Result<Option<u32>, ArchiveError> {
    let oid = source.int("the oid of a large object")?.cast_unsigned();
    Ok((oid != 0).then_some(oid))
}
