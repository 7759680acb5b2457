//! What the live store database holds: its service instances, and how many rows its tables have.

use anyhow::Context as _;
use backup_set::{Holding, tenant_schema};
use kube_transfer::Secret;
use serde_json::Value;
use wa_common::cluster::Cluster;

use crate::pg_dump::psql_command;
use crate::preflight::Ready;
use crate::rows::{COUNT_ROWS, TableRows};
use crate::tenants;

/// One look at everything: rows that come meanwhile are in none of the counts.
const ONE_LOOK: &str = "begin isolation level repeatable read read only;\n";

/// Counts what the database holds that a backup would be taken of. As with a dump, there are no instances where it cannot
/// be told which table is the one of tenants.
pub async fn live_holding(cluster: &Cluster, ready: &Ready) -> anyhow::Result<Holding> {
    let count = async {
        let container = ready.pod.container();
        let schemas = tenants::schemas(cluster, &container, &ready.datastore).await?;
        let schema = tenant_schema(schemas.iter().map(String::as_str));
        let tenants =
            schema.map(|schema| format!("{};\n", tenants::query(&tenants::qualified(schema))));
        let script = format!("{ONE_LOOK}{COUNT_ROWS}{}", tenants.unwrap_or_default());
        let command = psql_command(&ready.datastore, &[])?;
        let command = command.arg("--set=ON_ERROR_STOP=1").arg("--file=-");
        let command = script.lines().try_fold(command, |command, line| {
            anyhow::Ok(command.input_line(Secret::new(line)?))
        })?;
        anyhow::Ok(cluster.run_idempotent(&container, &command).await?)
    };
    let answer = count.await.with_context(|| {
        format!(
            "cannot count what the database holds through pod {}",
            ready.pod.name
        )
    })?;
    parse(&String::from_utf8_lossy(&answer.stdout))
        .context("cannot read what psql tells of the database")
}

fn parse(printed: &str) -> anyhow::Result<Holding> {
    let mut holding = Holding::default();
    for line in printed.lines().filter(|line| !line.trim().is_empty()) {
        match serde_json::from_str(line).context("a line is not JSON")? {
            Value::Array(row) => {
                let TableRows(schema, table, rows) = serde_json::from_value(row.into())?;
                holding
                    .tables
                    .insert(format!("{schema}.{table}"), Some(rows));
            }
            row => holding.instances.extend(tenants::instance(&row)?),
        }
    }
    Ok(holding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_instances_are_told_apart() {
        let printed = "[\"public\", \"a\\nb\", 3]\n{\"tenant_id\":\"1\",\"name\":\"x|y\"}\n\n{\"tenant_id\":\"2\",\"deleted\":\"true\"}\n";
        let holding = parse(printed).unwrap();
        assert_eq!(holding.tables["public.a\nb"], Some(3));
        let names: Vec<_> = holding
            .instances
            .iter()
            .map(|one| (&*one.id, one.deleted))
            .collect();
        assert_eq!(names, [("1", false), ("2", true)]);
        assert!(parse("ERROR: no such table").is_err());
    }
}
