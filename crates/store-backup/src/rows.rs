//! How many rows the tables of a database have, as the database counts them.

use anyhow::Context as _;
use serde::Deserialize;

/// Prints a line of JSON for each table: its schema, its name, how many rows it has. Rows of a table that inherits are
/// its own alone, as in a dump.
pub const COUNT_ROWS: &str = r"select format('select json_build_array(%L, %L, (select count(*) from only %I.%I))', n.nspname, c.relname, n.nspname, c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
order by n.nspname, c.relname \gexec
";

/// How many rows a table of a database has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct TableRows(
    /// Its schema.
    pub String,
    /// Its name.
    pub String,
    /// Its rows.
    pub u64,
);

/// What [`COUNT_ROWS`] prints.
///
/// # Errors
///
/// When a line is something else.
pub fn parse_rows(printed: &str) -> anyhow::Result<Vec<TableRows>> {
    let lines = printed.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| serde_json::from_str(line).context("cannot read what psql tells of the rows"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_whatever_the_tables_are_called() {
        let found = parse_rows("[\"public\", \"a\\nb\", 7]\n\n").unwrap();
        assert_eq!(
            found,
            [TableRows("public".to_owned(), "a\nb".to_owned(), 7)]
        );
        assert!(parse_rows("ERROR").is_err());
    }
}
