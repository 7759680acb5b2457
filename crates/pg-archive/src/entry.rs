//! An entry of the table of contents.

use std::io::Read;

use crate::{
    copy,
    error::{ArchiveError, field},
    header::Header,
    source::{Source, Width},
    version::Version,
};

/// What is kept of a string of an entry. The longest there is, a COPY statement of 1600 columns with names of 63 quoted
/// characters, is a fifth of this.
const STRING_BYTES: usize = 1024 * 1024;

const DEFINITION: &str = "the definition of an entry";
const DROP_STATEMENT: &str = "the drop statement of an entry";
/// The kind of the entries with statistics, from pg_dump 18 on.
const STATISTICS: &str = "STATISTICS DATA";
/// The relation kind of a partitioned table: the letter `p` of PostgreSQL's catalog.
const PARTITIONED: i32 = 'p' as i32;

/// An object in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TocEntry {
    /// Identifies the object within the archive.
    pub dump_id: i32,
    /// Object id of the catalog that the object was in, 0 if it was in none.
    pub catalog_oid: u32,
    /// Object id within that catalog.
    pub oid: u32,
    /// Kind of object in pg_dump's words, e.g. `TABLE`, `TABLE DATA`, `BLOBS`.
    pub kind: String,
    /// Schema, for an object that is in one.
    pub schema: Option<String>,
    /// Name of the object; with more in it for some kinds, e.g. `SCHEMA public`.
    pub tag: String,
    /// The role that owns the object.
    pub owner: Option<String>,
    /// The statement that the rows of a table are fed to. None for other kinds, and for tables dumped as INSERTs.
    pub copy_statement: Option<String>,
    /// Whether the archive has a data block for this entry.
    pub has_data: bool,
    /// Where that block begins, counted from the beginning of the file. pg_dump cannot know when it writes to a pipe.
    pub data_offset: Option<u64>,
    /// Whether it is a partitioned table, whose rows are in its partitions.
    pub is_partitioned: bool,
}

impl TocEntry {
    /// Whether the data of this entry is the rows of a table.
    pub fn is_table_data(&self) -> bool {
        self.has_data && self.kind == "TABLE DATA"
    }

    /// Whether this entry defines a table.
    pub fn is_table(&self) -> bool {
        self.kind == "TABLE"
    }

    /// Whether the data of this entry is large objects.
    pub fn is_large_objects(&self) -> bool {
        self.has_data && self.kind == "BLOBS"
    }

    /// The columns of the rows, in their order. None if the rows are not COPY data.
    pub fn columns(&self) -> Option<Vec<String>> {
        copy::columns(self.copy_statement.as_deref()?)
    }

    /// For messages: `table public.tenant`.
    pub(crate) fn label(&self) -> String {
        let kind = if self.is_table_data() {
            "table"
        } else {
            &self.kind
        };
        match &self.schema {
            Some(schema) => format!("{kind} {schema}.{}", self.tag),
            None => format!("{kind} {}", self.tag),
        }
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        let strings = [
            Some(&self.kind),
            self.schema.as_ref(),
            Some(&self.tag),
            self.owner.as_ref(),
            self.copy_statement.as_ref(),
        ];
        let text: usize = strings.into_iter().flatten().map(String::capacity).sum();
        (size_of::<Self>() + text) as u64
    }
}

/// Which of the two tables of contents an entry is in, and what has to be known of the other entries.
pub(crate) enum Pass {
    /// The first; holds the lengths of definition and drop statement of the first entry with statistics.
    First(Option<Statistics>),
    /// The second, with what was found in the first.
    Second(Option<Statistics>),
}

/// Entries of statistics, whose definitions pg_dump 18 does not write a second time: it means to pass over them, which a
/// file that is appended to does not allow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statistics {
    definition: Option<u64>,
    drop_statement: Option<u64>,
}

