//! The instances of a backup: the rows of its table `tenant`, as `pg_restore` writes them out.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use uuid::Uuid;

/// An instance that was backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instance {
    pub(crate) id: Uuid,
    pub(crate) name: String,
}

/// The instances in the backup: without the deleted ones and those of the system.
pub(crate) fn instances(dump: &Path) -> anyhow::Result<Vec<Instance>> {
    let output = Command::new("pg_restore")
        .args(["--data-only", "--table=tenant", "--file=-"])
        .arg(dump)
        .stdin(Stdio::null())
        .output()
        .context("cannot run pg_restore")?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!("cannot read the backup: {}", complaint.trim());
    }
    let instances = parse(&String::from_utf8_lossy(&output.stdout))?;
    ensure!(!instances.is_empty(), "the backup holds no instances");
    Ok(instances)
}

fn parse(script: &str) -> anyhow::Result<Vec<Instance>> {
    let mut lines = script
        .lines()
        .skip_while(|line| !line.starts_with("COPY public.tenant ("));
    let header = lines
        .next()
        .context("the backup holds no data of the table tenant")?;
    let columns: Vec<_> = header
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .map(|(columns, _)| columns.split(", ").collect())
        .unwrap_or_default();
    lines
        .take_while(|line| *line != r"\.")
        .map(|line| instance(&columns, line))
        .filter_map(Result::transpose)
        .collect()
}

fn instance(columns: &[&str], line: &str) -> anyhow::Result<Option<Instance>> {
    let fields: Vec<_> = line.split('\t').collect();
    let field = |name: &str| {
        let at = columns.iter().position(|column| *column == name);
        at.and_then(|at| fields.get(at))
            .copied()
            .filter(|text| *text != r"\N")
    };
    let region = field("region").unwrap_or_default().to_lowercase();
    if field("deleted") == Some("t") || ["system", "monitoring"].contains(&region.as_str()) {
        return Ok(None);
    }
    let id = field("tenant_id").and_then(|id| id.parse().ok());
    Ok(Some(Instance {
        id: id.context("a tenant of the backup has no id")?,
        // With the escapes of COPY: this is only shown.
        name: field("name").unwrap_or_default().to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deleted_tenants_and_those_of_the_system_are_no_instances() {
        let id = |n: u8| format!("00000000-0000-0000-0000-00000000000{n}");
        let script = format!(
            "SET x = 1;\nCOPY public.tenant (tenant_id, name, region, deleted) FROM stdin;\n\
             {}\tCare\tus-south\t\\N\n{}\told\tus-south\tt\n{}\t\\N\tSystem\tf\n{}\tm\tMonitoring\tf\n\
             {}\ttab\\there\tus-south\tf\n\\.\n\nSELECT 1;\n",
            id(1),
            id(2),
            id(3),
            id(4),
            id(5)
        );
        let found = parse(&script).unwrap();
        let shown: Vec<_> = found
            .iter()
            .map(|one| (one.id.to_string(), one.name.as_str()))
            .collect();
        assert_eq!(shown, [(id(1), "Care"), (id(5), r"tab\there")]);
    }
}
