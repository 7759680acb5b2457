//! The workspaces of a dump, which are looked for in the restored database.

use std::collections::{BTreeMap, BTreeSet};

use backup_set::tenant_schema;
use pg_archive::{Row, TableData, TocEntry, Visitor};
use store_backup::tenants;

/// The store's table of workspaces, and what its key has been called.
pub(crate) const WORKSPACE_TABLE: &str = "workspace";
const WORKSPACE_IDS: [&str; 2] = ["workspace_id", "id"];
/// The schema of what a dump names without one.
pub(crate) const PUBLIC: &str = "public";
/// More than the ids of a million workspaces take; a hostile dump must not fill the memory.
pub(crate) const MOST_ID_BYTES: usize = 128 << 20;

/// The workspaces of a dump, by their ids, and where these stand.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Workspaces {
    pub(crate) schema: String,
    pub(crate) column: String,
    pub(crate) ids: BTreeSet<String>,
}

/// Collects them while a dump is read. Of each schema with such a table: which one is the store's is known at the end.
#[derive(Debug, Default)]
pub struct WorkspaceRows {
    schemas: BTreeMap<String, Collected>,
    bytes: usize,
}

/// The ids of one table.
#[derive(Debug, Default)]
struct Collected {
    column: String,
    ids: BTreeSet<String>,
    /// Whether there are more than those.
    passed_over: bool,
}

impl WorkspaceRows {
    /// The workspaces of the store in a dump with these tables; none where they are not all known.
    pub fn of_store(mut self, tables: &[TableData]) -> Option<Workspaces> {
        let schema = store_schema(tables).to_owned();
        let Collected {
            column,
            ids,
            passed_over,
        } = self.schemas.remove(&schema)?;
        (!passed_over && !column.is_empty()).then_some(Workspaces {
            schema,
            column,
            ids,
        })
    }

    fn of(&mut self, table: &TocEntry) -> &mut Collected {
        self.schemas.entry(schema_of(table).to_owned()).or_default()
    }
}

impl Visitor for WorkspaceRows {
    fn wants(&mut self, table: &TocEntry) -> bool {
        let wanted = table.tag == WORKSPACE_TABLE && !self.schemas.contains_key(schema_of(table));
        if wanted {
            self.of(table);
        }
        wanted
    }

    fn row(&mut self, table: &TocEntry, row: &Row) {
        let before = self.bytes;
        let collected = self.of(table);
        if collected.column.is_empty() {
            let column = WORKSPACE_IDS
                .into_iter()
                .find(|name| row.get(name).is_some());
            column.unwrap_or_default().clone_into(&mut collected.column);
        }
        let id = row
            .get(&collected.column)
            .and_then(|field| field.to_text().map(String::from));
        let bytes = before + id.as_ref().map_or(0, String::len);
        match id {
            Some(id) if bytes <= MOST_ID_BYTES => {
                collected.ids.insert(id);
            }
            _ => collected.passed_over = true,
        }
        self.bytes = bytes;
    }

    fn large_row(&mut self, table: &TocEntry) {
        self.of(table).passed_over = true;
    }
}

fn schema_of(table: &TocEntry) -> &str {
    table.schema.as_deref().unwrap_or(PUBLIC)
}

/// The schema of the store's tables in a dump.
pub(crate) fn store_schema(tables: &[TableData]) -> &str {
    let tenants = tables.iter().filter(|table| table.name == tenants::TABLE);
    let schemas = tenants.map(|table| table.schema.as_deref().unwrap_or(PUBLIC));
    tenant_schema(schemas).unwrap_or(PUBLIC)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::source::{Opener, Source};

    fn read(dump: &str) -> (Source, Option<Workspaces>) {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pg-archive/tests/fixtures");
        let mut rows = WorkspaceRows::default();
        let source = Source::read_with(&Opener::local(), &fixtures.join(dump), &mut rows).unwrap();
        let workspaces = rows.of_store(&source.intact.verified.contents.tables);
        (source, workspaces)
    }

    #[test]
    fn workspaces_and_service_instances_are_known_when_a_dump_was_read_once() {
        let (source, workspaces) = read("pg15-gzip.dump");
        let workspaces = workspaces.unwrap();
        assert_eq!((&*workspaces.schema, &*workspaces.column), ("public", "id"));
        assert_eq!(workspaces.ids.len(), 20);
        assert!(!source.instances().unwrap().is_empty());
    }

    #[test]
    fn of_a_dump_that_does_not_tell_them_none_are_known() {
        assert_eq!(read("pg16-inserts.dump").1, None);
    }

    #[test]
    fn those_of_another_schema_are_not_the_stores() {
        let mut rows = WorkspaceRows::default();
        rows.schemas
            .insert("other".to_owned(), Collected::default());
        assert_eq!(rows.of_store(&[]), None);
    }

    #[test]
    fn where_one_was_passed_over_none_are_known() {
        let mut rows = WorkspaceRows::default();
        rows.schemas.insert(
            PUBLIC.to_owned(),
            Collected {
                column: "id".to_owned(),
                ids: BTreeSet::from(["a".to_owned()]),
                passed_over: true,
            },
        );
        assert_eq!(rows.of_store(&[]), None);
    }
}
