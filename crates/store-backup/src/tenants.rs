//! What the live store database tells: its service instances, the rows of the table `tenant`, and its size.

use anyhow::{Context as _, ensure};
use backup_set::{ServiceInstance, tenant_schema};
use kube_transfer::PodContainer;
use serde_json::Value;
use wa_common::assistant::Datastore;
use wa_common::cluster::Cluster;
use wa_common::report::printable;

use crate::pg_dump::{DATABASE_SIZE, psql_command};
use crate::sql;

/// What is read of a column: more than any name has.
const LONGEST_TEXT: u32 = 1024;
/// The store's table of tenants.
pub const TABLE: &str = "tenant";

/// Prints the schemas that have such a table, each as JSON on a line: names may hold everything.
const SCHEMAS: &str = "select to_json(n.nspname::text) from pg_class c join pg_namespace n on n.oid = c.relnamespace \
where c.relname = 'tenant' and c.relkind in ('r', 'p') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'";

/// Reads them with `psql` in a pod. Deleted ones and the product's own are left out.
pub async fn read(
    cluster: &Cluster,
    pod: &PodContainer,
    datastore: &Datastore,
) -> anyhow::Result<Vec<ServiceInstance>> {
    let read = async {
        let schemas = schemas(cluster, pod, datastore).await?;
        let table = table_in(&schemas, &datastore.database)?;
        ask(cluster, pod, datastore, &query(&table)).await
    };
    let rows = read
        .await
        .context("cannot read the service instances of the target")?;
    parse(&rows).context("cannot read what psql tells of the target's service instances")
}

/// The schemas that have a table of this name.
pub(crate) async fn schemas(
    cluster: &Cluster,
    pod: &PodContainer,
    datastore: &Datastore,
) -> anyhow::Result<Vec<String>> {
    schemas_in(&ask(cluster, pod, datastore, SCHEMAS).await?)
}

/// What [`SCHEMAS`] prints.
fn schemas_in(printed: &str) -> anyhow::Result<Vec<String>> {
    let lines = printed.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| serde_json::from_str(line).context("cannot read which schemas there are"))
        .collect()
}

/// The store's table as SQL names it, whatever the search path is.
fn table_in(schemas: &[String], database: &str) -> anyhow::Result<String> {
    ensure!(
        !schemas.is_empty(),
        "there is no table {TABLE} in database {:?}",
        printable(database)
    );
    let schema = tenant_schema(schemas.iter().map(String::as_str)).with_context(|| {
        format!(
            "there is a table {TABLE} in each of the schemas {} of database {:?}, and none in public: which one is the store's cannot be known",
            printable(&schemas.join(", ")),
            printable(database)
        )
    })?;
    Ok(qualified(schema))
}

/// The table in that schema, as SQL names it.
pub fn qualified(schema: &str) -> String {
    format!("{}.{}", sql::name(schema), sql::name(TABLE))
}

/// How much of its server's disk the database takes.
pub async fn database_bytes(
    cluster: &Cluster,
    pod: &PodContainer,
    datastore: &Datastore,
) -> anyhow::Result<u64> {
    let size = ask(cluster, pod, datastore, DATABASE_SIZE)
        .await
        .context("cannot ask for the size of the database")?;
    size.trim()
        .parse()
        .context("the database's size is not a number")
}

async fn ask(
    cluster: &Cluster,
    pod: &PodContainer,
    datastore: &Datastore,
    sql: &str,
) -> anyhow::Result<String> {
    let command = psql_command(datastore, &[sql])?;
    let answer = cluster
        .run_idempotent(pod, &command)
        .await
        .with_context(|| format!("psql in pod {} failed", pod.pod))?;
    Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
}

/// Each row as one line of JSON: names may hold every character that could part columns or lines otherwise. Columns that
/// this release does not have are null.
pub fn query(table: &str) -> String {
    let columns = ServiceInstance::COLUMNS.iter().copied().flatten();
    let columns: Vec<String> = columns
        .map(|column| format!("'{column}', left(r->>'{column}', {LONGEST_TEXT})"))
        .collect();
    format!(
        "select json_strip_nulls(json_build_object({})) from (select to_jsonb(t) as r from {table} t) s",
        columns.join(", ")
    )
}

/// What that prints, but for the deleted ones and the product's own.
///
/// # Errors
///
/// When a line is no row.
pub fn parse(lines: &str) -> anyhow::Result<Vec<ServiceInstance>> {
    let mut instances = Vec::new();
    for line in lines.lines().filter(|line| !line.trim().is_empty()) {
        let row: Value = serde_json::from_str(line).context("a line is not JSON")?;
        instances.extend(instance(&row)?);
    }
    instances.retain(ServiceInstance::is_live);
    instances.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    Ok(instances)
}

/// The instance of a row; none where the row has no id.
pub(crate) fn instance(row: &Value) -> anyhow::Result<Option<ServiceInstance>> {
    ensure!(row.is_object(), "a line is no row");
    let text_of = |name: &str| Some(row.get(name)?.as_str()?.to_owned());
    Ok(ServiceInstance::from_columns(text_of))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stores_table_is_named_with_its_schema_or_it_is_said_why_not() {
        let named = |printed: &str| table_in(&schemas_in(printed).unwrap(), "db");
        assert_eq!(
            named("\"archive\"\n\"public\"\n").unwrap(),
            r#""public"."tenant""#
        );
        assert_eq!(named("\"o\\\"dd\"\n").unwrap(), r#""o""dd"."tenant""#);
        let error = |printed: &str| named(printed).unwrap_err().to_string();
        assert!(error("").contains("no table tenant in database \"db\""));
        assert!(error("\"a\"\n\"b\"\n").contains("each of the schemas a, b"));
    }

    #[test]
    fn rows_are_read_whatever_stands_in_their_names() {
        let lines = concat!(
            r#"{"tenant_id":"1","name":"a|b\t\"c\"\n\u001b[2J","region":"us-south"}"#,
            "\n",
            r#"{"tenant_id":"2","region":"us-south","deleted":"false"}"#,
            "\n",
            r#"{"tenant_id":"3","name":"old","deleted":"true"}"#,
            "\n",
            r#"{"tenant_id":"4","name":"","region":"eu-de","status":"active"}"#,
            "\n",
            r#"{"tenant_id":"5","name":"own","region":"System"}"#,
            "\n",
        );
        let found = parse(lines).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|one| (one.id.as_str(), one.name.as_deref()))
            .collect();
        assert_eq!(
            names,
            [
                ("2", None),
                ("4", Some("")),
                ("1", Some("a|b\t\"c\"\n\u{1b}[2J"))
            ]
        );
        assert!(parse("ERROR: no such table").is_err());
    }
}
