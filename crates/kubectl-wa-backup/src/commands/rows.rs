//! `inspect --rows`: the rows of one table, as CSV or JSON, without PostgreSQL.

use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use backup_places::Bucket;
use backup_set::{Identities, RowsError};
use pg_archive::{Field, Row};
use tokio::task::spawn_blocking;
use wa_common::cli::{Context, Exit, OutputFormat, is_broken_pipe};
use wa_common::report::printable;

#[derive(Debug, Clone, clap::Args)]
pub(super) struct RowsArgs {
    /// Print the rows of this table instead, as CSV or with -o json; TABLE or SCHEMA.TABLE
    #[arg(long, value_name = "TABLE")]
    rows: Option<String>,

    /// Only rows whose column has this value, `\N` for NULL; repeatable, all must hold
    #[arg(
        long = "where",
        value_name = "COLUMN=VALUE",
        requires = "rows",
        allow_hyphen_values = true
    )]
    conditions: Vec<Condition>,
}

impl RowsArgs {
    /// Whether rows are asked for.
    pub(super) fn is_given(&self) -> bool {
        self.rows.is_some()
    }
}

/// A column and the value it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    column: String,
    /// None for NULL.
    value: Option<String>,
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (column, value) = text
            .split_once('=')
            .filter(|(column, _)| !column.is_empty())
            .ok_or("expected COLUMN=VALUE")?;
        Ok(Self {
            column: column.to_owned(),
            value: (value != "\\N").then(|| value.to_owned()),
        })
    }
}

impl Condition {
    fn holds(&self, row: &Row) -> bool {
        let wanted = self.value.as_deref().map(str::as_bytes);
        row.get(&self.column)
            .is_some_and(|field| field.as_bytes() == wanted)
    }
}

/// Reads the backup twice: what was printed of a damaged one could not be taken back.
pub(super) async fn run(
    args: &RowsArgs,
    paths: &[PathBuf],
    keys: Option<Identities>,
    bucket: Bucket,
    context: &Context,
) -> anyhow::Result<Exit> {
    let Some(table) = args.rows.clone() else {
        bail!("no table is named");
    };
    let [path] = paths else {
        bail!(
            "--rows takes one backup, and {} paths are given",
            paths.len()
        );
    };
    let writer = match context.global.output {
        OutputFormat::Human | OutputFormat::Wide | OutputFormat::Csv => RowWriter::Csv,
        OutputFormat::Json => RowWriter::Json { first: true },
        OutputFormat::Yaml | OutputFormat::Name | OutputFormat::JsonPath(_) => {
            bail!("rows are written as csv or json: give -o csv or -o json")
        }
    };
    let (path, conditions) = (path.clone(), args.conditions.clone());
    // On a thread of its own: a signal must be heard meanwhile.
    spawn_blocking(move || print(&path, keys.as_ref(), &bucket, &table, &conditions, writer))
        .await??;
    Ok(Exit::Done)
}

fn print(
    path: &std::path::Path,
    keys: Option<&Identities>,
    bucket: &Bucket,
    table: &str,
    conditions: &[Condition],
    mut writer: RowWriter,
) -> anyhow::Result<()> {
    let backup = bucket.open(path, keys)?;
    let intact = backup.verify()?;
    let rows = backup
        .rows(&intact, table)
        .map_err(|error| -> anyhow::Error {
            match error {
                RowsError::Backup(error) => error.into(),
                RowsError::Archive(error) => error.into(),
            }
        })?;
    for Condition { column, .. } in conditions {
        if !rows.columns().contains(column) {
            let columns: Vec<_> = rows.columns().iter().map(|name| printable(name)).collect();
            bail!(
                "the table {table} has no column {column}; it has {}",
                columns.join(", ")
            );
        }
    }
    let out = io::stdout();
    let on_terminal = out.is_terminal();
    let mut out = BufWriter::new(out.lock());
    let write = || -> anyhow::Result<()> {
        let mut line = Vec::new();
        writer.begin(&mut line, rows.columns());
        put(&mut out, &line, on_terminal)?;
        for row in rows {
            let row = row?;
            if conditions.iter().all(|condition| condition.holds(&row)) {
                line.clear();
                writer.row(&mut line, &row);
                put(&mut out, &line, on_terminal)?;
            }
        }
        line.clear();
        writer.end(&mut line);
        put(&mut out, &line, on_terminal)?;
        out.flush().context(WRITING)
    };
    match write() {
        // `… | head` has seen enough; that is no failure.
        Err(error) if is_broken_pipe(&error) => Ok(()),
        done => done,
    }
}

