//! What a restored database holds, against what its dump does.
//!
//! What the dump holds is told by our own reader of archives, and not by the programs that have restored it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use anyhow::Context as _;
use backup_set::ServiceInstance;
use kube_transfer::Sink;
use pg_archive::{LargeObjects, TableData};
use serde::{Deserialize, Serialize};
use store_backup::rows::{COUNT_ROWS, TableRows, parse_rows};
use store_backup::{sql, tenants};
use wa_common::report::{bytes, count, printable};

use crate::database::DatabaseServer;
use crate::mapping::Mapping;
use crate::source::Source;
use crate::workspaces::{MOST_ID_BYTES, PUBLIC, WORKSPACE_TABLE, Workspaces, store_schema};

/// How many ids or tables a sentence names.
const NAMED: usize = 5;
/// Prints how many large objects there are, and how many bytes these have, as JSON. For a superuser.
pub(crate) const COUNT_LARGE_OBJECTS: &str = "select json_build_array((select count(*) from pg_largeobject_metadata), \
(select coalesce(sum(length(data)), 0) from pg_largeobject));";

/// What a comparison came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// What is not as in the dump, a sentence each.
    pub differences: Vec<String>,
    /// How the rows of tables are not as in the dump, likewise. Where the release has changed they are not: pgmig upgrades the
    /// schema.
    pub row_differences: Vec<String>,
    /// What could not be compared.
    pub remarks: Vec<String>,
    /// How many service instances were compared.
    pub instances: u64,
    /// How many workspaces were compared; none where the dump does not tell them.
    pub workspaces: Option<u64>,
    /// How many tables were compared by their rows.
    pub tables: u64,
    /// How many rows these have in the database.
    pub rows: u64,
}

impl Comparison {
    /// Everything that is not as in the dump.
    pub fn into_differences(self) -> Vec<String> {
        let mut all = self.differences;
        all.extend(self.row_differences);
        all
    }

    /// `5 service instances, 12 workspaces, 7 tables with 679 rows`
    pub fn in_words(&self) -> String {
        let workspaces = self.workspaces.map(|number| count(number, "workspace"));
        let mut parts = vec![count(self.instances, "service instance")];
        parts.extend(workspaces);
        parts.push(format!(
            "{} with {}",
            count(self.tables, "table"),
            count(self.rows, "row")
        ));
        parts.join(", ")
    }
}

/// Compares the store database with the dump that pgmig has restored into it.
///
/// These are the service instances, by the ids that `mapping` gives them, the ids of the workspaces, which are `held`, and the
/// numbers of rows of all tables.
pub async fn compare(
    server: &DatabaseServer,
    source: &Source,
    held: Option<&Workspaces>,
    mapping: &Mapping,
) -> anyhow::Result<Comparison> {
    let tables = &source.intact.verified.contents.tables;
    let found = server.instances_in(server.store(), tables).await?;
    let mut comparison = Comparison::default();
    comparison.instances(mapping, &found);
    match held {
        Some(held) => {
            let found = server.ids_in(server.store(), held).await?;
            comparison.workspaces(&held.ids, &found);
        }
        None => comparison.remarks.push(
            "the dump does not tell the ids of its workspaces, so they were not compared"
                .to_owned(),
        ),
    }
    let rows = server.rows_in(server.store()).await?;
    comparison.rows(tables, &rows);
    Ok(comparison)
}

impl Comparison {
    /// The rows of every table of a dump against those of a database, into which the dump alone was restored.
    pub fn of_rows(tables: &[TableData], found: &[TableRows]) -> Self {
        let mut comparison = Self::default();
        comparison.rows(tables, found);
        comparison
    }

    /// The large objects of a dump against what [`COUNT_LARGE_OBJECTS`] prints of a database; returns how many there are.
    pub(crate) fn large_objects(
        &mut self,
        held: &LargeObjects,
        printed: &str,
    ) -> anyhow::Result<u64> {
        let (there, size): (u64, u64) = serde_json::from_str(printed.trim())
            .context("cannot read what psql tells of the large objects")?;
        let in_words =
            |number, size| format!("{} of {}", count(number, "large object"), bytes(size));
        if (there, size) != (held.count, held.bytes) {
            self.differences.push(format!(
                "the database has {}, and the dump {}",
                in_words(there, size),
                in_words(held.count, held.bytes)
            ));
        }
        Ok(there)
    }

    fn instances(&mut self, mapping: &Mapping, found: &[ServiceInstance]) {
        let id = |text: &str| text.trim().to_ascii_lowercase();
        let expected: BTreeSet<String> = mapping
            .pairs
            .iter()
            .map(|pair| id(&pair.target.id))
            .collect();
        let found: BTreeSet<String> = found.iter().map(|one| id(&one.id)).collect();
        self.instances = expected.len() as u64;
        self.sets("service instance", &expected, &found);
    }

    fn workspaces(&mut self, expected: &BTreeSet<String>, found: &BTreeSet<String>) {
        self.workspaces = Some(expected.len() as u64);
        self.sets(WORKSPACE_TABLE, expected, found);
    }

    fn sets(&mut self, what: &str, expected: &BTreeSet<String>, found: &BTreeSet<String>) {
        for (ids, verdict) in [
            (expected.difference(found), "missing"),
            (found.difference(expected), "there and not in the dump"),
        ] {
            let ids: Vec<&String> = ids.collect();
            if !ids.is_empty() {
                let number = count(ids.len() as u64, what);
                let verb = if ids.len() == 1 { "is" } else { "are" };
                self.differences
                    .push(format!("{number} {verb} {verdict}: {}", named(&ids)));
            }
        }
    }

