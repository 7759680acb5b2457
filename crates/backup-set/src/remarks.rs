//! What there is to know about a dump that makes it no less intact.

use std::fmt;

use pg_archive::{AfterEnd, Contents, TableName, Trailing};

use crate::TenantRows;
use crate::instances::TENANT_TABLE;
use human_text::{count, printable};

/// What no dump holds; told wherever a backup is shown.
pub const NOT_IN_A_DUMP: &str =
    "object storage (versioned skills, trained models) is not in this backup";

/// How many tables are named.
const NAMED_TABLES: usize = 10;

/// One such thing.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remark {
    /// Bytes follow the archive.
    BytesBehind {
        /// How many.
        bytes: u64,
        /// From which byte on.
        offset: u64,
        /// What they are.
        what: Trailing,
    },
    /// The file ends within the second table of contents that pg_dump writes to standard output.
    CutAfterData,
    /// Tables that are defined and have no data in the dump.
    TablesWithoutData(Vec<TableName>),
    /// The dump defines no table.
    DataOnly,
    /// No table has a row.
    NoRows,
    /// So many tables were dumped as INSERTs, whose rows are not counted.
    RowsNotCounted(usize),
    /// The store's table of tenants has no data in the dump.
    NoTenantTable,
    /// The store's table of tenants is empty.
    NoTenants,
    /// The store's tenants cannot be read, because they were dumped as INSERTs.
    TenantsNotCounted,
    /// So many tenants are not listed, because of their size or their number.
    TenantsNotListed(u64),
}

impl Remark {
    pub(crate) fn on(contents: &Contents, tenants: &TenantRows) -> Vec<Self> {
        let mut remarks = Vec::new();
        match &contents.after_end {
            Some(AfterEnd::Bytes {
                offset,
                bytes,
                what,
            }) => remarks.push(Self::BytesBehind {
                bytes: *bytes,
                offset: *offset,
                what: what.clone(),
            }),
            Some(AfterEnd::CutTableOfContents { .. }) => remarks.push(Self::CutAfterData),
            _ => {}
        }
        if !contents.tables_without_data.is_empty() {
            let mut tables = contents.tables_without_data.clone();
            tables.sort_unstable();
            remarks.push(Self::TablesWithoutData(tables));
        }
        if contents.defines_no_table && !contents.tables.is_empty() {
            remarks.push(Self::DataOnly);
        }
        let not_counted = contents
            .tables
            .iter()
            .filter(|table| table.rows.is_none())
            .count();
        if not_counted > 0 {
            remarks.push(Self::RowsNotCounted(not_counted));
        } else if contents.tables.iter().all(|table| table.rows == Some(0)) {
            remarks.push(Self::NoRows);
        }
        let mut tenant_tables = contents
            .tables
            .iter()
            .filter(|table| table.name == TENANT_TABLE)
            .peekable();
        if tenant_tables.peek().is_none() {
            remarks.push(Self::NoTenantTable);
        } else if tenant_tables.clone().all(|table| table.rows == Some(0)) {
            remarks.push(Self::NoTenants);
        } else if tenant_tables.any(|table| table.rows.is_none()) {
            remarks.push(Self::TenantsNotCounted);
        }
        if tenants.not_listed() > 0 {
            remarks.push(Self::TenantsNotListed(tenants.not_listed()));
        }
        remarks
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BytesBehind {
                bytes,
                offset,
                what,
            } => {
                let what = match what {
                    Trailing::Blanks => "line ends or blanks".to_owned(),
                    Trailing::Nuls => "NULs".to_owned(),
                    Trailing::Text(line) => format!("text that begins with {line:?}"),
                    Trailing::Other => "no second dump".to_owned(),
                };
                write!(
                    f,
                    "{} after the end of the dump, from byte {offset} on: {what}; pg_restore does not look at that",
                    count(*bytes, "byte")
                )
            }
            Self::CutAfterData => f.write_str(
                "the file was cut in the second table of contents that pg_dump writes after the data; \
                 nothing is missing for pg_restore, but whatever cut it should be found",
            ),
            Self::TablesWithoutData(tables) => write!(
                f,
                "no data of {}: {}",
                defined(tables.len()),
                names(tables)
            ),
            Self::DataOnly => f.write_str(
                "no table is defined in it (--data-only): it can be restored only into a database that has them",
            ),
            Self::NoRows => f.write_str("no table in it has a row"),
            Self::RowsNotCounted(tables) => write!(
                f,
                "the rows of {} were dumped as INSERTs and are not counted",
                count(*tables as u64, "table")
            ),
            Self::NoTenantTable => write!(
                f,
                "it has no data of a table `{TENANT_TABLE}`: no service instance can be restored from it, if it is of Watson Assistant at all"
            ),
            Self::NoTenants => write!(
                f,
                "its table `{TENANT_TABLE}` has no rows: there is no service instance in it"
            ),
            Self::TenantsNotCounted => write!(
                f,
                "its table `{TENANT_TABLE}` was dumped as INSERTs: the service instances in it are not counted"
            ),
            Self::TenantsNotListed(tenants) => write!(
                f,
                "{} not listed, being too many or too large",
                count(*tenants, "service instance")
            ),
        }
    }
}

fn defined(tables: usize) -> String {
    match tables {
        1 => "1 table that is defined in it".to_owned(),
        tables => format!("{tables} tables that are defined in it"),
    }
}

fn names(tables: &[TableName]) -> String {
    let named: Vec<_> = tables
        .iter()
        .take(NAMED_TABLES)
        .map(TableName::to_string)
        .collect();
    let more = match tables.len().saturating_sub(NAMED_TABLES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", printable(&named.join(", ")))
}

/// How many rows there are in the tables whose rows can be counted; none where there are tables, but no such.
pub fn counted_rows(contents: &Contents) -> Option<u64> {
    let tables = &contents.tables;
    let counted = tables.is_empty() || tables.iter().any(|table| table.rows.is_some());
    counted.then(|| tables.iter().filter_map(|table| table.rows).sum())
}

/// How many rows there are: `1204 rows`, with what is not counted.
pub fn rows_text(contents: &Contents) -> String {
    let Some(rows) = counted_rows(contents) else {
        return "rows not counted".to_owned();
    };
    let not_counted = contents.tables.iter().filter(|table| table.rows.is_none());
    match not_counted.count() {
        0 => count(rows, "row"),
        some => format!(
            "{} (those of {} not counted)",
            count(rows, "row"),
            count(some as u64, "table")
        ),
    }
}
