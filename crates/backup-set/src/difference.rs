//! What came, went or changed between two backups, or a backup and the live database.

use std::collections::{BTreeMap, BTreeSet};

use pg_archive::TableData;
use serde::Serialize;

use crate::{ServiceInstance, Verified};

/// What a backup or a database holds, as far as it is compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holding {
    /// The service instances, deleted ones included where they are told.
    pub instances: Vec<ServiceInstance>,
    /// The rows of each table by its name, such as `public.workspace`; none where they were not counted.
    pub tables: BTreeMap<String, Option<u64>>,
}

impl From<&Verified> for Holding {
    fn from(verified: &Verified) -> Self {
        let name = |table: &TableData| match &table.schema {
            Some(schema) => format!("{schema}.{}", table.name),
            None => table.name.clone(),
        };
        let tables = verified.contents.tables.iter();
        Self {
            instances: verified.instances.clone(),
            tables: tables.map(|table| (name(table), table.rows)).collect(),
        }
    }
}

/// What differs between two backups, the older one first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The service instances that differ, by name.
    pub instances: Vec<InstanceChange>,
    /// The tables whose number of rows differs, or that are in one only, by name.
    pub tables: Vec<TableChange>,
}

/// A service instance that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InstanceChange {
    /// What became of it.
    pub change: Change,
    /// As the newer backup has it; where it went, as the older one.
    #[serde(flatten)]
    pub instance: ServiceInstance,
    /// Its name in the older backup, where that was another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_name: Option<String>,
}

/// What became of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// It is in the older backup only, or marked as deleted in the newer one.
    Gone,
    /// It is in the newer backup only, or no longer marked as deleted.
    New,
    /// It has another name.
    Renamed,
}

/// A table that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TableChange {
    /// `public.workspace`
    pub table: String,
    /// Its rows in the older backup; none where it is not in that, or where they were not counted.
    pub old_rows: Option<u64>,
    /// Its rows in the newer backup.
    pub new_rows: Option<u64>,
    /// Whether the older backup has it.
    pub in_old: bool,
    /// Whether the newer backup has it.
    pub in_new: bool,
}

impl TableChange {
    /// By how many rows it grew, less than 0 where it shrank; none where that is not known. A table that is not there has
    /// no rows.
    pub fn growth(&self) -> Option<i128> {
        let rows = |is_there: bool, rows: Option<u64>| if is_there { rows } else { Some(0) };
        let old = rows(self.in_old, self.old_rows)?;
        let new = rows(self.in_new, self.new_rows)?;
        Some(i128::from(new) - i128::from(old))
    }
}

impl Difference {
    /// What is different in `new`.
    pub fn between(old: &Holding, new: &Holding) -> Self {
        Self {
            instances: instances(&old.instances, &new.instances),
            tables: tables(&old.tables, &new.tables),
        }
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.tables.is_empty()
    }
}

fn instances(old: &[ServiceInstance], new: &[ServiceInstance]) -> Vec<InstanceChange> {
    let by_id = |list| -> BTreeMap<String, ServiceInstance> {
        let list: &[ServiceInstance] = list;
        let present = list.iter().filter(|instance| !instance.deleted);
        present
            .map(|instance| (instance.id.to_ascii_lowercase(), instance.clone()))
            .collect()
    };
    let (old, new) = (by_id(old), by_id(new));
    let ids: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut changes: Vec<_> = ids
        .into_iter()
        .filter_map(|id| {
            let (change, instance, old_name) = match (old.get(id), new.get(id)) {
                (Some(gone), None) => (Change::Gone, gone, None),
                (None, Some(came)) => (Change::New, came, None),
                (Some(was), Some(is)) if was.name != is.name => {
                    (Change::Renamed, is, was.name.clone())
                }
                _ => return None,
            };
            Some(InstanceChange {
                change,
                instance: instance.clone(),
                old_name,
            })
        })
        .collect();
    changes.sort_by(|a, b| (a.change, &a.instance.name).cmp(&(b.change, &b.instance.name)));
    changes
}

fn tables(
    old: &BTreeMap<String, Option<u64>>,
    new: &BTreeMap<String, Option<u64>>,
) -> Vec<TableChange> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .filter(|name| old.get(*name) != new.get(*name))
        .map(|name| TableChange {
            table: name.clone(),
            old_rows: old.get(name).copied().flatten(),
            new_rows: new.get(name).copied().flatten(),
            in_old: old.contains_key(name),
            in_new: new.contains_key(name),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(id: &str, name: &str, deleted: bool) -> ServiceInstance {
        ServiceInstance {
            id: id.to_owned(),
            name: Some(name.to_owned()),
            region: None,
            deleted,
        }
    }

    #[test]
    fn instances_are_told_apart_by_their_ids_and_one_marked_as_deleted_is_gone() {
        let old = [
            instance("a", "Care", false),
            instance("b", "Sales", false),
            instance("c", "Bank", false),
            instance("d", "Shop", true),
        ];
        let new = [
            instance("A", "Care", false),
            instance("b", "Sales", true),
            instance("c", "Banking", false),
            instance("d", "Shop", false),
            instance("e", "Fresh", false),
        ];
        let found: Vec<_> = instances(&old, &new)
            .into_iter()
            .map(|change| (change.change, change.instance.id, change.old_name))
            .collect();
        let expected = [
            (Change::Gone, "b", None),
            (Change::New, "e", None),
            (Change::New, "d", None),
            (Change::Renamed, "c", Some("Bank".to_owned())),
        ];
        assert_eq!(
            found,
            expected.map(|(change, id, name)| (change, id.to_owned(), name))
        );
    }

    #[test]
    fn a_table_that_is_not_there_has_no_rows_and_one_that_was_not_counted_no_growth() {
        let change = |old_rows, new_rows, in_old| TableChange {
            table: "public.workspace".to_owned(),
            old_rows,
            new_rows,
            in_old,
            in_new: true,
        };
        assert_eq!(change(Some(5), Some(2), true).growth(), Some(-3));
        assert_eq!(change(None, Some(2), false).growth(), Some(2));
        assert_eq!(change(None, Some(2), true).growth(), None);
    }
}