    fn rows(&mut self, tables: &[TableData], found: &[TableRows]) {
        let mut in_database: BTreeMap<(&str, &str), u64> = found
            .iter()
            .map(|TableRows(schema, name, rows)| ((schema.as_str(), name.as_str()), *rows))
            .collect();
        let differing = &mut self.row_differences;
        for table in tables {
            let schema = table.schema.as_deref().unwrap_or(PUBLIC);
            let shown = format!("{schema}.{}", table.name);
            let shown = printable(&shown);
            let there = in_database.remove(&(schema, table.name.as_str()));
            match (table.rows, there) {
                (_, None) => differing.push(format!("the table {shown} is missing")),
                // Dumped as INSERTs, which are not counted.
                (None, Some(_)) => {}
                (Some(rows), Some(there)) => {
                    self.tables += 1;
                    self.rows += there;
                    if rows != there {
                        differing.push(format!(
                            "the table {shown} has {}, and the dump {}",
                            count(there, "row"),
                            count(rows, "row")
                        ));
                    }
                }
            }
        }
        let more = in_database.into_iter().filter(|(_, rows)| *rows > 0);
        differing.extend(more.map(|((schema, name), rows)| {
            let shown = format!("{schema}.{name}");
            format!(
                "the table {} has {}, and is not in the dump",
                printable(&shown),
                count(rows, "row")
            )
        }));
    }
}

/// Some of many, in a sentence.
fn named(ids: &[&String]) -> String {
    let shown: Vec<_> = ids.iter().take(NAMED).map(|id| printable(id)).collect();
    let more = ids.len().saturating_sub(NAMED);
    let shown = shown.join(", ");
    if more > 0 {
        format!("{shown} and {more} more")
    } else {
        shown
    }
}

impl DatabaseServer {
    async fn instances_in(
        &self,
        database: &str,
        tables: &[TableData],
    ) -> anyhow::Result<Vec<ServiceInstance>> {
        // A database may have another search path than its dump.
        let table = tenants::qualified(store_schema(tables));
        let rows = self
            .ask(
                database,
                "read the service instances",
                &tenants::query(&table),
            )
            .await?;
        tenants::parse(&rows).context("cannot read what psql tells of the service instances")
    }

    async fn ids_in(&self, database: &str, held: &Workspaces) -> anyhow::Result<BTreeSet<String>> {
        let ask = format!(
            "select {} from {}.{};",
            sql::name(&held.column),
            sql::name(&held.schema),
            sql::name(WORKSPACE_TABLE)
        );
        let ids = self
            .stream(database, "read the ids of the workspaces", &ask, || {
                Bounded(Vec::new())
            })
            .await?;
        Ok(String::from_utf8_lossy(&ids)
            .lines()
            .map(str::to_owned)
            .collect())
    }

    /// How many rows each table of a database has.
    pub(crate) async fn rows_in(&self, database: &str) -> anyhow::Result<Vec<TableRows>> {
        let rows = self.ask(database, "count the rows", COUNT_ROWS).await?;
        parse_rows(&rows)
    }
}

/// Collects what comes, up to a limit.
struct Bounded(Vec<u8>);

impl Sink for Bounded {
    type Finished = Vec<u8>;

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        if self.0.len() + data.len() > MOST_ID_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "there are more workspaces than can be compared",
            ));
        }
        self.0.extend_from_slice(data);
        Ok(())
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::{Pair, Reason};

    fn instance(id: &str) -> ServiceInstance {
        ServiceInstance {
            id: id.to_owned(),
            name: None,
            region: None,
            deleted: false,
        }
    }

    fn table(name: &str, rows: Option<u64>) -> TableData {
        TableData {
            schema: Some("public".to_owned()),
            name: name.to_owned(),
            rows,
            bytes: 0,
            stored_bytes: 0,
        }
    }

    fn rows(name: &str, rows: u64) -> TableRows {
        TableRows("public".to_owned(), name.to_owned(), rows)
    }

    #[test]
    fn instances_are_looked_for_under_the_ids_that_the_mapping_gives_them() {
        let mapping = Mapping {
            pairs: vec![Pair {
                source: instance("aa"),
                target: instance("BB"),
                by: Reason::Given,
            }],
            ..Mapping::default()
        };
        let compared = |found: &[ServiceInstance]| {
            let mut comparison = Comparison::default();
            comparison.instances(&mapping, found);
            comparison.differences
        };
        assert!(compared(&[instance("bb")]).is_empty());
        // As pgmig leaves it when it dies before it has mapped the ids.
        assert_eq!(
            compared(&[instance("aa")]),
            [
                "1 service instance is missing: bb",
                "1 service instance is there and not in the dump: aa"
            ]
        );
    }

    #[test]
    fn tables_are_compared_by_their_rows_and_empty_ones_that_are_new_do_not_matter() {
        let held = [table("a", Some(2)), table("b", Some(1)), table("c", None)];
        let found = [rows("a", 3), rows("c", 9), rows("new", 1), rows("empty", 0)];
        let comparison = Comparison::of_rows(&held, &found);
        assert_eq!((comparison.tables, comparison.rows), (1, 3));
        assert_eq!(
            comparison.into_differences(),
            [
                "the table public.a has 3 rows, and the dump 2 rows",
                "the table public.b is missing",
                "the table public.new has 1 row, and is not in the dump",
            ]
        );
    }

    #[test]
    fn of_many_ids_only_some_are_named() {
        let ids: Vec<String> = (0..7).map(|n| n.to_string()).collect();
        let ids: Vec<&String> = ids.iter().collect();
        assert_eq!(named(&ids), "0, 1, 2, 3, 4 and 2 more");
    }
}
