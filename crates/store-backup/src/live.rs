//! What the live store database holds: its service instances, and how many rows its tables have.

use anyhow::Context as _;
use backup_set::{Holding, ServiceInstance};
use kube_transfer::Secret;
use serde_json::Value;
use wa_common::cluster::Cluster;

use crate::pg_dump::psql_command;
use crate::preflight::Ready;

/// What is read of a column: more than any name has.
const LONGEST_TEXT: u32 = 1024;
/// One look at everything: rows that come meanwhile are in none of the counts. Each table's count is a line of JSON, and
/// rows of a table that inherits are its own alone, as in a dump.
const COUNT_ROWS: &str = r"begin isolation level repeatable read read only;
select format('select json_build_array(%L, %L, (select count(*) from only %I.%I))', n.nspname, c.relname, n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema' order by 1 \gexec
";

/// Counts what the database holds that a backup would be taken of.
pub async fn live_holding(cluster: &Cluster, ready: &Ready) -> anyhow::Result<Holding> {
    let script = format!("{COUNT_ROWS}{}", tenants_query());
    let command = psql_command(&ready.datastore, &[])?;
    let command = command.arg("--set=ON_ERROR_STOP=1").arg("--file=-");
    let command = script.lines().try_fold(command, |command, line| {
        anyhow::Ok(command.input_line(Secret::new(line)?))
    })?;
    let answer = cluster
        .run_idempotent(&ready.pod.container(), &command)
        .await
        .with_context(|| {
            format!(
                "cannot count what the database holds through pod {}",
                ready.pod.name
            )
        })?;
    parse(&String::from_utf8_lossy(&answer.stdout))
        .context("cannot read what psql tells of the database")
}

/// Each row as a line of JSON: names may hold every character that could part columns or lines otherwise. Columns that
/// this release does not have are null.
fn tenants_query() -> String {
    let columns = ServiceInstance::COLUMNS.iter().copied().flatten();
    let columns: Vec<String> = columns
        .map(|column| format!("'{column}', left(r->>'{column}', {LONGEST_TEXT})"))
        .collect();
    format!(
        "select json_strip_nulls(json_build_object({})) from (select to_jsonb(t) as r from tenant t) s;",
        columns.join(", ")
    )
}

fn parse(printed: &str) -> anyhow::Result<Holding> {
    let mut holding = Holding::default();
    for line in printed.lines().filter(|line| !line.trim().is_empty()) {
        match serde_json::from_str(line).context("a line is not JSON")? {
            Value::Array(row) => {
                let (schema, table, rows) = serde_json::from_value(Value::Array(row))
                    .map(|(schema, table, rows): (String, String, u64)| (schema, table, rows))?;
                holding
                    .tables
                    .insert(format!("{schema}.{table}"), Some(rows));
            }
            row => {
                let text_of = |name: &str| Some(row.get(name)?.as_str()?.to_owned());
                let instance = ServiceInstance::from_columns(text_of);
                holding.instances.extend(instance);
            }
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