const WRITING: &str = "cannot write to standard output";

/// A terminal gets no control characters but the ends of lines.
fn put(out: &mut impl Write, line: &[u8], on_terminal: bool) -> anyhow::Result<()> {
    if !on_terminal {
        return out.write_all(line).context(WRITING);
    }
    let text = String::from_utf8_lossy(line);
    for piece in text.split_inclusive('\n') {
        let (shown, end) = match piece.strip_suffix('\n') {
            Some(shown) => (shown, "\n"),
            None => (piece, ""),
        };
        write!(out, "{}{end}", printable(shown)).context(WRITING)?;
    }
    Ok(())
}

/// How rows are written.
#[derive(Debug)]
enum RowWriter {
    /// To the byte as PostgreSQL's `COPY … TO … (FORMAT csv, HEADER)` writes them: NULL is nothing, an empty text is `""`.
    Csv,
    /// One array, a row a line; each value is the text that PostgreSQL prints, or null.
    Json {
        /// Whether no row was written yet.
        first: bool,
    },
}

impl RowWriter {
    fn begin(&self, line: &mut Vec<u8>, columns: &[String]) {
        match self {
            Self::Csv => {
                let names = columns.iter().map(|name| Some(name.as_bytes()));
                csv(line, names, columns.len());
            }
            Self::Json { .. } => line.push(b'['),
        }
    }

    fn row(&mut self, line: &mut Vec<u8>, row: &Row) {
        match self {
            Self::Csv => csv(line, row.fields().map(Field::as_bytes), row.columns().len()),
            Self::Json { first } => {
                line.extend_from_slice(if *first { b"\n" } else { b",\n" });
                *first = false;
                line.extend_from_slice(json(row).as_bytes());
            }
        }
    }

    fn end(&self, line: &mut Vec<u8>) {
        match self {
            Self::Csv => {}
            Self::Json { first: true } => line.extend_from_slice(b"]\n"),
            Self::Json { first: false } => line.extend_from_slice(b"\n]\n"),
        }
    }
}

fn csv<'f>(line: &mut Vec<u8>, fields: impl Iterator<Item = Option<&'f [u8]>>, count: usize) {
    for (number, field) in fields.enumerate() {
        if number > 0 {
            line.push(b',');
        }
        let Some(value) = field else { continue };
        let needs_quotes = value.is_empty()
            || value.iter().any(|byte| b",\"\n\r".contains(byte))
            // Alone on a line it would end the data.
            || (count == 1 && value == b"\\.");
        if !needs_quotes {
            line.extend_from_slice(value);
            continue;
        }
        line.push(b'"');
        for &byte in value {
            if byte == b'"' {
                line.push(b'"');
            }
            line.push(byte);
        }
        line.push(b'"');
    }
    line.push(b'\n');
}

/// An object whose keys stand in the order of the columns.
fn json(row: &Row) -> String {
    let mut text = "{".to_owned();
    for (number, (name, field)) in row.columns().iter().zip(row.fields()).enumerate() {
        let separator = if number > 0 { "," } else { "" };
        let value = serde_json::Value::from(field.to_text().map(String::from));
        let name = serde_json::Value::from(name.as_str());
        let _ = write!(text, "{separator}{name}:{value}");
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_has_a_column_and_may_ask_for_null() {
        let parse = |text: &str| text.parse::<Condition>();
        assert_eq!(
            parse("name=a=b").unwrap(),
            Condition {
                column: "name".to_owned(),
                value: Some("a=b".to_owned())
            }
        );
        assert_eq!(parse("name=\\N").unwrap().value, None);
        assert_eq!(parse("name=").unwrap().value.as_deref(), Some(""));
        assert!(parse("name").is_err());
        assert!(parse("=a").is_err());
    }

    #[test]
    fn null_and_the_empty_text_are_different_in_csv() {
        let mut line = Vec::new();
        let fields: [Option<&[u8]>; 5] = [
            None,
            Some(b""),
            Some(b"a,\"b\""),
            Some(b"c d"),
            Some(b"\\."),
        ];
        csv(&mut line, fields.into_iter(), 5);
        assert_eq!(
            String::from_utf8_lossy(&line),
            ",\"\",\"a,\"\"b\"\"\",c d,\\.\n"
        );
        line.clear();
        csv(&mut line, [Some(&b"\\."[..])].into_iter(), 1);
        assert_eq!(line, b"\"\\.\"\n");
    }
}