/// Reads an entry.
pub(crate) fn read_entry<R: Read>(
    source: &mut Source<R>,
    header: &Header,
    pass: &mut Pass,
) -> Result<TocEntry, ArchiveError> {
    let dump_id = source.int("a dump id")?;
    if dump_id < 1 {
        return Err(source.error(field("a dump id", dump_id, "1 or more")));
    }
    let has_data = read_flag(source, "the data flag of an entry")?;
    let catalog_oid = read_number(source, "the catalog oid of an entry")?;
    let oid = read_number(source, "the oid of an entry")?;
    let tag = source
        .string("the tag of an entry", STRING_BYTES)?
        .unwrap_or_default();
    let kind = source
        .string("the kind of an entry", STRING_BYTES)?
        .unwrap_or_default();
    let section = source.int("the section of an entry")?;
    if !(1..=4).contains(&section) {
        return Err(source.error(field("the section of an entry", section, "1 to 4")));
    }
    let mut is_partitioned = false;
    if kind == STATISTICS {
        source.unchecked(|source| read_statistics(source, pass))?;
    } else {
        // From 1.16 the relation kind tells.
        if kind == "TABLE" && header.version < Version::RELATION_KIND {
            let definition = source.string(DEFINITION, STRING_BYTES)?;
            is_partitioned = definition.is_some_and(|text| text.contains("\nPARTITION BY "));
        } else {
            source.skip_string(DEFINITION)?;
        }
        source.skip_string(DROP_STATEMENT)?;
    }
    let copy_statement = source.string("the COPY statement of an entry", STRING_BYTES)?;
    let schema = source.string("the schema of an entry", STRING_BYTES)?;
    source.skip_string("the tablespace of an entry")?;
    if header.version >= Version::TABLE_AM {
        source.skip_string("the table access method of an entry")?;
    }
    if header.version >= Version::RELATION_KIND {
        let relation_kind = source.int("the relation kind of an entry")?;
        is_partitioned = relation_kind == PARTITIONED;
    }
    let owner = source.string("the owner of an entry", STRING_BYTES)?;
    // Whether the table has oids is also in its definition.
    source.skip_string("the oids flag of an entry")?;
    while read_optional_number(source, "a dependency of an entry")?.is_some() {}
    let offset_width = header.offset_width;
    let data_offset =
        source.unchecked(|source| read_data_offset(source, offset_width, has_data))?;
    Ok(TocEntry {
        dump_id,
        catalog_oid,
        oid,
        kind,
        // pg_dump writes an empty string, or NULL, for an object outside of any schema; likewise for the rest.
        schema: schema.filter(|schema| !schema.is_empty()),
        tag,
        owner: owner.filter(|owner| !owner.is_empty()),
        copy_statement: copy_statement.filter(|statement| !statement.is_empty()),
        has_data,
        data_offset,
        is_partitioned,
    })
}

/// Reads definition and drop statement of an entry of statistics; in the second table of contents the former may not be
/// there.
fn read_statistics<R: Read>(source: &mut Source<R>, pass: &mut Pass) -> Result<(), ArchiveError> {
    let first = source.skip_string(DEFINITION)?;
    let has_definition = match pass {
        Pass::First(_) => true,
        Pass::Second(statistics) => statistics
            .is_some_and(|known| known.definition == first || known.drop_statement != first),
    };
    if !has_definition {
        return Ok(());
    }
    let drop_statement = source.skip_string(DROP_STATEMENT)?;
    if let Pass::First(statistics) = pass {
        statistics.get_or_insert(Statistics {
            definition: first,
            drop_statement,
        });
    }
    Ok(())
}

fn read_flag<R: Read>(source: &mut Source<R>, what: &'static str) -> Result<bool, ArchiveError> {
    match source.int(what)? {
        0 => Ok(false),
        1 => Ok(true),
        value => Err(source.error(field(what, value, "0 or 1"))),
    }
}

/// Object ids and dependencies are written as decimal text.
fn read_optional_number<R: Read>(
    source: &mut Source<R>,
    what: &'static str,
) -> Result<Option<u32>, ArchiveError> {
    const LONGEST: usize = 11;
    let Some(text) = source.string(what, LONGEST)? else {
        return Ok(None);
    };
    match text.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(source.error(field(what, format_args!("{text:?}"), "a decimal number"))),
    }
}

fn read_number<R: Read>(source: &mut Source<R>, what: &'static str) -> Result<u32, ArchiveError> {
    read_optional_number(source, what)?
        .ok_or_else(|| source.error(field(what, "NULL", "a decimal number")))
}

/// Where the data is: not recorded (1), recorded (2), or there is none (3).
fn read_data_offset<R: Read>(
    source: &mut Source<R>,
    width: Width,
    has_data: bool,
) -> Result<Option<u64>, ArchiveError> {
    const STATE: &str = "the data state of an entry";
    let state = source.byte(STATE)?;
    let offset = source.file_offset(width, "the data offset of an entry")?;
    match (state, has_data) {
        (1, true) | (3, false) => Ok(None),
        (2, true) => Ok(Some(offset)),
        (1..=3, _) => Err(source.error(field(
            STATE,
            state,
            "one that agrees with the data flag of the entry",
        ))),
        _ => Err(source.error(field(STATE, state, "1, 2 or 3"))),
    }
}
