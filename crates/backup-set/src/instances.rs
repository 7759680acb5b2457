//! The service instances in a dump: the rows of the store's `tenant` table.

use std::collections::BTreeMap;

use pg_archive::{Row, TocEntry, Visitor};
use serde::{Deserialize, Serialize};

/// The store's table of tenants.
pub(crate) const TENANT_TABLE: &str = "tenant";
/// The schema of what a dump names without one.
const PUBLIC: &str = "public";
/// The regions of tenants that belong to the product itself, in any case.
const PRODUCT_REGIONS: [&str; 2] = ["system", "monitoring"];
/// More than any installation's tenants take, and little enough for a manifest; a hostile dump must not fill the memory.
const MOST_BYTES: usize = 1 << 20;
/// What is kept of a text: more than any name has.
const LONGEST_TEXT_BYTES: usize = 1024;

/// A service instance, as a dump tells of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceInstance {
    /// The instance id.
    pub id: String,
    /// Its display name, where there is one.
    pub name: Option<String>,
    /// Its region, where there is one.
    pub region: Option<String>,
    /// Whether it was deleted; its data may still be in the dump.
    pub deleted: bool,
}

impl ServiceInstance {
    /// Whether this is the product's own and no user's.
    pub fn is_system(&self) -> bool {
        let region = self.region.as_deref().unwrap_or_default();
        PRODUCT_REGIONS
            .iter()
            .any(|own| region.trim().eq_ignore_ascii_case(own))
    }

    /// Whether a restore needs a target for it.
    pub fn is_live(&self) -> bool {
        !self.deleted && !self.is_system()
    }

    fn text_bytes(&self) -> usize {
        let optional = [&self.name, &self.region].into_iter().flatten();
        self.id.len() + optional.map(String::len).sum::<usize>()
    }

    /// The instance that a row of the table `tenant` is, by its columns' names. The schema of the store is not published
    /// and changes with releases, so columns are recognised by the names they are known to have had
    /// ([`COLUMNS`](Self::COLUMNS)); a tenant without an id is nothing that can be mapped.
    pub fn from_columns(text_of: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let first = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| text_of(name))
                .map(|text| shortened(&text).to_owned())
        };
        let deleted_flag = first(&DELETED)
            .is_some_and(|value| !matches!(value.as_str(), "f" | "false" | "0" | ""));
        let deleted_time = first(&DELETED_AT).is_some();
        let deleted_status =
            first(&STATUS).is_some_and(|status| status.eq_ignore_ascii_case("deleted"));
        Some(Self {
            id: first(&ID)?,
            name: first(&NAME),
            region: first(&REGION),
            deleted: deleted_flag || deleted_time || deleted_status,
        })
    }

    /// Every column that [`from_columns`](Self::from_columns) may ask for.
    pub const COLUMNS: [&[&str]; 6] = [&ID, &NAME, &REGION, &DELETED, &DELETED_AT, &STATUS];
}

const ID: [&str; 3] = ["tenant_id", "instance_id", "id"];
const NAME: [&str; 3] = ["name", "display_name", "instance_name"];
const REGION: [&str; 2] = ["region", "region_id"];
const DELETED: [&str; 2] = ["deleted", "is_deleted"];
const DELETED_AT: [&str; 4] = ["deleted_at", "deleted_time", "deletion_time", "deleted_on"];
const STATUS: [&str; 2] = ["status", "state"];

/// Which of several schemas with a table of tenants is the store's: `public`, else the only one; `None` where that cannot
/// be told. In a dump and in a database alike.
pub fn tenant_schema<'a>(schemas: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut schemas: Vec<&str> = schemas.into_iter().collect();
    schemas.sort_unstable();
    schemas.dedup();
    match schemas[..] {
        [only] => Some(only),
        _ => schemas.into_iter().find(|schema| *schema == PUBLIC),
    }
}

/// Collects the tenants while a dump is verified, in the same pass.
#[derive(Debug, Default)]
pub struct TenantRows {
    /// Of each schema with such a table: which one is the store's is known at the end.
    schemas: BTreeMap<String, Tenants>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Tenants {
    instances: Vec<ServiceInstance>,
    not_listed: u64,
}

impl TenantRows {
    /// How many tenants were passed over: because of their size or their number, or since they stand in several tables
    /// of which nobody knows the store's.
    pub(crate) fn not_listed(&self) -> u64 {
        if let Some(schema) = self.schema() {
            return self.schemas[schema].not_listed;
        }
        let tables = self.schemas.values();
        let rows = tables.map(|table| table.not_listed + table.instances.len() as u64);
        rows.sum()
    }

    /// The instances found, live ones first, then by name.
    pub fn into_instances(mut self) -> Vec<ServiceInstance> {
        let schema = self.schema().map(str::to_owned);
        let found = schema.and_then(|schema| self.schemas.remove(&schema));
        let mut instances = found.unwrap_or_default().instances;
        instances.sort_by(|a, b| {
            (!a.is_live(), a.is_system(), &a.name, &a.id).cmp(&(
                !b.is_live(),
                b.is_system(),
                &b.name,
                &b.id,
            ))
        });
        instances
    }

    fn schema(&self) -> Option<&str> {
        tenant_schema(self.schemas.keys().map(String::as_str))
    }

    fn of(&mut self, entry: &TocEntry) -> &mut Tenants {
        let schema = entry.schema.as_deref().unwrap_or(PUBLIC);
        self.schemas.entry(schema.to_owned()).or_default()
    }
}

impl Visitor for TenantRows {
    fn wants(&mut self, entry: &TocEntry) -> bool {
        entry.tag == TENANT_TABLE
    }

    fn row(&mut self, entry: &TocEntry, row: &Row) {
        if self.bytes >= MOST_BYTES {
            self.of(entry).not_listed += 1;
            return;
        }
        let text_of = |name: &str| Some(row.get(name)?.to_text()?.into_owned());
        if let Some(instance) = ServiceInstance::from_columns(text_of) {
            self.bytes += size_of::<ServiceInstance>() + instance.text_bytes();
            self.of(entry).instances.push(instance);
        }
    }

    fn large_row(&mut self, entry: &TocEntry) {
        self.of(entry).not_listed += 1;
    }
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST_TEXT_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_of_the_product_itself_are_no_service_instances() {
        let in_region = |region: Option<&str>| ServiceInstance {
            id: "t".to_owned(),
            name: None,
            region: region.map(str::to_owned),
            deleted: false,
        };
        for region in ["System", "system", "SYSTEM", "monitoring", "Monitoring"] {
            assert!(!in_region(Some(region)).is_live(), "{region}");
        }
        for region in [None, Some(""), Some("us-south"), Some("systems")] {
            assert!(in_region(region).is_live(), "{region:?}");
        }
    }

    #[test]
    fn of_several_tables_of_tenants_the_one_in_public_or_the_only_one_is_the_stores() {
        assert_eq!(tenant_schema([]), None);
        assert_eq!(tenant_schema(["store"]), Some("store"));
        assert_eq!(
            tenant_schema(["archive", "public", "store"]),
            Some("public")
        );
        assert_eq!(tenant_schema(["archive", "store"]), None);
    }

    #[test]
    fn only_the_beginning_of_a_long_text_is_kept() {
        assert_eq!(shortened("Hilfe"), "Hilfe");
        let long = "ü".repeat(LONGEST_TEXT_BYTES);
        assert_eq!(shortened(&long), "ü".repeat(LONGEST_TEXT_BYTES / 2));
        let odd = format!("x{long}");
        assert_eq!(shortened(&odd).len(), LONGEST_TEXT_BYTES - 1);
    }
}
