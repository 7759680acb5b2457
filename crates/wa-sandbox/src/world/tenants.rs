//! The service instances of the product, which are rows of the table `tenant`: those of the cluster that backups come
//! from, and those of clusters that they are restored to.
//!
//! Left out: an instance that is provisioned or deleted while the cluster runs.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use uuid::Uuid;

/// Which instances there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Instances {
    /// Five, whose names are hard to handle: what backups are made of.
    #[default]
    Source,
    /// Five others, with other ids: what backups are restored to.
    Target,
    /// Three, which are too few.
    Fewer,
    /// Seven, which are more than needed.
    More,
    /// Five, two of which have the same name.
    SameNames,
    /// Twenty-five, which some builds of pgmig cannot handle.
    Many,
}

/// The text names no set of instances.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} names no instances: say source, target, fewer, more, same-names or many")]
pub struct UnknownInstances(String);

/// A row of the table `tenant`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tenant {
    /// The key of the row, which mappings are made of.
    pub(super) id: Uuid,
    /// Shown only; another than `id` in tenants that are old.
    pub(super) instance_id: Uuid,
    pub(super) name: Option<String>,
    pub(super) region: &'static str,
    pub(super) deleted: Option<bool>,
}

impl Instances {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Source,
        Self::Target,
        Self::Fewer,
        Self::More,
        Self::SameNames,
        Self::Many,
    ];

    /// How the command line calls them.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
            Self::Fewer => "fewer",
            Self::More => "more",
            Self::SameNames => "same-names",
            Self::Many => "many",
        }
    }

    /// The number of the first workspace: no workspace is in two sets, so that a restored database is told by them.
    pub(super) fn first_workspace(self) -> u64 {
        if self == Self::Source { 1 } else { 101 }
    }

    /// The rows of the table: live ones first, and those of the system and deleted ones after them.
    pub(super) fn tenants(self) -> Vec<Tenant> {
        match self {
            Self::Source => source(),
            Self::Target => target(&TARGET),
            Self::Fewer => target(&TARGET[..3]),
            Self::More => target(&[&TARGET[..], &[Some("Spare 1"), Some("Spare 2")]].concat()),
            Self::SameNames => target(&[
                Some("Customer Care"),
                Some("Customer Care"),
                Some("人事アシスタント"),
                Some(""),
                None,
            ]),
            Self::Many => {
                let names: Vec<_> = (1..=25).map(|n| format!("Team {n}")).collect();
                let names: Vec<_> = names.iter().map(|name| Some(name.as_str())).collect();
                target(&names)
            }
        }
    }
}

impl fmt::Display for Instances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Instances {
    type Err = UnknownInstances;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut all = Self::ALL.into_iter();
        all.find(|one| one.name() == text)
            .ok_or_else(|| UnknownInstances(text.to_owned()))
    }
}

impl Tenant {
    /// Whether it is an instance: neither deleted nor the system's own.
    pub(super) fn is_instance(&self) -> bool {
        let region = self.region.to_lowercase();
        self.deleted != Some(true) && region != "system" && region != "monitoring"
    }
}

/// The statement that fills the table.
pub(super) fn insert(tenants: &[Tenant]) -> String {
    let mut script = "INSERT INTO tenant SELECT id::uuid, instance_id::uuid, name, region, 'plus', deleted,\n  \
         CASE WHEN deleted THEN timestamptz '2026-03-01 12:00Z' END, timestamptz '2025-05-05 08:00Z',\n  \
         timestamptz '2026-06-01 08:00Z' FROM (VALUES\n"
        .to_owned();
    for (index, tenant) in tenants.iter().enumerate() {
        let name = match &tenant.name {
            Some(name) => format!("'{}'", name.replace('\'', "''")),
            None => "NULL::text".to_owned(),
        };
        let deleted = match tenant.deleted {
            Some(deleted) => deleted.to_string(),
            None => "NULL::boolean".to_owned(),
        };
        // Writing to a String does not fail.
        let _ = writeln!(
            script,
            "  {}('{}', '{}', {name}, '{}', {deleted})",
            if index == 0 { "" } else { ", " },
            tenant.id,
            tenant.instance_id,
            tenant.region
        );
    }
    script + ") AS t (id, instance_id, name, region, deleted);\n"
}

fn tenant(id: Uuid, name: Option<&str>, region: &'static str, deleted: Option<bool>) -> Tenant {
    Tenant {
        id,
        instance_id: id,
        name: name.map(str::to_owned),
        region,
        deleted,
    }
}

/// An instance id as newer releases make a uuid of it: its decimal digits, with zeros in front.
fn numbered(digits: &str) -> Uuid {
    Uuid::from_str(&format!("{digits:0>32}")).unwrap_or_default()
}

fn source() -> Vec<Tenant> {
    let id = |n: u64| numbered(&format!("1700{n:012}"));
    vec![
        tenant(id(1), Some("Customer Care"), "us-south", None),
        tenant(
            id(2),
            Some("Hilfe & Service – München"),
            "us-south",
            Some(false),
        ),
        tenant(id(3), Some("人事アシスタント"), "us-south", Some(false)),
        tenant(
            id(4),
            Some("tab\tand \"quotes\" \\ backslash"),
            "us-south",
            Some(false),
        ),
        tenant(id(5), None, "us-south", Some(false)),
        tenant(id(6), Some("monitoring"), "monitoring", Some(false)),
        tenant(id(7), Some("Pilot 2024"), "us-south", Some(true)),
        tenant(id(8), Some("Trial"), "us-south", Some(true)),
        tenant(id(9), Some("System"), "System", Some(false)),
        tenant(id(10), Some("System templates"), "System", None),
    ]
}

/// Some have the name of an instance of the source, some a name that is none, one is unnamed as test instances are.
const TARGET: [Option<&str>; 5] = [
    Some("Customer Care"),
    Some("Hilfe & Service – München"),
    Some("null"),
    Some("pipe | in \"it\""),
    None,
];

/// Instances of those names, and the rows that are none.
fn target(names: &[Option<&str>]) -> Vec<Tenant> {
    let mut tenants: Vec<_> = (0_u64..)
        .zip(names)
        .map(|(n, name)| {
            let id = numbered(&(1_570_194_490 + n).to_string());
            tenant(id, *name, "us-south", (n % 2 == 0).then_some(false))
        })
        .collect();
    if let Some(old) = tenants.get_mut(1) {
        // As before tenants were numbered.
        old.id = Uuid::from_u128(0x7c9e_6679_7425_40de_944b_e07f_c1f9_0ae7);
    }
    let other = |n: u64| numbered(&(1_570_100_000 + n).to_string());
    tenants.push(tenant(
        other(1),
        Some("monitoring"),
        "Monitoring",
        Some(false),
    ));
    tenants.push(tenant(other(2), Some("Old pilot"), "us-south", Some(true)));
    tenants.push(tenant(other(3), Some("System"), "System", None));
    tenants.push(tenant(other(4), Some("templates"), "system", Some(false)));
    tenants
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn instances(of: Instances) -> Vec<Tenant> {
        let mut tenants = of.tenants();
        tenants.retain(Tenant::is_instance);
        tenants
    }

    #[test]
    fn each_set_has_as_many_instances_as_it_is_for() {
        let counts = Instances::ALL.map(|one| (one.name(), instances(one).len()));
        let expected = [
            ("source", 5),
            ("target", 5),
            ("fewer", 3),
            ("more", 7),
            ("same-names", 5),
            ("many", 25),
        ];
        assert_eq!(counts, expected);
        for one in Instances::ALL {
            assert_eq!(one.to_string().parse::<Instances>().expect("a name"), one);
        }
        let error = "none".parse::<Instances>().expect_err("no name");
        assert!(error.to_string().contains("same-names"), "{error}");
    }

    #[test]
    fn no_target_has_an_id_of_the_source() {
        let ids = |of: Instances| -> BTreeSet<_> {
            let tenants = of.tenants().into_iter();
            tenants.flat_map(|one| [one.id, one.instance_id]).collect()
        };
        for target in &Instances::ALL[1..] {
            assert!(
                ids(Instances::Source).is_disjoint(&ids(*target)),
                "{target}"
            );
            assert_ne!(
                target.first_workspace(),
                Instances::Source.first_workspace()
            );
        }
    }

    #[test]
    fn rows_of_the_system_differ_in_their_spelling() {
        let regions: BTreeSet<_> = target(&TARGET)
            .iter()
            .filter(|one| !one.is_instance())
            .map(|one| one.region)
            .collect();
        assert!(regions.is_superset(&["System", "system", "Monitoring"].into()));
    }
}
